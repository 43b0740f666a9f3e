//! A simulated AWS on a free loopback port, for one test's life: S3 and SQS alone, or with what the
//! deployment makes of them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// The secret and the key id that the simulation takes.
pub const SECRET: &str = "test";

const PROGRAM: &str = include_str!("moto.py");

/// A running server; ends when dropped.
pub struct Moto {
    process: Child,
    /// `http://127.0.0.1:<port>`
    pub endpoint: String,
}

impl Moto {
    /// Starts one, and fails with the line to run where it is not installed.
    pub fn start() -> Self {
        let arguments = ["-H", "127.0.0.1", "-p", "0"];
        let mut process = spawn(&arguments, Stdio::null(), Stdio::null(), Stdio::piped());
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let endpoint = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("Running on ")
                    .map(|(_, url)| url.trim().to_owned())
            })
            .unwrap_or_else(|| panic!("{}", remedy()));
        // It logs every request; a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, endpoint }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server that carries the deployment's storage, made from its own template, and a fleet of one
/// machine with a lifecycle hook (`drain` of the group `fleet`).
pub struct Deployment {
    process: Child,
    _alive: ChildStdin,
    /// `http://127.0.0.1:<port>`
    pub endpoint: String,
    pub region: String,
    /// Buckets.
    pub ingest: String,
    pub egress: String,
    /// The job queue's URL.
    pub queue: String,
    /// The fleet's machine.
    pub instance: String,
}

impl Deployment {
    /// Starts one with `deploy`, the repository's folder of that name.
    pub fn start(deploy: &Path) -> Self {
        let arguments = ["--deployment", deploy.to_str().unwrap()];
        let mut process = spawn(&arguments, Stdio::piped(), Stdio::piped(), Stdio::null());
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let _ = said.read_line(&mut line);
        let word = |key: &str| {
            let (_, rest) = line.split_once(&format!("\"{key}\": \""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let get = |key| word(key).unwrap_or_else(|| panic!("{}: {line:?}", remedy()));
        Self {
            endpoint: get("endpoint"),
            region: get("region"),
            ingest: get("ingest"),
            egress: get("egress"),
            queue: get("queue"),
            instance: get("instance"),
            _alive: process.stdin.take().unwrap(),
            process,
        }
    }

    /// What a program needs to find it.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_REGION", &self.region),
            ("AWS_ACCESS_KEY_ID", SECRET),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]
    }

    /// One call of Auto Scaling, as the cloud or an operator makes it; gives the answer.
    pub fn autoscaling(&self, action: &str) -> String {
        let host = self.endpoint.strip_prefix("http://").unwrap();
        let body = format!("Action={action}&Version=2011-01-01");
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={SECRET}/20260101/{}/autoscaling/aws4_request\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.region,
            body.len()
        );
        let mut socket = TcpStream::connect(host).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        answer
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn venv() -> PathBuf {
    std::env::var_os("PANOCAST_VENV").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/panocast/venv"),
        PathBuf::from,
    )
}

fn remedy() -> String {
    let venv = venv();
    let venv = venv.display();
    format!(
        "moto does not start; run: python3 -m venv {venv} && {venv}/bin/pip install -r \
         deploy/tests/requirements.txt"
    )
}

fn spawn(arguments: &[&str], stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Child {
    Command::new(venv().join("bin/python3"))
        .args(["-c", PROGRAM])
        .args(arguments)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap_or_else(|_| panic!("{}", remedy()))
}
