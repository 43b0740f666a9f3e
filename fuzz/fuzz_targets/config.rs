//! Config files: whatever stands in one, a role takes it or says what is wrong with it.
//!
//! Beside not panicking: a refusal names its place, and quantities read back as they print. The
//! section read here has every kind of value that the roles' sections have.
#![no_main]

use std::{collections::BTreeMap, net::SocketAddr};

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use service::{
    config::{Bitrate, ByteSize, Duration, Error, File, Jobs, Secret, Stores},
    http::TlsConfig,
    interruption::Metadata,
    log,
};

#[allow(dead_code)]
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Section {
    listen: Option<SocketAddr>,
    admin_token: Option<Secret>,
    origins: Vec<String>,
    cache_memory: ByteSize,
    keep_alive: Duration,
    connections: usize,
    tls: Option<TlsConfig>,
    keys: BTreeMap<String, Key>,
    ladder: Vec<Rung>,
    drain: Drain,
}

#[allow(dead_code)]
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Key {
    Secret(Secret),
    Detailed { secret: Secret },
}

#[allow(dead_code)]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rung {
    width: u32,
    bitrate: Bitrate,
    yaw: Option<f64>,
}

#[allow(dead_code)]
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Drain {
    metadata: Option<Metadata>,
    deadline: Duration,
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    quantities(text);
    // A secret may name any file of this machine: that is for the operator to say, not for chance.
    if text.replace("file://", "").contains("file") {
        return;
    }
    let file = match File::parse("fuzz.toml", text) {
        Ok(file) => file,
        Err(error) => return named(&error),
    };
    let refusals = [
        file.section::<Section>("origin").err(),
        file.section::<Section>("edge").err(),
        file.section::<Stores>("store").err(),
        file.section::<Jobs>("jobs").err(),
        file.section::<log::Config>("log").err(),
        Some(file.reject("origin.ladder", "is refused")),
        Some(file.reject("edge.drain.deadline", "is refused")),
    ];
    refusals.iter().flatten().for_each(named);
});

fn named(error: &Error) {
    let Error::Invalid { place, message } = error else {
        panic!("nothing was read from disk: {error}");
    };
    assert!(place.starts_with("fuzz.toml") && !message.is_empty());
}

fn quantities(text: &str) {
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(rate) = text.parse::<Bitrate>() {
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
    if let Ok(time) = text.parse::<Duration>() {
        // Nothing here is shorter than a microsecond, and printing says so.
        let shown: Duration = time.to_string().parse().expect("what we print is a duration");
        assert!(time.get() - shown.get() < std::time::Duration::from_micros(1));
    }
}
