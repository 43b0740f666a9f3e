//! `panocast-origin`: the origin on its own.

use std::process::ExitCode;

use clap::Parser;
use origin::{App, Config, recorder};
use service::{
    Clock,
    cli::{self, Common},
    interruption, log,
};

/// RTMP in, aligned HLS out.
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
    let log: log::Config = file.section("log")?;
    log.filter()?;
    let (stores, jobs) = (file.section("store")?, file.section("jobs")?);
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
        #[cfg(feature = "aws")]
        let drain = config.drain.clone();
        let (trigger, notices) =
            interruption::source(config.drain.metadata.clone(), true, clock.clone());
        let recorder = match config.record {
            true => Some(recorder::open::open(&config.recorder, &stores, &jobs).await?),
            false => None,
        };
        let app = App::build(config, recorder, clock.clone()).await?;
        app.run(trigger, notices).await?;
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
