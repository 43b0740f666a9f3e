//! `panocast vod FILE`: one local file to VOD in a local folder, with a bar to watch.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Result;
use service::{Clock, cli::Common};
use transcoder::progress::Progress;

/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `panocast vod`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,

    /// What to transcode
    file: PathBuf,

    /// Where the result goes, as <folder>/vod/<asset>/index.m3u8
    #[arg(long, value_name = "FOLDER", default_value = "var/egress")]
    out: PathBuf,
}

/// Transcodes and says where the result is.
pub fn start(arguments: &Arguments) -> Result<()> {
    let file = arguments.common.load()?;
    let config = transcoder::Config::load(&file)?;
    if arguments.common.check_config {
        arguments.common.say_usable();
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let vod = runtime.block_on(async {
        let progress = Progress::new(Clock::real());
        let bar = tokio::spawn(show(progress.clone()));
        let settings = config.settings();
        let made =
            transcoder::vod_file(&arguments.file, &arguments.out, &settings, &progress).await;
        bar.abort();
        made
    })?;
    if std::io::stderr().is_terminal() {
        // Over the bar.
        eprint!("\r");
    }
    for warning in &vod.warnings {
        eprintln!("warning: {}: {warning}", arguments.file.display());
    }
    println!("\r{}/vod/{}/index.m3u8", arguments.out.display(), vod.asset);
    Ok(())
}

async fn show(progress: Progress) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    loop {
        if let Some(line) = transcoder::bar(&progress.report()) {
            eprint!("\r{line}  ");
            let _ = std::io::stderr().flush();
        }
        tokio::time::sleep(BAR_EVERY).await;
    }
}
