//! The SDK's errors in this crate's words.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

use crate::{Error, UploadId};

/// What was being done to what.
pub(super) struct Context<'a> {
    pub(super) action: &'static str,
    pub(super) key: &'a str,
    pub(super) url: &'a str,
}

type Failed<E> = SdkError<E, HttpResponse>;

/// The HTTP status of a refusal.
pub(super) fn status<E>(error: &Failed<E>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// The S3 error code of a refusal.
pub(super) fn code<E: ProvideErrorMetadata>(error: &Failed<E>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

impl Context<'_> {
    pub(super) fn error<E>(&self, error: Failed<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let target = format!("{} in {}", self.key, self.url);
        let reason = match code(&error) {
            Some(code) => {
                let message = error
                    .as_service_error()
                    .and_then(ProvideErrorMetadata::message);
                format!("{code}: {}", message.unwrap_or("no message"))
            }
            None => match status(&error) {
                Some(status) => format!("HTTP status {status} without an S3 error code"),
                None => DisplayErrorContext(&error).to_string(),
            },
        };
        match (status(&error), code(&error)) {
            (_, Some("NoSuchBucket")) => Error::misconfigured(
                self.url,
                "the bucket does not exist; create it or fix its name",
            ),
            // These come back as 400 or 403, and pass: the clock is being set, the token renewed.
            (_, Some("RequestTimeTooSkewed" | "ExpiredToken" | "RequestTimeout")) => {
                Error::Unavailable {
                    action: self.action,
                    target,
                    reason,
                }
            }
            (Some(404), _) => Error::not_found(self.key, self.url),
            (Some(401 | 403), _) => Error::Denied {
                action: self.action,
                target,
                reason,
            },
            (Some(301 | 307), _) => Error::misconfigured(
                self.url,
                format!("the bucket is in another region or at another address ({reason})"),
            ),
            // 408 timeout, 409 a conflicting conditional write is in flight, 429 too many.
            // A 2xx here is an answer that could not be read.
            (Some(200..=299 | 408 | 409 | 429 | 500..=599) | None, _) => Error::Unavailable {
                action: self.action,
                target,
                reason,
            },
            (Some(_), _) => Error::invalid(self.key, reason),
        }
    }

    pub(super) fn upload<E>(&self, error: Failed<E>, upload: &UploadId) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if code(&error) == Some("NoSuchUpload") {
            Error::upload_gone(self.key, &upload.0)
        } else {
            self.error(error)
        }
    }

    pub(super) fn strange(&self, reason: &str) -> Error {
        let target = format!("{} in {}", self.key, self.url);
        Error::Unavailable {
            action: self.action,
            target,
            reason: format!("{reason} in the answer"),
        }
    }
}
