//! Receives one publisher and prints what it does: how a shell drives a session and a demuxer.
//!
//! ```text
//! cargo run -p rtmp --example receive -- 127.0.0.1:1935 [KEY]
//! ffmpeg -re -f lavfi -i testsrc2 -c:v libx264 -f flv 'rtmp://127.0.0.1/live/test?key=KEY'
//! ```

use std::{
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use media::IngestEvent;
use rtmp::{
    Secret,
    server::{Event, Limits, Rejection, Session},
};

/// One read of the socket: a keyframe in a few calls.
const READ_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:1935".into());
    let key = arguments.next().map(Secret::new);
    let (socket, peer) = TcpListener::bind(address)?.accept()?;
    println!("connection from {peer}");
    let result = Shell::new(socket, key).run();
    match &result {
        Ok(()) => println!("closed"),
        Err(error) => println!("ended: {error}"),
    }
    Ok(())
}

struct Shell {
    socket: TcpStream,
    session: Session,
    demuxer: flv::Demuxer,
    key: Option<Secret>,
    access_units: u64,
}

impl Shell {
    fn new(socket: TcpStream, key: Option<Secret>) -> Self {
        let session = Session::new(Limits::default());
        Self {
            socket,
            session,
            demuxer: flv::Demuxer::new(),
            key,
            access_units: 0,
        }
    }

    fn run(mut self) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.drain()?;
            if self.session.is_closing() {
                return Ok(());
            }
            let wait = self
                .session
                .next_timeout()
                .map(|at| at.saturating_sub(start.elapsed()));
            self.socket
                .set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.session.push(&buffer[..count], start.elapsed())?,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    self.session.handle_timeout(start.elapsed())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn drain(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.session.next_event() {
            self.handle(event)?;
        }
        while let Some(bytes) = self.session.next_output() {
            self.socket.write_all(&bytes)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        match event {
            Event::PublishRequested(request) => {
                println!("{request:?}");
                match self.key.is_none() || request.key == self.key {
                    true => self.session.accept(request.id)?,
                    false => {
                        let rejection = Rejection::bad_name("wrong or missing publish key");
                        self.session.reject(request.id, rejection);
                    }
                }
            }
            Event::Media(tag) => {
                self.demuxer.push(tag);
                while let Some(event) = self.demuxer.next_event() {
                    match event {
                        IngestEvent::Unit(unit) => self.count(&unit),
                        event => println!("{event:?}"),
                    }
                }
            }
            event => println!("{event:?} after {} access units", self.access_units),
        }
        Ok(())
    }

    /// Prints one access unit of a hundred.
    fn count(&mut self, unit: &media::IngestUnit) {
        if self.access_units.is_multiple_of(100) {
            let (kind, at, bytes) = (unit.kind, unit.dts, unit.payload.len());
            println!("{kind} at {at} ms, {bytes} bytes, sync {}", unit.is_sync());
        }
        self.access_units += 1;
    }
}
