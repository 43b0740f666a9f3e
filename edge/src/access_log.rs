//! One JSON line per request, written by a thread of its own: a slow disk drops lines, not viewers.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Lines that wait to be written: a few seconds of a busy edge.
const QUEUE_MAX: usize = 16 << 10;

/// One request.
#[derive(Debug)]
pub struct Line {
    /// When it was answered.
    pub at: SystemTime,
    /// The viewer's address, behind trusted proxies.
    pub client: IpAddr,
    /// GET or HEAD.
    pub method: &'static str,
    /// Path and directives.
    pub key: String,
    /// Status of the answer.
    pub status: u16,
    /// Length of its body, where known.
    pub bytes: Option<u64>,
    /// How it was answered.
    pub cache: &'static str,
    /// Until the answer began.
    pub took: Duration,
    /// CMCD session.
    pub session: Option<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    time: String,
    client: IpAddr,
    method: &'static str,
    url: &'a str,
    status: u16,
    bytes: Option<u64>,
    cache: &'static str,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

/// The queue to the writing thread.
#[derive(Debug, Clone)]
pub struct AccessLog {
    queue: mpsc::Sender<Line>,
    metrics: Metrics,
}

impl AccessLog {
    /// Appends to `path`; `-` is standard output.
    pub fn open(path: &Path, metrics: Metrics) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = match path == Path::new("-") {
            true => Box::new(io::stdout()),
            false => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (queue, lines) = mpsc::channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("access log".to_owned())
            .spawn(move || write_all(BufWriter::new(output), lines))?;
        Ok(Self { queue, metrics })
    }

    /// Takes a line, or counts it as lost.
    pub fn write(&self, line: Line) {
        if self.queue.try_send(line).is_err() {
            self.metrics.log_lost.inc();
        }
    }
}

fn write_all(mut output: BufWriter<Box<dyn Write + Send>>, mut lines: mpsc::Receiver<Line>) {
    while let Some(line) = lines.blocking_recv() {
        let mut result = write_line(&mut output, &line);
        // What is waiting goes into one write.
        while let Ok(line) = lines.try_recv() {
            result = result.and_then(|()| write_line(&mut output, &line));
        }
        if let Err(error) = result.and_then(|()| output.flush()) {
            tracing::error!(%error, "cannot write the access log; giving it up");
            return;
        }
    }
}

fn write_line(output: &mut impl Write, line: &Line) -> io::Result<()> {
    let written = Written {
        time: OffsetDateTime::from(line.at)
            .format(&Rfc3339)
            .unwrap_or_default(),
        client: line.client,
        method: line.method,
        url: &line.key,
        status: line.status,
        bytes: line.bytes,
        cache: line.cache,
        ms: (line.took.as_secs_f64() * 1e6).round() / 1e3,
        session: line.session.as_deref(),
    };
    serde_json::to_writer(&mut *output, &written)?;
    output.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use service::metrics::Registry;

    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let line = Line {
            at: SystemTime::UNIX_EPOCH,
            client: [127, 0, 0, 1].into(),
            method: "GET",
            key: "/hls/a.m3u8".to_owned(),
            status: 200,
            bytes: Some(17),
            cache: "hit",
            took: Duration::from_micros(1500),
            session: None,
        };
        let mut output = Vec::new();
        write_line(&mut output, &line).unwrap();
        let expected = "{\"time\":\"1970-01-01T00:00:00Z\",\"client\":\"127.0.0.1\",\
            \"method\":\"GET\",\"url\":\"/hls/a.m3u8\",\"status\":200,\"bytes\":17,\"cache\":\"hit\",\"ms\":1.5}\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn lines_reach_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(&path, Metrics::new(&Registry::new())).unwrap();
        log.write(Line {
            at: SystemTime::UNIX_EPOCH,
            client: [10, 0, 0, 1].into(),
            method: "HEAD",
            key: "/".to_owned(),
            status: 404,
            bytes: None,
            cache: "miss",
            took: Duration::ZERO,
            session: Some("s".to_owned()),
        });
        while !std::fs::read_to_string(&path)
            .unwrap()
            .ends_with("\"session\":\"s\"}\n")
        {
            std::thread::yield_now();
        }
    }
}
