//! Refusals as gRPC statuses. Each carries a `google.rpc.ErrorInfo` (AIP-193): a reason that programs can
//! match, and what it is about.

use core::time::Duration;
use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::problem::{Problem, Reason};

/// Who gives the reasons: that of the Cross-Media Measurement API, so that its clients know them.
const DOMAIN: &str = "halo.wfanet.org";

/// What a method is about, for the case that it is not there.
pub(super) struct Subject<'a> {
    pub(super) reason: &'static str,
    pub(super) metadata: Vec<(&'static str, &'a str)>,
}

/// A call that was not done.
pub(super) struct Refused {
    pub(super) status: Status,
    /// The log has been told, or need not be.
    pub(super) is_logged: bool,
}

impl Refused {
    pub(super) fn new(problem: &Problem, subject: Option<&Subject<'_>>) -> Self {
        Self { status: status(problem, subject), is_logged: problem.is_logged }
    }
}

fn status(problem: &Problem, subject: Option<&Subject<'_>>) -> Status {
    let code = code(problem.reason);
    let mut metadata: Vec<(String, String)> = Vec::new();
    let mut details = ErrorDetails::new();
    let reason = match (problem.reason, subject) {
        (Reason::NotFound, Some(subject)) => {
            let about = subject.metadata.iter();
            metadata.extend(about.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            subject.reason
        }
        (Reason::InvalidArgument, _) if problem.field.is_some() => "INVALID_FIELD_VALUE",
        (reason, _) => reason.label(),
    };
    if let Some(field) = &problem.field {
        metadata.push(("fieldName".to_owned(), field.clone()));
        details.add_bad_request_violation(field.clone(), problem.detail.clone());
    }
    if let Some(seconds) = problem.retry_after {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    details.set_error_info(reason, DOMAIN, metadata.into_iter().collect::<HashMap<_, _>>());
    Status::with_error_details(code, problem.detail.clone(), details)
}

const fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidArgument | Reason::PayloadTooLarge | Reason::UnsupportedMediaType => {
            Code::InvalidArgument
        }
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::NotFound => Code::NotFound,
        Reason::MethodNotAllowed => Code::Unimplemented,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::FailedPrecondition => Code::FailedPrecondition,
        Reason::Aborted => Code::Aborted,
        Reason::ResourceExhausted => Code::ResourceExhausted,
        Reason::Internal => Code::Internal,
        Reason::Unavailable => Code::Unavailable,
    }
}
