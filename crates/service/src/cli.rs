//! The arguments every role's binary shares, and how it ends.

use std::{path::PathBuf, process::ExitCode};

use crate::config;

/// `EX_USAGE`, for a configuration that cannot be used.
const EXIT_CONFIG: u8 = 64;

/// Arguments common to all binaries; flatten it into a `clap::Parser`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Common {
    /// Configuration file (TOML); without one every setting has its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration, say whether it is usable, and end
    #[arg(long)]
    pub check_config: bool,
}

impl Common {
    /// Opens the file that was named, or the defaults.
    pub fn load(&self) -> Result<config::File, config::Error> {
        config::File::open(self.config.as_deref())
    }

    /// What `--check-config` prints when all is well.
    pub fn say_usable(&self) {
        match &self.config {
            Some(path) => println!("config {}: usable", path.display()),
            None => println!("config: no file given, the defaults are usable"),
        }
    }
}

/// Ends a binary: prints the error and its causes to standard error, and tells a bad configuration
/// (64) from a failure at work (1).
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.downcast_ref::<config::Error>() {
                Some(_) => ExitCode::from(EXIT_CONFIG),
                None => ExitCode::FAILURE,
            }
        }
    }
}
