//! The state machine of one publisher's connection.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes};
use flv::{
    Tag, TagKind,
    amf0::Value,
    file::{TAG_HEADER_BYTES, TagHeader},
};

use super::{Code, Event, HELD_BYTES_MAX, Limits, PublishRequest, Rejection, RequestId};
use crate::{
    Error, Secret,
    command::{COMMAND_CHUNK_STREAM, Command, amf0_body, object, status},
    message::{Message, kind, user_control},
    transport::{OUTPUT_BYTES_MAX, Transport, WINDOW_BYTES},
    url,
};

/// The one message stream a connection gets. It may publish one stream at a time.
const STREAM_ID: u32 = 1;

/// Our answers are short; this keeps each of them in one chunk.
const CHUNK_BYTES: u32 = 4096;

/// The longest text of a peer that is kept and shown (tcUrl, flashVer).
const TEXT_CHARS_MAX: usize = 256;

/// One publisher's connection; see the [module](super) for its states and [`crate`] for how to
/// drive it.
pub struct Session {
    limits: Limits,
    transport: Transport,
    state: State,
    connect: Connect,
    events: VecDeque<Event>,
    /// Input behind a publish request that is not answered yet.
    held: Vec<u8>,
    /// Why the session closes.
    rejection: Option<Rejection>,
    requests: u64,
    now: Duration,
    /// When the state at hand has lasted too long; `None` before the first call tells the time.
    deadline: Option<Duration>,
    media_bytes: u64,
}

impl std::fmt::Debug for Session {
    /// Without the bytes held back, which are anyone's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("connect", &self.connect)
            .field("transport", &self.transport)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The handshake, then waiting for `connect`.
    AwaitingConnect,
    /// Connected, not publishing.
    Connected,
    /// A publish request awaits its answer.
    Deciding(RequestId),
    /// Media flows.
    Publishing,
    /// Refused or ended by us; the rest of the input is ignored.
    Closing,
}

/// What `connect` said.
#[derive(Debug, Default)]
struct Connect {
    app: String,
    tc_url: String,
    flash_ver: String,
    key: Option<Secret>,
}

impl Session {
    /// A session for a connection that was just made.
    ///
    /// It learns the time from its first call: [`Session::next_timeout`] is zero, thus due, until
    /// then.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            transport: Transport::server(),
            state: State::AwaitingConnect,
            connect: Connect::default(),
            events: VecDeque::new(),
            held: Vec::new(),
            rejection: None,
            requests: 0,
            now: Duration::ZERO,
            deadline: None,
            media_bytes: 0,
        }
    }

    /// Takes bytes from the peer. An error ends the connection; events raised before it are still
    /// there.
    ///
    /// Drain events and output after each call: what one call raises is bounded by the bytes given
    /// to it.
    pub fn push(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Error> {
        self.start_clock(now);
        self.run(&mut bytes)
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes for the peer.
    pub fn next_output(&mut self) -> Option<Bytes> {
        self.transport.next_output()
    }

    /// When to call [`Session::handle_timeout`] unless bytes come first.
    pub fn next_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Deciding(_) | State::Closing => None,
            _ => Some(self.deadline.unwrap_or_default()),
        }
    }

    /// Tells the time; an error ends the connection.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        self.start_clock(now);
        match (self.state, self.next_timeout()) {
            (_, None) => Ok(()),
            (_, Some(deadline)) if now < deadline => Ok(()),
            (State::Publishing, _) => Err(Error::Idle(self.limits.idle)),
            _ => Err(Error::NoPublish(self.limits.publish_within)),
        }
    }

    /// Whether to send the remaining output and close: the publisher was refused or ended.
    pub fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// The refusal that was sent, once the session closes: its own (unknown application, bad name,
    /// a wish to play) or the owner's. For the one log line that says why.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }

    /// Lets the publisher of a request publish and goes on with what it has sent meanwhile.
    ///
    /// Does nothing where the request is not the one at hand. An error ends the connection, as in
    /// [`Session::push`].
    pub fn accept(&mut self, id: RequestId) -> Result<(), Error> {
        if self.state != State::Deciding(id) {
            return Ok(());
        }
        self.state = State::Publishing;
        self.media_bytes = self.transport.media_bytes();
        self.deadline = Some(self.now.saturating_add(self.limits.idle));
        self.transport.send_control(&Message::user_control(
            user_control::STREAM_BEGIN,
            STREAM_ID,
        ));
        let words = "publishing; audio and video are welcome";
        self.answer(
            &Command::on_status("status", "NetStream.Publish.Start", words),
            STREAM_ID,
        );
        let held = std::mem::take(&mut self.held);
        self.run(&mut held.as_slice())
    }

    /// Refuses the publisher of a request with a reason and closes. Nothing where it is not the
    /// request at hand.
    pub fn reject(&mut self, id: RequestId, rejection: Rejection) {
        if self.state == State::Deciding(id) {
            self.close(rejection);
        }
    }

    /// Ends the connection with a reason, whatever it is doing: drain, takeover, an operator's
    /// wish.
    pub fn close(&mut self, rejection: Rejection) {
        if self.state != State::Closing {
            self.answer(
                &Command::on_status("error", rejection.code.name(), &rejection.reason),
                STREAM_ID,
            );
            self.state = State::Closing;
            self.held = Vec::new();
            self.rejection = Some(rejection);
        }
    }

    // === input ===

    fn start_clock(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.deadline.is_none() {
            self.deadline = Some(self.now.saturating_add(self.limits.publish_within));
        }
    }

    fn run(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        loop {
            match self.state {
                State::Closing => return Ok(()),
                State::Deciding(_) => return self.hold(input),
                _ => {}
            }
            let message = self.transport.next_message(input)?;
            self.transport.check_output(OUTPUT_BYTES_MAX)?;
            self.note_media();
            match message {
                Some(message) => self.handle(message)?,
                // The handshake ends where the first message may follow at once.
                None if input.is_empty() => return Ok(()),
                None => {}
            }
        }
    }

    fn hold(&mut self, input: &[u8]) -> Result<(), Error> {
        if self.held.len() + input.len() > HELD_BYTES_MAX {
            return Err(Error::Impatient);
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    /// Any byte of audio or video counts: a large keyframe on a slow uplink may take longer than
    /// the limit.
    fn note_media(&mut self) {
        let media_bytes = self.transport.media_bytes();
        if self.state == State::Publishing && media_bytes != self.media_bytes {
            self.media_bytes = media_bytes;
            self.deadline = Some(self.now.saturating_add(self.limits.idle));
        }
    }

    fn handle(&mut self, message: Message) -> Result<(), Error> {
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => {
                if let Some(command) = Command::parse(&message)? {
                    self.handle_command(&command)?;
                }
            }
            kind::AUDIO => self.media(TagKind::Audio, message),
            kind::VIDEO => self.media(TagKind::Video, message),
            kind::DATA | kind::DATA_AMF3 => {
                let body = message.payload.slice_ref(amf0_body(&message));
                self.media(
                    TagKind::Script,
                    Message {
                        payload: body,
                        ..message
                    },
                );
            }
            kind::AGGREGATE => self.aggregate(&message),
            // Shared objects and unknown types have no meaning here.
            _ => {}
        }
        self.transport.check_output(OUTPUT_BYTES_MAX)
    }

    fn media(&mut self, kind: TagKind, message: Message) {
        if self.state == State::Publishing {
            let (timestamp_ms, body) = (message.timestamp, message.payload);
            self.events.push_back(Event::Media(Tag {
                kind,
                timestamp_ms,
                body,
            }));
        }
    }

    /// An aggregate is a row of FLV tags whose first has the time of the message (RTMP 1.0 §7.1.6).
    fn aggregate(&mut self, message: &Message) {
        let mut rest = message.payload.clone();
        let mut base = None;
        // Each turn consumes a header, so the message bounds the loop. A damaged row ends where it
        // is damaged.
        while let Some(header) = TagHeader::parse(&rest) {
            if rest.len() - TAG_HEADER_BYTES < header.size {
                return;
            }
            rest.advance(TAG_HEADER_BYTES);
            let payload = rest.split_to(header.size);
            // The size of the tag before, which the last tag may lack.
            rest.advance(rest.len().min(4));
            let base = *base.get_or_insert(header.timestamp_ms);
            let offset = header.timestamp_ms.wrapping_sub(base);
            let timestamp = message.timestamp.wrapping_add(offset);
            if let Some(kind) = header.kind {
                self.media(
                    kind,
                    Message {
                        timestamp,
                        payload,
                        ..message.clone()
                    },
                );
            }
        }
    }

    // === commands ===

    fn handle_command(&mut self, command: &Command) -> Result<(), Error> {
        match command.name.as_str() {
            "connect" => self.handle_connect(command),
            "createStream" => {
                self.must_be_connected("createStream")?;
                self.result(command, [Value::Null, Value::Number(STREAM_ID.into())]);
                Ok(())
            }
            "publish" => self.handle_publish(command),
            "releaseStream" | "FCPublish" | "_checkbw" => {
                self.result(command, [Value::Null, Value::Undefined]);
                Ok(())
            }
            "getStreamLength" => {
                self.result(command, [Value::Null, Value::Number(0.0)]);
                Ok(())
            }
            "FCUnpublish" | "closeStream" | "deleteStream" => {
                self.end_publish();
                Ok(())
            }
            "play" | "play2" => {
                let reason = "this server does not serve RTMP playback: watch over HLS";
                self.close(Rejection::new(Code::PlayFailed, reason));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn must_be_connected(&self, command: &'static str) -> Result<(), Error> {
        match self.state {
            State::AwaitingConnect => Err(Error::Order {
                command,
                expected: "connect",
            }),
            _ => Ok(()),
        }
    }

    fn handle_connect(&mut self, command: &Command) -> Result<(), Error> {
        if self.state != State::AwaitingConnect {
            return Err(Error::Order {
                command: "connect",
                expected: "a new connection",
            });
        }
        let properties = command.argument(0);
        let text = |name: &str| {
            properties
                .and_then(|p| p.get(name)?.as_str())
                .unwrap_or_default()
        };
        let (app, app_query) = url::split_query(text("app"));
        let (tc_url, tc_query) = url::split_query(text("tcUrl"));
        let key = app_query.and_then(url::key_in_query);
        self.connect = Connect {
            app: app.trim_matches('/').to_owned(),
            tc_url: shortened(tc_url),
            flash_ver: shortened(text("flashVer")),
            key: key.or_else(|| tc_query.and_then(url::key_in_query)),
        };
        if self.connect.app != self.limits.app {
            self.refuse_app(command);
            return Ok(());
        }
        self.state = State::Connected;
        self.transport
            .send_control(&Message::control_u32(kind::WINDOW_ACK_SIZE, WINDOW_BYTES));
        self.transport
            .send_control(&Message::set_peer_bandwidth(WINDOW_BYTES));
        self.transport.send_chunk_bytes(CHUNK_BYTES);
        let is_enhanced = [
            "fourCcList",
            "videoFourCcInfoMap",
            "audioFourCcInfoMap",
            "capsEx",
        ]
        .iter()
        .any(|name| properties.is_some_and(|p| p.get(name).is_some()));
        let mut info = status("status", "NetConnection.Connect.Success", "connected");
        if let Value::Object(fields) = &mut info {
            // Whatever the peer asked for: the AMF3 command types carry AMF0 as well.
            fields.push(("objectEncoding".to_owned(), Value::Number(0.0)));
        }
        self.result(command, [server_properties(is_enhanced), info]);
        Ok(())
    }

    /// OBS and FFmpeg show the reason of `onStatus`, GStreamer that of `_error`.
    fn refuse_app(&mut self, command: &Command) {
        let app = &self.limits.app;
        let reason = format!("unknown application: publish to rtmp://host/{app}/<stream>");
        let info = status("error", Code::InvalidApp.name(), &reason);
        self.close(Rejection::new(Code::InvalidApp, reason));
        self.answer(
            &Command::new("_error", command.transaction, [Value::Null, info]),
            0,
        );
    }

    fn handle_publish(&mut self, command: &Command) -> Result<(), Error> {
        self.must_be_connected("publish")?;
        if self.state != State::Connected {
            let words = "this connection publishes already: one stream per connection";
            self.answer(
                &Command::on_status("error", Code::BadName.name(), words),
                STREAM_ID,
            );
            return Ok(());
        }
        let (name, query) = url::split_query(command.text(1).unwrap_or_default());
        let stream = name.trim_matches('/');
        if let Err(error) = url::check_stream_name(stream) {
            self.close(Rejection::bad_name(error.to_string()));
            return Ok(());
        }
        let id = RequestId(self.requests);
        self.requests += 1;
        self.state = State::Deciding(id);
        let key = query
            .and_then(url::key_in_query)
            .or_else(|| self.connect.key.clone());
        self.events
            .push_back(Event::PublishRequested(PublishRequest {
                id,
                app: self.connect.app.clone(),
                stream: stream.to_owned(),
                key,
                tc_url: self.connect.tc_url.clone(),
                flash_ver: self.connect.flash_ver.clone(),
            }));
        Ok(())
    }

    fn end_publish(&mut self) {
        if self.state == State::Publishing {
            self.state = State::Connected;
            self.deadline = Some(self.now.saturating_add(self.limits.publish_within));
            self.events.push_back(Event::PublishEnded);
            let words = "publish ended";
            let status = Command::on_status("status", "NetStream.Unpublish.Success", words);
            self.answer(&status, STREAM_ID);
        }
    }

    fn result(&mut self, command: &Command, values: [Value; 2]) {
        if command.transaction != 0.0 {
            self.answer(&Command::new("_result", command.transaction, values), 0);
        }
    }

    fn answer(&mut self, command: &Command, stream_id: u32) {
        self.transport
            .send(COMMAND_CHUNK_STREAM, &command.to_message(stream_id));
    }
}

/// What the server says of itself in the answer to `connect`; the codecs only to peers of Enhanced
/// RTMP.
fn server_properties(is_enhanced: bool) -> Value {
    /// "Can forward", of the FourCC info maps.
    const CAN_FORWARD: f64 = 4.0;
    /// Of `capsEx`: extended headers are understood.
    const MOD_EX: f64 = 4.0;
    let mut properties = object([
        ("fmsVer", "FMS/3,5,3,888".into()),
        ("capabilities", 31.0.into()),
    ]);
    if let (true, Value::Object(fields)) = (is_enhanced, &mut properties) {
        let codecs = Value::StrictArray(vec!["avc1".into(), "mp4a".into()]);
        fields.extend([
            ("fourCcList".to_owned(), codecs),
            (
                "videoFourCcInfoMap".to_owned(),
                object([("avc1", CAN_FORWARD.into())]),
            ),
            (
                "audioFourCcInfoMap".to_owned(),
                object([("mp4a", CAN_FORWARD.into())]),
            ),
            ("capsEx".to_owned(), MOD_EX.into()),
        ]);
    }
    properties
}

fn shortened(text: &str) -> String {
    text.chars()
        .take(TEXT_CHARS_MAX)
        .filter(|c| !c.is_control())
        .collect()
}
