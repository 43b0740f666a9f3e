//! The real page in Chromium among the viewers of a scenario.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::Process;

/// Whether the page watches too, in the scenarios that have viewers enough without it: it takes
/// most of two cores to draw.
const ASKED: &str = "PANOCAST_BROWSER";

/// A page that plays until it is closed.
#[derive(Debug)]
pub struct Page(Process);

impl Page {
    /// The page at `address` once it plays, where the environment asks for it.
    pub async fn open_where_asked(folder: &Path, address: &str) -> Option<Self> {
        std::env::var_os(ASKED)?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/watch.mjs");
        let mut command = Command::new("node");
        command.args([script, address]);
        let mut process = Process::start(folder, "page", &mut command);
        let plays = async |page: &Process| page.output().contains("playing").then_some(());
        process.until("the page plays", plays).await;
        Some(Self(process))
    }

    /// What `browser/watch.mjs` has seen: only good answers, and a page that still plays.
    pub async fn close(mut self) -> Value {
        self.0.signal("USR2");
        let status = self.0.wait("Chromium ends").await;
        let said = self.0.output();
        assert!(status.success(), "{said}");
        let last = said.lines().last().unwrap_or_default();
        println!("Chromium: {last}");
        let seen: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(seen["state"], "playing", "{seen:#}");
        assert_eq!(seen["bad"], serde_json::json!([]), "{seen:#}");
        seen
    }
}
