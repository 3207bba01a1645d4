//! gRPC on the same port as HTTP: the `ApiKeys` service of the Cross-Media Measurement API, health and
//! reflection. It reads messages and metadata and writes statuses; what is decided is decided where HTTP
//! has it decided (`backend`).

mod api_keys;
mod backend;
mod sender;
mod status;

use axum::Router;
use tonic::server::NamedService;
use tonic_health::ServingStatus;

use self::api_keys::Methods;
use self::backend::Backend;
use self::wire::api_keys_server::ApiKeysServer;
use crate::api::App;

/// A message may be this large. A good one has a few kilobytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The messages and the service, as `build.rs` makes them of `proto/`.
#[expect(
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod wire {
    tonic::include_proto!("wfa.measurement.api.v2alpha");
}

/// What reflection tells.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// All services. Health and reflection are for everybody: they tell what this page tells.
pub(crate) async fn router(app: App) -> Result<Router, tonic_reflection::server::Error> {
    let api_keys = ApiKeysServer::new(Methods::new(Backend::new(app)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(service_name(&api_keys), ServingStatus::Serving).await;
    let health = health.max_decoding_message_size(MESSAGE_BYTES_MAX);
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection = described().build_v1()?.max_decoding_message_size(MESSAGE_BYTES_MAX);
    // Older tools ask for this one, grpcurl and Python's own client among them.
    let reflection_alpha =
        described().build_v1alpha()?.max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Router::new()
        .route_service(&path(&api_keys), api_keys)
        .route_service(&path(&health), health)
        .route_service(&path(&reflection), reflection)
        .route_service(&path(&reflection_alpha), reflection_alpha))
}

fn service_name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

fn path<S: NamedService>(service: &S) -> String {
    format!("/{}/{{method}}", service_name(service))
}
