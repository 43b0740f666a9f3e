//! A publisher whose every tag and byte a scenario decides.

use std::time::{Duration, Instant};

use flv::Tag;
use rtmp::{
    client::{Event, Session},
    url::PublishUrl,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::PATIENCE;

/// What a server says when it refuses or ends a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `NetStream.Publish.BadName` and the like.
    pub code: String,
    /// For people.
    pub description: String,
}

/// An accepted publish over our own client.
#[derive(Debug)]
pub struct Publisher {
    socket: TcpStream,
    session: Session,
    started: Instant,
}

impl Publisher {
    /// Connects and asks to publish.
    pub async fn connect(url: &str) -> Result<Self, Refused> {
        let url: PublishUrl = url.parse().expect("a publish URL");
        let socket = TcpStream::connect((url.host(), url.port()))
            .await
            .expect("the origin listens");
        let session = Session::publish_to(&url).expect("a client session");
        let mut publisher = Self {
            socket,
            session,
            started: Instant::now(),
        };
        publisher.flush().await.expect("the origin reads");
        match publisher.next_event().await {
            Some(Event::Ready) => Ok(publisher),
            Some(Event::Rejected { code, description }) => Err(Refused { code, description }),
            other => panic!("no answer to a publish request: {other:?}"),
        }
    }

    /// Sends tags as fast as the origin takes them; `false` when it does not any more.
    pub async fn send(&mut self, tags: impl IntoIterator<Item = Tag>) -> bool {
        for tag in tags {
            if self.session.send(&tag).is_err() || self.flush().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Sends tags at the pace of their timestamps; `false` when the origin does not take them any
    /// more.
    pub async fn send_live(&mut self, tags: impl IntoIterator<Item = Tag>) -> bool {
        self.send_at_speed(tags, 1).await
    }

    /// The same, so many times faster.
    pub async fn send_at_speed(&mut self, tags: impl IntoIterator<Item = Tag>, speed: u32) -> bool {
        let started = tokio::time::Instant::now();
        let mut first_ms = None;
        for tag in tags {
            let first_ms = *first_ms.get_or_insert(tag.timestamp_ms);
            let after_ms = tag.timestamp_ms.wrapping_sub(first_ms);
            let due = started + Duration::from_millis(after_ms.into()) / speed;
            tokio::time::sleep_until(due).await;
            if !self.send([tag]).await {
                return false;
            }
        }
        true
    }

    /// Waits until the origin ends the publish, and says how.
    pub async fn until_refused(&mut self) -> Option<Refused> {
        match self.next_event().await {
            Some(Event::Rejected { code, description }) => Some(Refused { code, description }),
            _ => None,
        }
    }

    /// Ends in good order, as an encoder whose user pressed stop.
    pub async fn leave(mut self) {
        self.session.close();
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut rest)).await;
    }

    /// The next event; `None` when the origin closed the connection.
    async fn next_event(&mut self) -> Option<Event> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(event) = self.session.next_event() {
                return Some(event);
            }
            self.flush().await.ok()?;
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut buffer)).await;
            let count = read
                .expect("the origin answers")
                .ok()
                .filter(|count| *count > 0)?;
            self.session
                .push(&buffer[..count], self.started.elapsed())
                .ok()?;
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        while let Some(bytes) = self.session.next_output() {
            self.socket.write_all(&bytes).await?;
        }
        Ok(())
    }
}
