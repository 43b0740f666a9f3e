//! A simulated S3 and SQS on a free loopback port, for one test binary's life.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A running server; ends when dropped.
pub struct Moto {
    process: Child,
    /// `http://127.0.0.1:<port>`
    pub endpoint: String,
}

impl Moto {
    /// Starts one, and fails with the line to run where it is not installed.
    pub fn start() -> Self {
        let venv = std::env::var_os("PANOCAST_VENV").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/panocast/venv"),
            PathBuf::from,
        );
        let program = venv.join("bin/python3");
        let install = format!(
            "moto is missing; run: python3 -m venv {venv} && {venv}/bin/pip install 'moto[server,all]'",
            venv = venv.display()
        );
        let mut process = Command::new(&program)
            .args(["-c", include_str!("moto.py")])
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|_| panic!("{install}"));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let endpoint = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("Running on ")
                    .map(|(_, url)| url.trim().to_owned())
            })
            .unwrap_or_else(|| panic!("{install}"));
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
