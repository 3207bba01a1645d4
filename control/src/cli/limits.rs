//! How many of each there may be, as `mpgate serve` is told. The contract's own limits stay: what a gate
//! cannot hold no flag allows.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use mpgate_contract::limits;

use crate::service::Limits;

#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the unit comes last")]
pub(super) struct LimitArgs {
    /// This many measurement consumers
    #[arg(long, env = "MPGATE_CONSUMERS_MAX", default_value_t = 10_000, value_name = "COUNT")]
    consumers_max: usize,
    /// This many active data streams, of all consumers; a gate holds as many as the default
    #[arg(long, env = "MPGATE_STREAMS_MAX", default_value_t = limits::STREAMS_MAX, value_name = "COUNT",
        value_parser = up_to(limits::STREAMS_MAX))]
    streams_max: usize,
    /// This many API keys that are not revoked, of all consumers
    #[arg(long, env = "MPGATE_KEYS_MAX", default_value_t = 100_000, value_name = "COUNT")]
    keys_max: usize,
    /// This many different senders, of all consumers: each is a label of the metrics, which Envoy never
    /// frees; a gate tells as many as the default apart
    #[arg(long, env = "MPGATE_SENDERS_MAX", default_value_t = limits::SENDERS_MAX, value_name = "COUNT",
        value_parser = up_to(limits::SENDERS_MAX))]
    senders_max: usize,
    /// This many principals that are not revoked
    #[arg(long, env = "MPGATE_PRINCIPALS_MAX", default_value_t = 10_000, value_name = "COUNT")]
    principals_max: usize,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            consumers_max: self.consumers_max,
            streams_max: self.streams_max,
            keys_max: self.keys_max,
            senders_max: self.senders_max,
            principals_max: self.principals_max,
            ..Limits::default()
        }
    }
}

/// A number that is not over this one.
fn up_to(max: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u64::try_from(max).unwrap_or(u64::MAX))
}
