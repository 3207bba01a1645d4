//! What a verb works with: control, how to print, and whose things are meant where nobody says.

use mpgate_contract::ConsumerId;

use super::CliError;
use super::client::Client;
use super::output::Format;
use super::settings::Options;
use super::target::Target;

/// One run of one verb.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) format: Format,
    consumer: Option<ConsumerId>,
}

impl Session {
    pub(super) fn open(options: &Options) -> Result<Self, CliError> {
        let settings = options.read()?;
        let client = Client::new(&settings)?;
        Ok(Self { client, format: settings.output, consumer: settings.consumer })
    }

    /// The path of a collection of the consumer that was named, or else is set.
    pub(super) fn collection(
        &self,
        named: Option<&ConsumerId>,
        collection: &str,
    ) -> Result<String, CliError> {
        Ok(format!("/v1/measurementConsumers/{}/{collection}", self.consumer(named)?))
    }

    /// The consumer that was named, or else is set.
    pub(super) fn consumer<'a>(
        &'a self,
        named: Option<&'a ConsumerId>,
    ) -> Result<&'a ConsumerId, CliError> {
        let rule = "add --consumer, set MPGATE_CONSUMER, or write consumer into the configuration";
        let owner = named.or(self.consumer.as_ref());
        owner.ok_or_else(|| CliError::Usage(rule.to_owned()))
    }

    /// The path of a resource that was named by its id, with a consumer that was named or is set, or
    /// by its full name.
    pub(super) fn resource<T: ToString>(
        &self,
        target: &Target<T>,
        named: Option<&ConsumerId>,
        collection: &str,
    ) -> Result<String, CliError> {
        target.path(collection, named, self.consumer.as_ref())
    }
}

/// The parameter of a list that shows what was deleted.
pub(super) fn deleted_too(show: bool) -> Vec<(&'static str, &'static str)> {
    if show { vec![("showDeleted", "true")] } else { Vec::new() }
}
