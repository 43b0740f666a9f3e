//! `panocast probe URL`: watches a live HLS stream from outside and says which rules it breaks.
//!
//! ```text
//! multivariant playlist --> one watcher per rendition --> Findings --> Report
//!                            reloads as a player does      ^
//!                            hls::check judges texts ------+
//!                            its own rules judge HTTP -----+
//! ```
//!
//! It works on any server's stream, over HTTP and HTTPS. It does what a low-latency player does
//! (blocking reloads, preload hints, delta updates) where the stream offers it, and reloads by the
//! clock elsewhere. It fetches what it sees listed, so it costs the server one viewer per
//! rendition. What it does not do: decode media.

mod fetch;
mod findings;
mod report;
mod rule;
mod watch;

#[cfg(test)]
mod tests;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hls::check::{Listed, Multivariant, check_multivariant};
use url::Url;

use self::{fetch::Fetcher, findings::Findings, rule::Rule, watch::Watcher};

pub use self::report::Report;

/// Renditions watched at once; more than any sensible multivariant playlist lists.
const RENDITIONS_MAX: usize = 32;

/// Arguments of `panocast probe`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A multivariant or media playlist, http:// or https://
    url: String,

    /// How long to watch, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    seconds: u64,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    /// Reload by the clock even where the stream offers low latency
    #[arg(long)]
    no_low_latency: bool,

    /// Read playlists only, fetch no media
    #[arg(long)]
    no_media: bool,
}

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long.
    pub duration: Duration,
    /// Use blocking reloads, hints and delta updates where offered.
    pub low_latency: bool,
    /// Fetch the segments and parts that are listed.
    pub media: bool,
}

/// Watches and prints. Exit code 0: no rule broken; 1: broken rules; 2: the stream cannot be
/// watched.
pub fn start(arguments: &Arguments) -> ExitCode {
    let options = Options {
        duration: Duration::from_secs(arguments.seconds),
        low_latency: !arguments.no_low_latency,
        media: !arguments.no_media,
    };
    match watch_blocking(&arguments.url, options) {
        Ok(report) if arguments.json => {
            println!("{}", report.json());
            ExitCode::from(report.exit_code())
        }
        Ok(report) => {
            print!("{report}");
            ExitCode::from(report.exit_code())
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn watch_blocking(url: &str, options: Options) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(url, options))
}

/// A playlist to watch.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    url: Url,
    /// BANDWIDTH of the best variant that uses it; not known of alternative renditions.
    bandwidth: Option<u64>,
}

/// Watches `url` for as long as `options` say, or until every playlist has ended.
pub async fn run(url: &str, options: Options) -> Result<Report> {
    let url = Url::parse(url).with_context(|| format!("{url} is no URL"))?;
    let fetcher = Fetcher::new()?;
    let findings = Findings::new();
    let answer = fetcher.get(&url, fetch::PLAIN_LIMIT).await?;
    anyhow::ensure!(
        answer.status.is_success(),
        "cannot watch {url}: it answers {}",
        answer.status
    );
    let text = answer.text();
    let targets = if Multivariant::is_likely(&text) {
        let (listed, found) = check_multivariant(&text);
        findings.charge_all(found);
        findings.headers("multivariant", &answer, true);
        targets(&answer.url, &listed)
    } else {
        let name = "media".to_owned();
        let url = answer.url.clone();
        vec![Target {
            name,
            url,
            bandwidth: None,
        }]
    };
    anyhow::ensure!(
        !targets.is_empty(),
        "cannot watch {url}: it lists no playlist"
    );
    let siblings: Arc<[Target]> = targets.into();
    let mut watchers = tokio::task::JoinSet::new();
    for (index, target) in siblings.iter().enumerate() {
        let watcher = Watcher::new(
            target.clone(),
            Arc::clone(&siblings),
            fetcher.clone(),
            findings.clone(),
            options,
        );
        watchers.spawn(async move { (index, watcher.run().await) });
    }
    let mut figures = Vec::new();
    while let Some(done) = watchers.join_next().await {
        figures.push(done.context("a watcher failed")?);
    }
    figures.sort_by_key(|(index, _)| *index);
    let figures = figures.into_iter().map(|(_, figures)| figures).collect();
    Ok(Report::new(
        &url,
        findings.seconds(),
        figures,
        findings.take(),
    ))
}

/// Every playlist once, variants first.
fn targets(base: &Url, listed: &Multivariant) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let variants = listed.variants.iter().map(|listed| (listed, true));
    let others = listed.renditions.iter().map(|listed| (listed, false));
    for (Listed { uri, attributes }, is_variant) in variants.chain(others) {
        let Ok(url) = base.join(uri) else { continue };
        let bandwidth = attributes
            .get("BANDWIDTH")
            .and_then(|rate| rate.parse().ok());
        let bandwidth: Option<u64> = bandwidth.filter(|_| is_variant);
        if let Some(known) = targets.iter_mut().find(|target| target.url == url) {
            known.bandwidth = known.bandwidth.max(bandwidth);
        } else if targets.len() < RENDITIONS_MAX {
            let name = uri.split('?').next().unwrap_or(uri).to_owned();
            targets.push(Target {
                name,
                url,
                bandwidth,
            });
        }
    }
    shorten(&mut targets);
    targets
}

/// `foo/source/index.m3u8` becomes `source` where that is enough to tell it from the others.
fn shorten(targets: &mut [Target]) {
    let folder = |target: &Target| -> Option<String> {
        let mut path = target.url.path_segments()?.rev();
        path.next()?;
        path.next().map(str::to_owned)
    };
    let folders: Vec<Option<String>> = targets.iter().map(folder).collect();
    let distinct = folders
        .iter()
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    if distinct < targets.len() {
        return;
    }
    for (target, folder) in targets.iter_mut().zip(folders) {
        if let Some(folder) = folder {
            target.name = folder;
        }
    }
}
