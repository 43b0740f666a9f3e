//! The publisher's place of a stream: taken by a claim, given up by dropping it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Publisher, Stream};
use crate::{config::OnConflict, rfc3339::rfc3339};

/// The answer to a claim of the publisher's place.
pub enum Claim {
    /// It is yours until you drop this.
    Granted(Publication),
    /// Somebody else has it and keeps it.
    Taken {
        /// Since when, RFC 3339.
        since: String,
        /// From where.
        address: SocketAddr,
    },
}

impl Stream {
    /// Takes the publisher's place.
    pub fn claim(self: &Arc<Self>, publisher: Publisher, policy: OnConflict) -> Claim {
        let mut core = self.core();
        if let Some(session) = core.session()
            && policy == OnConflict::Reject
        {
            let since = rfc3339(session.since);
            return Claim::Taken {
                since,
                address: session.publisher.address,
            };
        }
        let (kick, kicked) = watch::channel(None);
        let session = core.open_session(publisher, kick);
        drop(core);
        Claim::Granted(Publication {
            stream: Arc::clone(self),
            session,
            kicked,
            ended: Ended::Left("the connection closed".to_owned()),
        })
    }
}

/// The publisher's place of a stream; dropping it leaves.
pub struct Publication {
    stream: Arc<Stream>,
    session: u64,
    kicked: watch::Receiver<Option<String>>,
    ended: Ended,
}

/// How it ends.
enum Ended {
    /// The publisher left, or was sent away.
    Left(String),
    /// What it sends is not taken.
    Refused(String),
}

impl Publication {
    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.stream.name
    }

    /// Hands over what the publisher sent; without effect once somebody else has taken over.
    pub fn push(&self, event: media::IngestEvent, now: Duration) {
        let mut core = self.stream.core();
        if core.is_session(self.session) {
            core.push(event, now, self.stream.environment.clock.wall());
            self.stream.publish(&mut core);
        }
    }

    /// Counts a damaged tag that was skipped.
    pub fn note_damaged(&self) {
        self.stream.core().note_damaged(self.session);
    }

    /// The publisher leaves for this reason, once this is dropped.
    pub fn leave(&mut self, reason: &str) {
        self.ended = Ended::Left(reason.to_owned());
    }

    /// What the publisher sends is not taken: once this is dropped, nothing is left of it unless
    /// viewers have seen it.
    pub fn refuse(&mut self, reason: &str) {
        self.ended = Ended::Refused(reason.to_owned());
    }

    /// Ends, with the reason, when the publisher must go.
    pub async fn kicked(&mut self) -> String {
        match self.kicked.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The stream dropped this session: somebody took over.
            Err(_) => "another publisher took over this stream".to_owned(),
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        let mut core = self.stream.core();
        let now = self.stream.environment.clock.now();
        match &self.ended {
            Ended::Left(reason) => core.close_session(self.session, reason, now),
            Ended::Refused(reason) => core.refuse_session(self.session, reason, now),
        }
        self.stream.publish(&mut core);
    }
}
