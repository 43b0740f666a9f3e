//! `panocast`: everything on one machine (`up`), and small tools for whoever runs it.

mod probe;
mod up;
mod vod;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service::cli;

/// Live immersive (360°) video: RTMP in, HLS out, recordings as VOD.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run origin, edge, transcoder and test source in this process
    Up(up::Arguments),
    /// Transcode a local file into a folder, as a worker would: no service needed
    Vod(vod::Arguments),
    /// Watch any HLS URL and report every rule it breaks
    Probe(probe::Arguments),
}

fn main() -> ExitCode {
    cli::exit(match Arguments::parse().command {
        Command::Up(arguments) => up::start(&arguments),
        Command::Vod(arguments) => vod::start(&arguments),
        Command::Probe(arguments) => return probe::start(&arguments),
    })
}
