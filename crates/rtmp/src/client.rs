//! The publishing end of a connection: for the test source, load tools and tests.
//!
//! ```text
//! Handshake -> Connecting -> Creating -> Requesting -> Publishing -> Ended
//! ```
//!
//! It waits for each answer before it goes on, as OBS does. What this does not do: play,
//! authenticate by Adobe's scheme, pace (its owner knows the clock) or reconnect.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use flv::{Tag, TagKind, amf0::Value};

use crate::{
    Error,
    command::{COMMAND_CHUNK_STREAM, Command, object},
    message::{Message, kind},
    transport::Transport,
    url::PublishUrl,
};

/// Bytes that may wait for the network: about 2.5 s at 100 Mb/s. A publisher that is further behind
/// is too slow for live; its owner must drop or reconnect.
pub const BACKLOG_BYTES_MAX: usize = 32 << 20;

/// From the connection to the server's word that the publish has started.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Few headers on large access units, and below what any server refuses.
const CHUNK_BYTES: u32 = 64 << 10;

/// Transaction numbers of the commands whose answers are awaited.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

/// What the server does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The publish has started: [`Session::send`] works from here on.
    Ready,
    /// The server refused or ended the publish.
    Rejected {
        /// Its code, for example `NetStream.Publish.BadName`.
        code: String,
        /// Its words for people.
        description: String,
    },
    /// The publish is over: [`Session::close`] was called. Send the rest of the output and close.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Connecting,
    Creating,
    Requesting,
    Publishing,
    Ended,
}

/// One publishing connection; see [`crate`] for how to drive it.
#[derive(Debug)]
pub struct Session {
    url: PublishUrl,
    transport: Transport,
    state: State,
    events: VecDeque<Event>,
    stream_id: u32,
    deadline: Option<Duration>,
}

impl Session {
    /// A session that will publish there. Its first bytes are ready at once.
    pub fn publish_to(url: &PublishUrl) -> Result<Self, Error> {
        Ok(Self {
            url: url.clone(),
            transport: Transport::client()?,
            state: State::Handshake,
            events: VecDeque::new(),
            stream_id: 0,
            deadline: None,
        })
    }

    /// Takes bytes from the server. An error ends the connection.
    pub fn push(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Error> {
        self.start_clock(now);
        while self.state != State::Ended {
            let message = self.transport.next_message(&mut bytes)?;
            // Beyond what our own media may fill, waiting bytes are answers to a server that
            // floods.
            self.transport
                .check_output(BACKLOG_BYTES_MAX + crate::OUTPUT_BYTES_MAX)?;
            if self.state == State::Handshake && self.transport.is_open() {
                self.connect();
            }
            match message {
                Some(message) => self.handle(&message)?,
                None if bytes.is_empty() => break,
                None => {}
            }
        }
        Ok(())
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes for the server.
    pub fn next_output(&mut self) -> Option<Bytes> {
        self.transport.next_output()
    }

    /// Bytes that wait for the network, up to [`BACKLOG_BYTES_MAX`].
    pub fn output_bytes(&self) -> usize {
        self.transport.output_bytes()
    }

    /// When to call [`Session::handle_timeout`] unless bytes come first: due at once until the
    /// first call.
    pub fn next_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Publishing | State::Ended => None,
            _ => Some(self.deadline.unwrap_or_default()),
        }
    }

    /// Tells the time; an error ends the connection.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        self.start_clock(now);
        match self.next_timeout() {
            Some(deadline) if now >= deadline => Err(Error::NoAnswer(ANSWER_WITHIN)),
            _ => Ok(()),
        }
    }

    /// Whether tags are welcome: after [`Event::Ready`], before the end.
    pub fn is_ready(&self) -> bool {
        self.state == State::Publishing
    }

    /// Queues one tag. Fails before [`Event::Ready`], after the end, and beyond
    /// [`BACKLOG_BYTES_MAX`].
    pub fn send(&mut self, tag: &Tag) -> Result<(), Error> {
        match self.state {
            State::Publishing => {}
            State::Ended => return Err(Error::NotPublishing("over")),
            _ => return Err(Error::NotPublishing("not accepted yet")),
        }
        let (bytes, pending, max) = (tag.body.len(), self.output_bytes(), BACKLOG_BYTES_MAX);
        if pending + bytes > max {
            return Err(Error::Backlog {
                bytes,
                pending,
                max,
            });
        }
        let (chunk_stream, kind) = match tag.kind {
            TagKind::Audio => (4, kind::AUDIO),
            TagKind::Script => (5, kind::DATA),
            TagKind::Video => (6, kind::VIDEO),
        };
        let message = Message {
            kind,
            timestamp: tag.timestamp_ms,
            stream_id: self.stream_id,
            payload: tag.body.clone(),
        };
        self.transport.send(chunk_stream, &message);
        Ok(())
    }

    /// Ends the publish in good order. Send the remaining output, then close the connection.
    pub fn close(&mut self) {
        if self.state == State::Ended {
            return;
        }
        if matches!(self.state, State::Requesting | State::Publishing) {
            let name = Value::String(self.url.publish_name());
            self.command("FCUnpublish", 6.0, [Value::Null, name], 0);
            let stream = Value::Number(self.stream_id.into());
            self.command("deleteStream", 7.0, [Value::Null, stream], 0);
        }
        self.state = State::Ended;
        self.events.push_back(Event::Closed);
    }

    fn start_clock(&mut self, now: Duration) {
        self.deadline
            .get_or_insert(now.saturating_add(ANSWER_WITHIN));
    }

    fn connect(&mut self) {
        self.state = State::Connecting;
        self.transport.send_chunk_bytes(CHUNK_BYTES);
        let properties = object([
            ("app", self.url.app().into()),
            ("type", "nonprivate".into()),
            ("flashVer", "FMLE/3.0 (compatible; Panocast)".into()),
            ("tcUrl", self.url.tc_url().as_str().into()),
        ]);
        self.command("connect", CONNECT, [properties], 0);
    }

    fn handle(&mut self, message: &Message) -> Result<(), Error> {
        if !matches!(message.kind, kind::COMMAND | kind::COMMAND_AMF3) {
            return Ok(());
        }
        let Some(command) = Command::parse(message)? else {
            return Ok(());
        };
        match (command.name.as_str(), self.state) {
            ("_result", State::Connecting) if command.transaction == CONNECT => self.create(),
            ("_result", State::Creating) if command.transaction == CREATE_STREAM => {
                self.request(command.argument(1).and_then(Value::as_number));
            }
            ("_error", _) if [CONNECT, CREATE_STREAM].contains(&command.transaction) => {
                self.rejected(&command);
            }
            ("onStatus", _) if command.field("level") == Some("error") => self.rejected(&command),
            ("onStatus", State::Requesting)
                if command.field("code") == Some("NetStream.Publish.Start") =>
            {
                self.state = State::Publishing;
                self.events.push_back(Event::Ready);
            }
            _ => {}
        }
        Ok(())
    }

    fn create(&mut self) {
        self.state = State::Creating;
        let name = Value::String(self.url.publish_name());
        self.command("releaseStream", 2.0, [Value::Null, name.clone()], 0);
        self.command("FCPublish", 3.0, [Value::Null, name], 0);
        self.command("createStream", CREATE_STREAM, [Value::Null], 0);
    }

    fn request(&mut self, stream_id: Option<f64>) {
        self.state = State::Requesting;
        self.stream_id = stream_id.unwrap_or(1.0) as u32;
        let name = Value::String(self.url.publish_name());
        self.command(
            "publish",
            5.0,
            [Value::Null, name, "live".into()],
            self.stream_id,
        );
    }

    fn rejected(&mut self, command: &Command) {
        let field = |name: &str| command.field(name).unwrap_or_default().to_owned();
        let (code, description) = (field("code"), field("description"));
        self.events.push_back(Event::Rejected { code, description });
        self.state = State::Ended;
    }

    fn command<const N: usize>(&mut self, name: &str, number: f64, values: [Value; N], id: u32) {
        let message = Command::new(name, number, values).to_message(id);
        self.transport.send(COMMAND_CHUNK_STREAM, &message);
    }
}

#[cfg(test)]
mod tests;
