//! A running `panocast-edge`, and what its figures say.

use std::{fs, path::Path, process::Command};

use crate::{Answer, PATIENCE, Process, binary, free_port, get, until};

/// A running `panocast-edge` with its addresses.
#[derive(Debug)]
pub struct Edge {
    /// The process.
    pub process: Process,
    /// HTTP port for viewers.
    pub http: u16,
    /// Admin port.
    pub admin: u16,
}

impl Edge {
    /// Starts an edge called `name` in `folder` on free ports, in front of origins on these local
    /// `origins` ports; `settings` follow `[edge]`'s own keys in its config file.
    pub async fn start(folder: &Path, name: &str, origins: &[u16], settings: &str) -> Self {
        let mut command = Command::new(binary("panocast-edge"));
        Self::start_by(&mut command, folder, name, origins, settings).await
    }

    /// The same through `command`, which ends in the program's path.
    pub async fn start_by(
        command: &mut Command,
        folder: &Path,
        name: &str,
        origins: &[u16],
        settings: &str,
    ) -> Self {
        let (http, admin) = (free_port(), free_port());
        let origins: Vec<String> = origins
            .iter()
            .map(|port| format!("http://127.0.0.1:{port}"))
            .collect();
        let config = folder.join(format!("{name}.toml"));
        let text = format!(
            "[log]\nlevel = \"info\"\n[store]\negress = \"file://{0}/egress\"\n[edge]\nname = \"{name}\"\n\
             listen = \"127.0.0.1:{http}\"\nadmin_listen = \"127.0.0.1:{admin}\"\norigins = {origins:?}\n{settings}\n",
            folder.display()
        );
        fs::write(&config, text).expect("config is written");
        let mut process = Process::start(folder, name, command.arg("--config").arg(&config));
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        process.until_ok("the edge is ready", &ready).await;
        Self {
            process,
            http,
            admin,
        }
    }

    /// A public URL.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// A URL of the admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// GET of a public path.
    pub async fn get(&self, path: &str) -> Answer {
        get(&self.url(path))
            .await
            .unwrap_or_else(|| panic!("no answer for {path}"))
    }

    /// The sum of all figures whose line starts with `name` (labels included, as far as given).
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = get(&self.admin_url("/metrics"))
            .await
            .expect("admin answers");
        let text = answer.text();
        let values = text.lines().filter(|line| line.starts_with(name));
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until the figures named `name` sum to what `wanted` accepts.
    pub async fn metric_when(&self, name: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        until(&format!("{name} is as wanted"), PATIENCE, async || {
            Some(self.metric(name).await).filter(|value| wanted(*value))
        })
        .await
    }
}
