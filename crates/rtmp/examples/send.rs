//! Publishes an FLV file at the pace of its own clock: how a shell drives the publishing client.
//!
//! ```text
//! cargo run -p rtmp --example send -- capture.flv 'rtmp://127.0.0.1/live/test?key=KEY'
//! ```

use std::{
    error::Error,
    fs::File,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rtmp::{
    client::{Event, Session},
    url::PublishUrl,
};

/// One read of the file and of the socket.
const READ_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: send FILE.flv rtmp://host/app/stream".into());
    };
    let url: PublishUrl = url.parse()?;
    let socket = TcpStream::connect((url.host(), url.port()))?;
    let mut shell = Shell {
        socket,
        session: Session::publish_to(&url)?,
        start: Instant::now(),
    };
    while !shell.session.is_ready() {
        shell.exchange(Duration::from_millis(100))?;
    }
    println!("publishing to {url}");
    shell.send(File::open(path)?)?;
    shell.session.close();
    shell.exchange(Duration::from_millis(1))
}

struct Shell {
    socket: TcpStream,
    session: Session,
    start: Instant,
}

impl Shell {
    /// Sends every tag of the file when its time has come.
    fn send(&mut self, mut file: File) -> Result<(), Box<dyn Error>> {
        let (mut reader, mut buffer) = (flv::file::Reader::new(), vec![0; READ_BYTES]);
        let start = Instant::now();
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            reader.push(buffer.get(..count).unwrap_or_default());
            while let Some(tag) = reader.next_tag()? {
                let due = Duration::from_millis(tag.timestamp_ms.into());
                thread::sleep(due.saturating_sub(start.elapsed()));
                self.session.send(&tag)?;
                self.exchange(Duration::from_millis(1))?;
            }
        }
    }

    /// Writes what waits and reads what the server says, for at most `wait`.
    fn exchange(&mut self, wait: Duration) -> Result<(), Box<dyn Error>> {
        while let Some(bytes) = self.session.next_output() {
            self.socket.write_all(&bytes)?;
        }
        self.socket.set_read_timeout(Some(wait))?;
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(count) => self.session.push(&buffer[..count], self.start.elapsed())?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.session.handle_timeout(self.start.elapsed())?;
            }
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.session.next_event() {
            if let Event::Rejected { code, description } = event {
                return Err(format!("refused: {code}: {description}").into());
            }
        }
        Ok(())
    }
}
