//! The SDK's errors in this crate's words.

use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

use crate::Error;

pub(super) fn unavailable(action: &'static str, queue: &str, reason: &str) -> Error {
    Error::Unavailable {
        action,
        queue: queue.into(),
        reason: reason.into(),
    }
}

/// A whole call that failed.
pub(super) fn refused<E>(
    action: &'static str,
    queue: &str,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let service = error.as_service_error();
    let code = service
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default();
    let reason = match (service.and_then(ProvideErrorMetadata::message), status) {
        (Some(message), _) => format!("{code}: {message}"),
        (None, Some(status)) => format!("HTTP status {status} {code}"),
        (None, None) => DisplayErrorContext(error).to_string(),
    };
    if code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue") {
        return Error::misconfigured(queue, "the queue does not exist; create it or fix its URL");
    }
    match status {
        // These come back as 400 or 403, and pass: the clock is being set, the token renewed, the
        // rate is lower.
        _ if [
            "ExpiredToken",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "Throttl",
            "OverLimit",
        ]
        .iter()
        .any(|passing| code.contains(passing)) =>
        {
            Error::Unavailable {
                action,
                queue: queue.into(),
                reason,
            }
        }
        Some(401 | 403) => Error::Denied {
            action,
            queue: queue.into(),
            reason,
        },
        Some(400) if code.contains("AccessDenied") || code.contains("InvalidClientToken") => {
            Error::Denied {
                action,
                queue: queue.into(),
                reason,
            }
        }
        Some(400) => Error::Invalid { reason },
        _ => Error::Unavailable {
            action,
            queue: queue.into(),
            reason,
        },
    }
}

/// A call on one held message that failed.
pub(super) fn held<E>(action: &'static str, queue: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let service = error.as_service_error();
    let code = service
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default();
    if is_lost(code) {
        Error::Lost { action }
    } else {
        refused(action, queue, error)
    }
}

/// One entry of a batch that failed.
pub(super) fn entry(
    action: &'static str,
    queue: &str,
    sender_fault: bool,
    code: &str,
    message: Option<&str>,
) -> Error {
    let reason = format!("{code}: {}", message.unwrap_or("no message"));
    if is_lost(code) {
        Error::Lost { action }
    } else if sender_fault {
        Error::Invalid { reason }
    } else {
        unavailable(action, queue, &reason)
    }
}

/// Codes that say that a receipt no longer holds its message. A wrong parameter in a change of
/// visibility can only be the receipt: the rest was checked.
fn is_lost(code: &str) -> bool {
    [
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "InvalidIdFormat",
    ]
    .iter()
    .any(|lost| code.contains(lost))
}
