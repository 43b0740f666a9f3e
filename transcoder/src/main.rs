//! `panocast-transcoder`: the transcoder on its own.

use std::process::ExitCode;

use clap::Parser;
use service::{
    Clock,
    cli::{self, Common},
    config::{Jobs, Stores},
    interruption, log,
};
use transcoder::{App, Backends, Config};

/// Recordings in, VOD out.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    cli::exit(start(&Arguments::parse().common))
}

fn start(common: &Common) -> anyhow::Result<()> {
    let file = common.load()?;
    let config = Config::load(&file)?;
    let (stores, jobs): (Stores, Jobs) = (file.section("store")?, file.section("jobs")?);
    let log: log::Config = file.section("log")?;
    log.filter()?;
    if common.check_config {
        common.say_usable();
        return Ok(());
    }
    log::init(&log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let clock = Clock::real();
        let metadata = config.drain.metadata.clone();
        #[cfg(feature = "aws")]
        let drain = config.drain.clone();
        let (trigger, notices) = interruption::source(metadata, true, clock.clone());
        let backends = Backends::open(&stores, &jobs).await?;
        App::build(config, backends, clock.clone())?
            .run(trigger, notices)
            .await?;
        #[cfg(feature = "aws")]
        interruption::aws::leave_group(
            drain.auto_scaling_group,
            drain.lifecycle_hook,
            &drain.metadata,
            &clock,
        )
        .await?;
        Ok(())
    })
}
