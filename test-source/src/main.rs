//! Runs `panocast-test-source`: publishes a 360° test stream to any RTMP server.

use std::{io::Read, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use service::{
    Clock, cli,
    interruption::{self, Metadata},
};
use test_source::{Config, Rate, Target, blocks};

/// Publishes a 360° test stream: bars, grid, timecode and tone.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: cli::Common,

    /// Publish there instead of to the configured targets (repeatable)
    #[arg(long, value_name = "RTMP URL")]
    to: Vec<Target>,

    /// Picture width in pixels
    #[arg(long)]
    width: Option<u32>,

    /// Pictures per second: 30, 29.97 or 30000/1001
    #[arg(long)]
    frame_rate: Option<Rate>,

    /// Video bits per second, such as 6000k
    #[arg(long)]
    bitrate: Option<service::config::Bitrate>,

    /// From one keyframe to the next, such as 2s
    #[arg(long)]
    gop: Option<service::config::Duration>,

    /// equirectangular, half-equirectangular, cubemap, eac, dual-fisheye or rectilinear
    #[arg(long)]
    projection: Option<media::Projection>,

    /// mono, top-bottom, side-by-side or right-left
    #[arg(long)]
    stereo: Option<media::StereoLayout>,

    #[command(flatten)]
    faults: Faults,

    /// Read grey 8-bit pictures of this size from standard input and print what their blocks say
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    read_blocks: Option<(usize, usize)>,

    /// Write one picture (PPM) to this file and end
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// What goes wrong on purpose.
#[derive(Debug, clap::Args)]
struct Faults {
    /// Cut the connection this often
    #[arg(long)]
    drop_every: Option<service::config::Duration>,

    /// Stay away this long after a cut
    #[arg(long)]
    drop_for: Option<service::config::Duration>,

    /// Let the publisher's clock jump this often
    #[arg(long)]
    jump_every: Option<service::config::Duration>,

    /// Jump by this many milliseconds
    #[arg(long, allow_negative_numbers = true)]
    jump_by_ms: Option<i64>,

    /// Send nothing for a while this often
    #[arg(long)]
    stall_every: Option<service::config::Duration>,

    /// Send nothing for this long
    #[arg(long)]
    stall_for: Option<service::config::Duration>,

    /// Send no audio for a while this often
    #[arg(long)]
    mute_every: Option<service::config::Duration>,

    /// Send no audio for this long
    #[arg(long)]
    mute_for: Option<service::config::Duration>,

    /// Change the picture's size this often
    #[arg(long)]
    resize_every: Option<service::config::Duration>,

    /// Damage a picture this often
    #[arg(long)]
    damage_every: Option<service::config::Duration>,

    /// Start each connection's clock here
    #[arg(long)]
    first_timestamp_ms: Option<u32>,
}

fn main() -> ExitCode {
    cli::exit(run())
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let file = arguments.common.load()?;
    let log: service::log::Config = file.section("log")?;
    let mut config: Config = file.section("test-source")?;
    arguments.apply(&mut config);
    if let Err(problem) = config.check() {
        let key = format!("test-source.{}", problem.key);
        return Err(file.reject(&key, problem.reason).into());
    }
    if arguments.common.check_config {
        arguments.common.say_usable();
        return Ok(());
    }
    if let Some((width, height)) = arguments.read_blocks {
        return read_blocks(width, height, &config.immersive());
    }
    service::log::init(&log)?;
    if let Some(path) = &arguments.picture {
        let mut out = std::fs::File::create(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let now = Clock::real().wall().duration_since(std::time::UNIX_EPOCH)?;
        return Ok(test_source::snapshot::write(&config, now, &mut out)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let (_trigger, mut notices) = interruption::source(Metadata::off(), true, Clock::real());
        let shutdown = async move {
            while !matches!(
                notices.next().await,
                interruption::Notice::Interruption { .. }
            ) {}
        };
        Ok(test_source::run(config, shutdown).await?)
    })
}

/// Prints the time, the picture's number and its age now, all in milliseconds; `-` for no blocks.
fn read_blocks(width: usize, height: usize, immersive: &media::Immersive) -> anyhow::Result<()> {
    let mut data = vec![0; width * height];
    let mut input = std::io::stdin().lock();
    let clock = Clock::real();
    while input.read_exact(&mut data).is_ok() {
        let luma = blocks::Luma {
            data: &data,
            width,
            height,
            stride: width,
        };
        let now = clock.wall().duration_since(std::time::UNIX_EPOCH)?;
        match blocks::read(luma, immersive) {
            Some(stamp) => {
                let age_ms = now.as_millis() as i128 - i128::from(stamp.unix_ms);
                println!("{} {} {age_ms}", stamp.unix_ms, stamp.frame);
            }
            None => println!("-"),
        }
    }
    Ok(())
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let side = |text: &str| {
        text.parse()
            .ok()
            .filter(|side| (16..=16_384).contains(side))
    };
    text.split_once('x')
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .ok_or_else(|| "write it as 480x240, sides of 16 to 16384".to_owned())
}

impl Arguments {
    fn apply(&self, config: &mut Config) {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                *to = value.clone();
            }
        }
        if !self.to.is_empty() {
            config.targets.clone_from(&self.to);
        }
        set(&mut config.width, &self.width);
        set(&mut config.frame_rate, &self.frame_rate);
        set(&mut config.bitrate, &self.bitrate);
        set(&mut config.gop, &self.gop);
        set(&mut config.projection, &self.projection);
        set(&mut config.stereo, &self.stereo);
        let (to, from) = (&mut config.faults, &self.faults);
        set(&mut to.drop_every, &from.drop_every);
        set(&mut to.drop_for, &from.drop_for);
        set(&mut to.jump_every, &from.jump_every);
        set(&mut to.jump_by_ms, &from.jump_by_ms);
        set(&mut to.stall_every, &from.stall_every);
        set(&mut to.stall_for, &from.stall_for);
        set(&mut to.mute_every, &from.mute_every);
        set(&mut to.mute_for, &from.mute_for);
        set(&mut to.resize_every, &from.resize_every);
        set(&mut to.damage_every, &from.damage_every);
        set(&mut to.first_timestamp_ms, &from.first_timestamp_ms);
    }
}
