//! `panocast-edge`: the edge on its own.

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use edge::{App, Config};
use service::{
    Clock,
    cli::{self, Common},
    config::Stores,
    interruption, log,
};

/// HLS-aware caching proxy
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
    let stores: Stores = file.section("store")?;
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
        let options = store::Options {
            endpoint: stores.endpoint.clone(),
            path_style: stores.path_style,
            region: stores.region.clone(),
            credentials: None,
        };
        let egress = Arc::from(store::open(&stores.egress, &options).await?);
        let metadata = config.drain.metadata.clone();
        let (trigger, notices) = interruption::source(metadata, true, clock.clone());
        App::build(config, Some(egress), clock)
            .await?
            .run(trigger, notices)
            .await
    })
}
