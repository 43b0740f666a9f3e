//! What a publisher asks for, and how it is refused.

use std::fmt;

use crate::Secret;

/// Names one publish request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(super) u64);

/// A publisher wants to publish.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// For the answer.
    pub id: RequestId,
    /// The application, without query.
    pub app: String,
    /// The stream, without query; matches `[A-Za-z0-9_-]{1,64}`.
    pub stream: String,
    /// The `key` parameter of the stream's name, the application or the tcUrl, in this order.
    pub key: Option<Secret>,
    /// The URL that the encoder connected to, without query.
    pub tc_url: String,
    /// The program, as `connect` names it: `FMLE/3.0 (compatible; FMSc/1.0)`.
    pub flash_ver: String,
}

impl fmt::Debug for PublishRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishRequest")
            .field("id", &self.id.0)
            .field("app", &self.app)
            .field("stream", &self.stream)
            .field("key", &self.key)
            .field("tc_url", &self.tc_url)
            .field("flash_ver", &self.flash_ver)
            .finish()
    }
}

/// Why a publish is refused or ended, in the words of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// Wrong key, bad name, or name taken: the encoder's user must change something. OBS does not
    /// try again.
    BadName,
    /// The user may not publish here.
    Denied,
    /// Not now: the server drains, or someone with more right takes over.
    Rejected,
    /// The server failed.
    Failed,
    /// The application does not exist.
    InvalidApp,
    /// The request was to play.
    PlayFailed,
}

impl Code {
    /// The code as it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Code::BadName => "NetStream.Publish.BadName",
            Code::Denied => "NetStream.Publish.Denied",
            Code::Rejected => "NetStream.Publish.Rejected",
            Code::Failed => "NetStream.Failed",
            Code::InvalidApp => "NetConnection.Connect.InvalidApp",
            Code::PlayFailed => "NetStream.Play.Failed",
        }
    }
}

/// A refusal: a code for the program, a reason for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What the encoder acts on.
    pub code: Code,
    /// What its user reads; say the remedy, and no secret.
    pub reason: String,
}

impl Rejection {
    /// A refusal.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// [`Code::BadName`], the usual one.
    pub fn bad_name(reason: impl Into<String>) -> Self {
        Self::new(Code::BadName, reason)
    }
}
