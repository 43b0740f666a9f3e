//! One question to the origins: who is asked when, and whose answer is taken.
//!
//! ```text
//! first origin --- answer good ---------------------------------------> taken
//!      |\-- 404, 400, failure, frozen, behind > next origin
//!      |\-- a gap near the end -------------> next origin
//!      |\-- starts later or earlier ---------> next origin
//!      |\-- went down meanwhile -------------> next origin
//!      \--- no answer when one was due ------> next origin as well, again and again if that has
//!                                             nothing yet; first good answer is taken
//! ```

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use service::http::{ClientError, read_all};

use super::{Origin, Origins, PLAYLIST_BYTES_MAX, freshness::Freshness, health::Seen, seen};
use crate::{
    cache::decide::Pace,
    playlist::{self, PlaylistSummary},
    request::{Blocking, CacheRequest, Kind},
};

/// An answer that blocks on nothing is due after this; it comes out of the origin's memory.
const DUE_AT_ONCE: Duration = Duration::from_millis(750);

/// Without having seen the playlist: a segment's worth.
const TARGET_GUESS: Duration = Duration::from_secs(2);

/// While one origin holds a question, those that had nothing to say are asked again this often: an
/// encoder that only fails over may have come to them.
const AGAIN_EVERY: Duration = Duration::from_millis(500);

/// An origin blocks for 9 s at most; after this nobody will answer any more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the origins said.
#[derive(Debug)]
pub enum Verdict {
    /// This one has it; the body is still to come.
    Streaming(Found<Incoming>),
    /// This one has it; the body is whole. A media playlist says how fast it moves.
    Whole(Found<Bytes>, Option<Pace>),
    /// No origin has an answer that could be given to a viewer.
    Failed(Failure),
}

/// Why no origin could answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// None is reachable, or all fail.
    Unreachable(String),
    /// They answer, but the stream has made no progress for too long.
    Frozen,
}

/// An answer that was taken.
#[derive(Debug)]
pub struct Found<B> {
    /// Who gave it.
    pub(crate) origin: Arc<Origin>,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: B,
}

type Attempt<'a> = Pin<Box<dyn Future<Output = (Arc<Origin>, Judged)> + Send + 'a>>;

/// One origin's answer, judged.
enum Judged {
    /// To be given to viewers.
    Good(Verdict),
    /// To be given to viewers when no other origin has better; the greatest wins.
    Fallback(Rank, Box<Verdict>),
    /// Of no use.
    Useless(String),
}

/// How good a fallback is, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The origin does not have it.
    NotFound,
    /// The origin does not take the question: too far ahead of what it has, most likely.
    Refused,
    /// The stream has stopped there longer ago than anybody waits for an encoder to come back.
    TooLongFrozen,
    /// A playlist that is behind, does not move, ends in a gap or (`goes_on` is false) starts
    /// elsewhere.
    Playlist {
        position: playlist::Position,
        goes_on: bool,
    },
}

impl Origins {
    /// Asks until an answer can be given to viewers.
    pub async fn ask(&self, request: &CacheRequest<'_>) -> Verdict {
        let mut order = VecDeque::from(self.in_order(request.path()));
        let mut empty_handed = Vec::new();
        let mut attempts: FuturesUnordered<Attempt<'_>> = FuturesUnordered::new();
        let mut fallback: Option<(Rank, Verdict)> = None;
        let mut reason = "no origin is configured".to_owned();
        let due = self.due(request);
        let mut in_vain = false;
        if let Some(first) = order.pop_front() {
            attempts.push(self.attempt(first, request));
        }
        loop {
            let waiting = !attempts.is_empty();
            let blocks = request.blocking != Blocking::No;
            let pause = match order.is_empty() {
                false => Some(due),
                true => (blocks && !empty_handed.is_empty()).then_some(AGAIN_EVERY),
            };
            let overdue = async {
                match pause {
                    Some(pause) => self.clock.sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            let judged = tokio::select! {
                Some((origin, judged)) = attempts.next(), if waiting => {
                    empty_handed.push(origin);
                    judged
                }
                () = overdue, if waiting => {
                    self.metrics.upstream_hedged.inc();
                    in_vain = true;
                    if order.is_empty() {
                        order.extend(empty_handed.drain(..));
                    }
                    Judged::Useless(reason.clone())
                }
                else => break,
            };
            match judged {
                Judged::Good(verdict) => {
                    if let (true, Verdict::Whole(found, Some(_))) = (in_vain, &verdict) {
                        self.follow(request.path(), &found.origin);
                    }
                    return verdict;
                }
                Judged::Fallback(rank, verdict) => {
                    in_vain |= matches!(rank, Rank::Playlist { .. });
                    if fallback.as_ref().is_none_or(|(best, _)| rank > *best) {
                        fallback = Some((rank, *verdict));
                    }
                }
                Judged::Useless(why) => reason = why,
            }
            match order.pop_front() {
                Some(next) => attempts.push(self.attempt(next, request)),
                None if attempts.is_empty() => break,
                None => {}
            }
        }
        match fallback {
            Some((_, verdict)) => self.settle(request, verdict),
            None => Verdict::Failed(Failure::Unreachable(reason)),
        }
    }

    /// A playlist that is behind or starts elsewhere is all there is: numbers start over from it.
    fn settle(&self, request: &CacheRequest<'_>, verdict: Verdict) -> Verdict {
        if let Verdict::Whole(found, _) = &verdict
            && request.kind == Kind::Playlist
            && let Some(summary) = playlist::scan(&found.body)
        {
            let (path, now) = (request.path(), self.clock.now());
            let freshness = self.freshness.note(path, &summary, now);
            if freshness == Freshness::Behind {
                tracing::warn!(path, "a playlist has gone back on every origin");
            }
            if matches!(freshness, Freshness::Behind | Freshness::Elsewhere) {
                self.freshness.start_over(path, &summary, now);
            }
        }
        verdict
    }

    /// When a healthy origin would have answered.
    fn due(&self, request: &CacheRequest<'_>) -> Duration {
        let (segment, part) = self
            .freshness
            .targets(request.path())
            .unwrap_or((TARGET_GUESS, None));
        match request.blocking {
            Blocking::No => DUE_AT_ONCE,
            Blocking::Segment => segment + DUE_AT_ONCE,
            Blocking::Part => part.unwrap_or(segment) + DUE_AT_ONCE,
        }
    }

    fn attempt<'a>(&'a self, origin: Arc<Origin>, request: &'a CacheRequest<'_>) -> Attempt<'a> {
        Box::pin(async move {
            let mut is_up = origin.is_up.subscribe();
            let was_up = *is_up.borrow_and_update();
            let fell = async {
                // One that was down already is asked as a last resort: give it its time.
                if !was_up || is_up.wait_for(|up| !up).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let judged = tokio::select! {
                judged = self.ask_one(&origin, request) => judged,
                () = fell => Judged::Useless(format!("{} went down", origin.url)),
            };
            (origin, judged)
        })
    }

    async fn ask_one(&self, origin: &Arc<Origin>, request: &CacheRequest<'_>) -> Judged {
        self.metrics.upstream_fetches.inc();
        let mut answer = self
            .send(origin, Method::GET, &request.key, None, ANSWER_TIMEOUT)
            .await;
        if let Err(ClientError::Unreachable { .. }) = &answer {
            // A pooled connection may have been closed just now: that is nobody's fault, once.
            answer = self
                .send(origin, Method::GET, &request.key, None, ANSWER_TIMEOUT)
                .await;
        }
        self.note(origin, seen(&answer));
        let result = match &answer {
            Ok(response) => response.status().as_str().to_owned(),
            Err(_) => "none".to_owned(),
        };
        self.metrics
            .upstream_answers
            .with_label_values(&[&origin.url, &result])
            .inc();
        match answer {
            Ok(response) => self.judge(origin, request, response).await,
            Err(error) => Judged::Useless(error.to_string()),
        }
    }

    async fn judge(
        &self,
        origin: &Arc<Origin>,
        request: &CacheRequest<'_>,
        response: Response<Incoming>,
    ) -> Judged {
        let (head, body) = response.into_parts();
        let origin = Arc::clone(origin);
        let (status, headers) = (head.status, head.headers);
        if status == StatusCode::OK && request.kind != Kind::Playlist {
            return Judged::Good(Verdict::Streaming(Found {
                origin,
                status,
                headers,
                body,
            }));
        }
        if status.is_server_error() {
            return Judged::Useless(format!("{} answers {status}", origin.url));
        }
        let body =
            match tokio::time::timeout(ANSWER_TIMEOUT, read_all(body, PLAYLIST_BYTES_MAX)).await {
                Ok(Ok(body)) => body,
                Ok(Err(error)) => {
                    self.note(&origin, Seen::Trouble);
                    return Judged::Useless(error.to_string());
                }
                Err(_) => {
                    self.note(&origin, Seen::Trouble);
                    return Judged::Useless(format!("{} stopped in a body", origin.url));
                }
            };
        let summary = playlist::scan(&body).filter(|_| status == StatusCode::OK);
        let pace = summary.as_ref().map(|summary| pace(request, summary));
        let verdict = Verdict::Whole(
            Found {
                origin,
                status,
                headers,
                body,
            },
            pace,
        );
        match (status, summary) {
            (StatusCode::OK, Some(summary)) => self.judge_playlist(request, &summary, verdict),
            (StatusCode::OK, None) => Judged::Useless("a playlist is no playlist".to_owned()),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                Judged::Fallback(Rank::NotFound, Box::new(verdict))
            }
            (StatusCode::BAD_REQUEST, _) => Judged::Fallback(Rank::Refused, Box::new(verdict)),
            _ => Judged::Good(verdict),
        }
    }

    fn judge_playlist(
        &self,
        request: &CacheRequest<'_>,
        summary: &PlaylistSummary,
        verdict: Verdict,
    ) -> Judged {
        if summary.has_gap_ahead && !summary.ended {
            // Not noted: who has that segment whole is not behind.
            let rank = Rank::Playlist {
                position: summary.position,
                goes_on: true,
            };
            return Judged::Fallback(rank, Box::new(verdict));
        }
        match self
            .freshness
            .note(request.path(), summary, self.clock.now())
        {
            Freshness::Current => Judged::Good(verdict),
            Freshness::Frozen { for_ms } if u128::from(for_ms) > self.frozen_max.as_millis() => {
                let failed = Verdict::Failed(Failure::Frozen);
                Judged::Fallback(Rank::TooLongFrozen, Box::new(failed))
            }
            freshness => {
                let goes_on = freshness != Freshness::Elsewhere;
                if goes_on {
                    self.metrics.stale_playlists.inc();
                }
                let position = summary.position;
                Judged::Fallback(Rank::Playlist { position, goes_on }, Box::new(verdict))
            }
        }
    }
}

impl Origins {
    /// The rest of a body of `length` bytes tagged `etag` that broke off after `got`, from an
    /// origin other than `broken`. The length must agree too: tags name URLs, and two encoders'
    /// bytes behind one URL differ in length almost surely.
    pub(crate) async fn resume(
        &self,
        broken: &Arc<Origin>,
        key: &str,
        got: u64,
        length: u64,
        etag: &http::HeaderValue,
    ) -> Option<Found<Incoming>> {
        self.note(broken, Seen::Trouble);
        for origin in self
            .in_order(key)
            .into_iter()
            .filter(|origin| origin.url != broken.url)
        {
            self.metrics.upstream_fetches.inc();
            let range = Some(format!("bytes={got}-"));
            let answer = self
                .send(&origin, Method::GET, key, range, ANSWER_TIMEOUT)
                .await;
            self.note(&origin, seen(&answer));
            let Ok(response) = answer else { continue };
            let (head, body) = response.into_parts();
            let wanted = format!("bytes {got}-{}/{length}", length.saturating_sub(1));
            let range = head.headers.get(http::header::CONTENT_RANGE);
            if head.status == StatusCode::PARTIAL_CONTENT
                && head.headers.get(http::header::ETAG) == Some(etag)
                && range.is_some_and(|range| range.as_bytes() == wanted.as_bytes())
            {
                self.metrics.upstream_resumed.inc();
                return Some(Found {
                    origin,
                    status: head.status,
                    headers: head.headers,
                    body,
                });
            }
        }
        None
    }
}

/// How fast the playlist that answers `request` moves.
fn pace(request: &CacheRequest<'_>, summary: &PlaylistSummary) -> Pace {
    Pace {
        target: summary.target,
        outdated_after: match request.blocking {
            // One that has ended stays as it is.
            _ if summary.ended => None,
            Blocking::No => None,
            Blocking::Segment => Some(summary.target),
            Blocking::Part => Some(summary.part_target.unwrap_or(summary.target)),
        },
    }
}
