//! `/v1/measurementConsumers`.

use axum::extract::{Path, State};
use mpgate_contract::ConsumerId;
use serde::Serialize;

use super::input::{DISPLAY_NAME_CHARS_MAX, Members, Parameters, page_token, words};
use super::problem::Problem;
use super::{Answer, App, consumer_id, json, state_label};
use crate::store::Consumer;
use crate::time;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    display_name: String,
    state: &'static str,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<String>,
}

impl From<Consumer> for Resource {
    fn from(consumer: Consumer) -> Self {
        Self {
            name: format!("measurementConsumers/{}", consumer.id),
            display_name: consumer.display_name,
            state: if consumer.delete_time.is_none() { state_label(true) } else { "DELETED" },
            create_time: time::to_text(consumer.create_time),
            delete_time: consumer.delete_time.map(time::to_text),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    measurement_consumers: Vec<Resource>,
    next_page_token: String,
}

pub(super) async fn create(
    State(app): State<App>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["measurementConsumerId"])?;
    let id = parameters.parse("measurementConsumerId", ConsumerId::parse)?.ok_or_else(|| {
        Problem::field(
            "measurementConsumerId",
            "Name the consumer in the query: ?measurementConsumerId=acme.",
        )
    })?;
    members.only(&["displayName"])?;
    let display_name = members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?;
    let consumer =
        app.store.create_consumer(&id, &display_name.unwrap_or_default(), time::now()).await?;
    json(&Resource::from(consumer))
}

pub(super) async fn list(State(app): State<App>, parameters: Parameters) -> Answer {
    let part = app.store.consumers(parameters.slice()?).await?;
    json(&List {
        measurement_consumers: part.items.into_iter().map(Into::into).collect(),
        next_page_token: page_token(part.next),
    })
}

pub(super) async fn get(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&Resource::from(app.store.consumer(&consumer_id(&mc)?).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&Resource::from(app.store.delete_consumer(&consumer_id(&mc)?, time::now()).await?))
}
