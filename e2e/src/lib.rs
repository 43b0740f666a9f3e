//! What scenarios share: starting Panocast's real binaries and real peers, and asking over HTTP
//! what a viewer would.
//!
//! Every server listens on 127.0.0.1 on a free port, lives in a folder of its own, is bounded in
//! time by its scenario and is ended by its own process id. Scenarios wait for what they can
//! observe, never for a length of time.

#![forbid(unsafe_code)]

pub mod audience;
pub mod clip;
pub mod edge;
pub mod imds;
pub mod link;
pub mod page;
pub mod peer;
pub mod publisher;
pub mod viewer;

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use service::http::{Body, Client, read_all};

/// The longest a scenario waits for one thing: far beyond what a busy two-core machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Largest body a scenario reads.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Below those that the kernel gives to outgoing connections: a server that was killed finds its
/// port free.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// How many ports a process takes before it comes to those of the next one.
const PORTS_EACH: u32 = 96;

/// A port nobody listens on now, and that this process has not given away before.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Scenarios of several processes run side by side.
    let first = std::process::id().wrapping_mul(PORTS_EACH);
    let count = u32::from(PORTS.end - PORTS.start);
    let turns = std::iter::repeat_with(|| first.wrapping_add(GIVEN.fetch_add(1, Relaxed)) % count);
    let ports = turns
        .take(count as usize)
        .map(|turn| PORTS.start + turn as u16);
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("loopback has free ports")
}

/// The path of one of our binaries. `cargo test --workspace` builds it for its package's own tests.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a test knows its own path");
    let profile = here
        .ancestors()
        .nth(2)
        .expect("tests live in <profile>/deps");
    let path = profile.join(name);
    assert!(
        path.exists(),
        "{} is missing: run cargo test --workspace, or build it",
        path.display()
    );
    path
}

/// A child process that does not outlive its scenario.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to `<folder>/<name>.log`.
    pub fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("log file opens");
        let errors = file.try_clone().expect("log file is shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}; run scripts/install test"));
        Self { child, log }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL, as a power cut or the kernel would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, …).
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let done = Command::new("kill").args(["-s", name, &id]).status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "cannot signal {id}"
        );
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        kib.expect("the kernel counts resident memory")
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until `probe` gives something; fails with what was printed when the process ends
    /// before.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut probe: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> T {
        until(what, PATIENCE, async || {
            let found = probe(self).await;
            if let (None, Some(status)) = (&found, self.ended()) {
                panic!("ended with {status} before {what}: {}", self.output());
            }
            found
        })
        .await
    }

    /// Waits until GET of `url` answers 200.
    pub async fn until_ok(&mut self, what: &str, url: &str) {
        let ok = |answer: &Answer| answer.status == StatusCode::OK;
        self.until(what, async |_| get(url).await.filter(ok)).await;
    }

    /// Waits for the end.
    pub async fn wait(&mut self, what: &str) -> ExitStatus {
        until(what, PATIENCE, async || {
            self.child.try_wait().ok().flatten()
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running `panocast-origin` with its addresses.
#[derive(Debug)]
pub struct Origin {
    /// The process.
    pub process: Process,
    /// RTMP port.
    pub rtmp: u16,
    /// HTTP port.
    pub http: u16,
    /// Admin port.
    pub admin: u16,
    folder: PathBuf,
}

impl Origin {
    /// Starts an origin in `folder` on free ports; `settings` follow `[origin]`'s listen keys in
    /// its config file.
    pub async fn start(folder: &Path, settings: &str) -> Self {
        Self::start_on(folder, settings, free_port(), free_port(), free_port()).await
    }

    /// Starts an origin on given ports, to replace one that was killed.
    pub async fn start_on(folder: &Path, settings: &str, rtmp: u16, http: u16, admin: u16) -> Self {
        let config = folder.join("origin.toml");
        let text = format!(
            "[log]\nlevel = \"info\"\n[origin]\nrtmp_listen = \"127.0.0.1:{rtmp}\"\nhttp_listen = \"127.0.0.1:{http}\"\n\
             admin_listen = \"127.0.0.1:{admin}\"\n\
             state = \"{0}/state\"\n{settings}\n[store]\ningest = \"file://{0}/ingest\"\n\
             egress = \"file://{0}/egress\"\n[jobs]\nqueue = \"sqlite://{0}/jobs.db\"\n",
            folder.display()
        );
        fs::write(&config, text).expect("config is written");
        let mut command = Command::new(binary("panocast-origin"));
        command.arg("--config").arg(&config);
        let mut process = Process::start(folder, "origin", &mut command);
        let health = format!("http://127.0.0.1:{admin}/healthz");
        process.until_ok("the origin answers", &health).await;
        Self {
            process,
            rtmp,
            http,
            admin,
            folder: folder.to_owned(),
        }
    }

    /// Where `stream` is published.
    pub fn publish_url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{stream}", self.rtmp)
    }

    /// A public URL.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// GET of a public path.
    pub async fn get(&self, path: &str) -> Answer {
        get(&self.url(path))
            .await
            .unwrap_or_else(|| panic!("no answer for {path}"))
    }

    /// Waits until `path` answers 200 with text that `wanted` accepts.
    pub async fn text_when(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        until(&format!("{path} is as wanted"), PATIENCE, async || {
            let answer = get(&self.url(path)).await?;
            let text = answer.text();
            (answer.status == StatusCode::OK && wanted(&text)).then_some(text)
        })
        .await
    }

    /// `/api/streams` of the admin listener.
    pub async fn streams(&self) -> serde_json::Value {
        let url = format!("http://127.0.0.1:{}/api/streams", self.admin);
        let answer = get(&url).await.expect("admin answers");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// What `/api/streams` says of one stream; null when it is not there.
    pub async fn stream(&self, name: &str) -> serde_json::Value {
        let list = self.streams().await;
        let found = list
            .as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == name));
        found.cloned().unwrap_or_default()
    }

    /// Waits until `/api/streams` says of one stream what `wanted` accepts.
    pub async fn stream_when(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        until(&format!("stream {name} {what}"), PATIENCE, async || {
            Some(self.stream(name).await).filter(|stream| wanted(stream))
        })
        .await
    }

    /// Fails if the origin found its own playlists at fault, or panicked on the way.
    pub async fn assert_healthy(&self) {
        let streams = self.streams().await;
        for stream in streams.as_array().into_iter().flatten() {
            let conformance = &stream["conformance"];
            assert_eq!(
                conformance["violations"], 0,
                "{}: {conformance:#}",
                stream["name"]
            );
        }
        let panics = self.log_lines(&["panicked"]);
        assert!(panics.is_empty(), "{panics:#?}");
    }

    /// Lines of the log with all of `words`.
    pub fn log_lines(&self, words: &[&str]) -> Vec<String> {
        let log = self.process.output();
        let fits = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(fits).map(str::to_owned).collect()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.process.resident_kib()
    }

    /// A folder of its own under the scenario's.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// GET; `None` when nobody answers.
pub async fn get(url: &str) -> Option<Answer> {
    request("GET", url, &[]).await
}

/// Any request with headers; `None` when nobody answers.
pub async fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Option<Answer> {
    send(method, url, headers, "").await
}

/// The same with a body.
pub async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let mut builder = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request = builder
        .body(Body::full(body.to_owned()))
        .expect("a scenario's request is well formed");
    let client = Client::new(Duration::from_secs(2));
    let response = client.send(request, Duration::from_secs(15)).await.ok()?;
    let (parts, body) = response.into_parts();
    let body = read_all(body, BODY_BYTES_MAX).await.ok()?;
    Some(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// Asks again and again until `probe` gives something; a scenario fails with `what` when it never
/// does.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Runs a tool to its end and returns what it printed (both streams); fails the scenario when it
/// fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}; run scripts/install test"));
    let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(
        done.status.success(),
        "{program} {arguments:?} failed:\n{text}"
    );
    text
}
