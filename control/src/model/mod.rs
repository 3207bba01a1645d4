//! What control knows of: tenants, streams, keys, principals, gateways and the trail of changes. Plain
//! records; no SQL, no HTTP, no secret in clear.

mod audit;
mod consumer;
mod gateway;
mod key;
mod page;
mod principal;
mod reconciliation;
mod refusal;
mod stream;
mod usage;

pub use audit::{Action, AuditEvent, Denial};
pub use consumer::Consumer;
pub use gateway::{Gateway, GatewayId, Scope};
pub use key::{KeyEnd, KeyPatch, KeyRecord, KeyState, KeyUse, Origin};
pub use page::{Part, Slice};
pub use principal::{Principal, PrincipalEnd, Role, Token, TokenId};
pub use reconciliation::{DAY_SECONDS, Measure, Reconciliation, SenderDay, Total, ValueTotal};
pub use refusal::{Refusal, TotalFault};
pub use stream::{StreamPatch, StreamRecord};
pub use usage::{Counted, Span, UsageCount, UsageQuery, UsageSum};

/// Unix seconds.
pub type Seconds = i64;

/// Milliseconds since 1970.
pub type Millis = i64;
