//! The simulated AWS as the scenario sees it: where everything is, and what it is told to do.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use crate::world::{Port, World};

/// A machine that AWS has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// Its own address.
    pub address: Ipv4Addr,
}

/// A fixed interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its address.
    pub address: Ipv4Addr,
    /// The instance it is on.
    pub holder: Option<String>,
}

/// A running simulation; ends when dropped.
#[derive(Debug)]
pub struct Cloud {
    /// Where programs find it.
    pub endpoint: String,
    /// Region of the deployment.
    pub region: String,
    facts: Value,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Cloud {
    /// Starts one on `host`, whose `address` it answers at, with the whole deployment made from its
    /// templates.
    pub fn start(world: &World, host: Port, address: Ipv4Addr, folder: &Path) -> Self {
        world.address(host, address);
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let log = folder.join("cloud.log");
        let errors = std::fs::File::create(&log).expect("a log");
        // All addresses: it reads its own templates by the name localhost.
        let listen = match world.is_real() {
            true => "0.0.0.0",
            false => "127.0.0.1",
        };
        let mut process = world
            .command(host, &python())
            .arg(here.join("tests/event/cloud.py"))
            .arg(here.join("../deploy"))
            .args([listen, world.prefix])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the simulated AWS starts; run scripts/install test");
        let mut line = Line {
            orders: process.stdin.take().expect("piped"),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
            log,
        };
        let facts = line.answer();
        let host = match world.is_real() {
            true => address.to_string(),
            false => listen.to_owned(),
        };
        Self {
            endpoint: format!("http://{host}:{}", facts["port"]),
            region: text(&facts["region"]),
            facts,
            line: Mutex::new(line),
        }
    }

    /// The config that members of `group` write when they start.
    pub fn config(&self, group: &str) -> String {
        text(&self.facts["configs"][group])
    }

    /// The members that `group` started with.
    pub fn members(&self, group: &str) -> Vec<Instance> {
        let list = self.facts["instances"][group].as_array();
        list.expect("a list").iter().map(instance).collect()
    }

    /// The fixed interfaces by name, with who has them now.
    pub fn interfaces(&self) -> BTreeMap<String, Interface> {
        let found = self.order(&json!(["interfaces"]));
        let found = found.as_object().expect("an object");
        let interface = |fact: &Value| Interface {
            address: text(&fact["address"]).parse().expect("an address"),
            holder: fact["holder"].as_str().map(str::to_owned),
        };
        found
            .iter()
            .map(|(name, fact)| (name.clone(), interface(fact)))
            .collect()
    }

    /// AWS takes a machine of `group`; the one that its group starts instead.
    pub fn replace(&self, group: &str, id: &str) -> Instance {
        instance(&self.order(&json!(["replace", group, id])))
    }

    /// A group takes a machine out and waits for it to say goodbye.
    pub fn retire(&self, id: &str) {
        self.order(&json!(["retire", id]));
    }

    /// How far a machine's group is with it, such as `InService`.
    pub fn lifecycle(&self, id: &str) -> String {
        text(&self.order(&json!(["lifecycle", id])))
    }

    /// One machine more in `group`.
    pub fn grow(&self, group: &str) -> Instance {
        instance(&self.order(&json!(["grow", group])))
    }

    /// The machines that the load balancer has in its target group.
    pub fn targets(&self) -> Vec<String> {
        let found = self.order(&json!(["targets"]));
        found.as_array().expect("a list").iter().map(text).collect()
    }

    /// Messages in the job queue, waiting or in work.
    pub fn jobs(&self) -> u64 {
        self.order(&json!(["jobs"])).as_u64().expect("a number")
    }

    /// Recordings that are whole.
    pub fn recordings(&self) -> Vec<String> {
        let found = self.order(&json!(["recordings"]));
        found.as_array().expect("a list").iter().map(text).collect()
    }

    fn order(&self, words: &Value) -> Value {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(line.orders, "{words}").expect("the simulated AWS lives");
        line.answer()
    }
}

impl Line {
    fn answer(&mut self) -> Value {
        let mut text = String::new();
        let _ = self.answers.read_line(&mut text);
        serde_json::from_str(&text).unwrap_or_else(|_| {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            // It logs each request; what matters is how it ended.
            let start = log.find("Traceback").unwrap_or(0);
            panic!("the simulated AWS says {text:?}: {}", &log[start..])
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn instance(fact: &Value) -> Instance {
    Instance {
        id: text(&fact["id"]),
        address: text(&fact["address"]).parse().expect("an address"),
    }
}

fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

fn python() -> PathBuf {
    let venv = std::env::var_os("PANOCAST_VENV").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/panocast/venv"),
        PathBuf::from,
    );
    venv.join("bin/python3")
}
