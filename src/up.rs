//! `panocast up`: one process, every role, ready to be watched.
//!
//! Each role runs exactly as its own binary would run it, on its own listeners, so that what works
//! here works in a fleet. This file only starts them in order, tells people where to look, and ends
//! them in order: the source first, so that nothing new arrives; then the origin, which seals
//! recordings; then the edge and the workers.

use std::{
    future::Future,
    io::{IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use service::{
    Clock,
    cli::Common,
    config::File,
    http::{Body, Client},
    interruption::{self, Cause, Metadata, Source, Trigger},
};
use tokio::task::JoinHandle;

/// How often the wait for the first picture looks again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The stream that the test source publishes and people are shown.
const STREAM: &str = "test";

/// Arguments of `panocast up`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Do not publish the test picture: wait for an encoder
    #[arg(long)]
    no_test_source: bool,
}

/// Every role's settings.
struct Settings {
    origin: origin::Config,
    edge: edge::Config,
    transcoder: transcoder::Config,
    test_source: test_source::Config,
    stores: service::config::Stores,
    jobs: service::config::Jobs,
    log: service::log::Config,
    /// Where this machine is told that it will go.
    metadata: Metadata,
}

impl Settings {
    fn load(file: &File) -> Result<Self> {
        let test_source: test_source::Config = file.section("test-source")?;
        if let Err(problem) = test_source.check() {
            return Err(file
                .reject(&format!("test-source.{}", problem.key), problem.reason)
                .into());
        }
        let log: service::log::Config = file.section("log")?;
        log.filter()?;
        let origin = origin::Config::load(file)?;
        let edge = edge::Config::load(file)?;
        let transcoder = transcoder::Config::load(file)?;
        let metadata = one_metadata(
            file,
            [
                ("origin.drain.metadata", &origin.drain.metadata),
                ("edge.drain.metadata", &edge.drain.metadata),
                ("transcoder.drain.metadata", &transcoder.drain.metadata),
            ],
        )?;
        Ok(Self {
            origin,
            edge,
            transcoder,
            metadata,
            test_source,
            stores: file.section("store")?,
            jobs: file.section("jobs")?,
            log,
        })
    }
}

/// The one metadata service that the roles name: they share this machine, and with it its end.
fn one_metadata(file: &File, named: [(&str, &Metadata); 3]) -> Result<Metadata> {
    let mut found: Option<(&str, &Metadata)> = None;
    for (key, metadata) in named {
        let Some(url) = metadata.url() else { continue };
        if let Some((other, known)) = found
            && known.url() != Some(url)
        {
            let reason = format!(
                "= {url:?} is not what {other} says, and one machine has one metadata service; \
                 give both the same or leave one out"
            );
            return Err(file.reject(key, reason).into());
        }
        found = Some((key, metadata));
    }
    Ok(found.map_or_else(Metadata::off, |(_, metadata)| metadata.clone()))
}

/// Runs everything until SIGINT, SIGTERM or the cloud's notice that this machine will go.
pub fn start(arguments: &Arguments) -> Result<()> {
    let file = arguments.common.load()?;
    let settings = Settings::load(&file)?;
    if arguments.common.check_config {
        arguments.common.say_usable();
        return Ok(());
    }
    service::log::init(&settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(settings, !arguments.no_test_source))
}

/// A role that runs, and how to tell it to end.
struct Role {
    name: &'static str,
    trigger: Trigger,
    task: JoinHandle<Result<()>>,
}

impl Role {
    fn spawn<F>(name: &'static str, clock: &Clock, run: impl FnOnce(Trigger, Source) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (trigger, notices) = interruption::source(Metadata::off(), false, clock.clone());
        let task = tokio::spawn(run(trigger.clone(), notices));
        Self {
            name,
            trigger,
            task,
        }
    }

    async fn end(self, cause: &Cause, deadline: Option<Duration>) -> Result<()> {
        self.trigger.interrupt(cause.clone(), deadline);
        self.task
            .await
            .with_context(|| format!("the {} failed", self.name))?
    }
}

async fn run(settings: Settings, with_test_source: bool) -> Result<()> {
    let clock = Clock::real();
    let metadata = settings.metadata.clone();
    #[cfg(feature = "aws")]
    let hooks = [
        (
            settings.origin.drain.auto_scaling_group.clone(),
            settings.origin.drain.lifecycle_hook.clone(),
        ),
        (
            settings.transcoder.drain.auto_scaling_group.clone(),
            settings.transcoder.drain.lifecycle_hook.clone(),
        ),
    ];
    let (_trigger, mut notices) = interruption::source(metadata, true, clock.clone());
    let Settings {
        mut origin,
        mut edge,
        transcoder,
        mut test_source,
        stores,
        jobs,
        ..
    } = settings;
    introduce(&mut origin, &edge, &transcoder);
    let recorder = match origin.record {
        true => Some(origin::recorder::open::open(&origin.recorder, &stores, &jobs).await?),
        false => None,
    };
    let origin = origin::App::build(origin, recorder, clock.clone()).await?;
    let addresses = origin.addresses();
    // The origin of this process, on the port it really has.
    edge.origins = vec![format!("http://{}", reachable(addresses.http))];
    let backends = transcoder::Backends::open(&stores, &jobs).await?;
    let egress = Some(backends.egress.clone());
    let edge = edge::App::build(edge, egress, clock.clone()).await?;
    let public = reachable(edge.addresses().http);
    let transcoder = transcoder::App::build(transcoder, backends, clock.clone())?;

    let mut roles = vec![
        Role::spawn("transcoder", &clock, |trigger, notices| {
            transcoder.run(trigger, notices)
        }),
        Role::spawn("edge", &clock, |trigger, notices| {
            edge.run(trigger, notices)
        }),
        Role::spawn("origin", &clock, |trigger, notices| {
            origin.run(trigger, notices)
        }),
    ];
    let rtmp = reachable(addresses.rtmp);
    say_where(public, rtmp, reachable(addresses.admin));
    if with_test_source {
        test_source.targets = vec![format!("rtmp://{rtmp}/live/{STREAM}").parse()?];
        roles.push(Role::spawn(
            "test source",
            &clock,
            |_, mut notices| async move {
                let shutdown = async move {
                    notices.interrupted(|| {}).await;
                };
                Ok(test_source::run(test_source, shutdown).await?)
            },
        ));
    }
    let picture = tokio::spawn(first_picture(public, clock.clone()));
    let rebalance = || tracing::warn!("rebalance recommended: this machine may be taken soon");
    let (cause, deadline) = tokio::select! {
        told = notices.interrupted(rebalance) => told,
        failed = first_failure(&mut roles) => return failed,
    };
    picture.abort();
    eprintln!("\n{cause}: ending; recordings are sealed first");
    while let Some(role) = roles.pop() {
        role.end(&cause, deadline).await?;
    }
    // The edge answers its own hook when it has drained.
    #[cfg(feature = "aws")]
    for (group, hook) in hooks.into_iter().filter(|(_, hook)| hook.is_some()) {
        interruption::aws::leave_group(group, hook, &settings.metadata, &clock).await?;
    }
    Ok(())
}

/// The operator's page shows the other roles of this process, unless the config names whom to show.
fn introduce(origin: &mut origin::Config, edge: &edge::Config, transcoder: &transcoder::Config) {
    let page = &mut origin.operator;
    let url = |address| format!("http://{}", reachable(address));
    if page.edges.is_empty() && edge.admin_listen.port() != 0 {
        page.edges.push(url(edge.admin_listen));
    }
    if page.transcoders.is_empty() && transcoder.admin_listen.port() != 0 {
        page.transcoders.push(url(transcoder.admin_listen));
    }
    if page.player.is_none() && edge.listen.port() != 0 {
        page.player = Some(url(edge.listen) + "/");
    }
}

/// A role ended without being told to: nothing works without it, so say why and end.
async fn first_failure(roles: &mut [Role]) -> Result<()> {
    loop {
        if let Some(role) = roles.iter_mut().find(|role| role.task.is_finished()) {
            return (&mut role.task)
                .await
                .with_context(|| format!("the {} failed", role.name))?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An address that a browser on this machine can open.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

fn say_where(public: SocketAddr, rtmp: SocketAddr, admin: SocketAddr) {
    println!("Panocast");
    println!("  watch    http://{public}/?url=/hls/{STREAM}.m3u8");
    println!(
        "  publish  rtmp://{rtmp}/live/<stream>   (OBS: Server rtmp://{rtmp}/live, Stream Key <stream>)"
    );
    println!("  operate  http://{admin}/    (/api/streams /healthz /readyz /metrics)");
}

/// Says when the test stream can be watched, as a viewer would find out; a line that counts until
/// then.
async fn first_picture(public: SocketAddr, clock: Clock) {
    let client = Client::new(Duration::from_secs(1));
    let url = format!("http://{public}/hls/{STREAM}.m3u8");
    let started = clock.now();
    let terminal = std::io::stdout().is_terminal();
    loop {
        let request = http::Request::get(&url).body(Body::empty());
        let Ok(request) = request else { return };
        let answer = client.send(request, Duration::from_secs(2)).await;
        let waited = (clock.now() - started).as_secs_f64();
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            let clear = if terminal { "\r" } else { "" };
            println!("{clear}  playing  after {waited:.1} s                              ");
            return;
        }
        if terminal {
            print!("\r  waiting for the first picture: {waited:.0} s ");
            let _ = std::io::stdout().flush();
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let file = File::parse("up.toml", text).map_err(|error| error.to_string())?;
        Settings::load(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn one_machine_has_one_metadata_service() {
        assert_eq!(load("").unwrap().metadata, Metadata::off());
        let here = "metadata = \"http://127.0.0.1:1\"";
        for role in ["origin", "edge", "transcoder"] {
            let settings = load(&format!("[{role}.drain]\n{here}\n")).unwrap();
            assert_eq!(
                settings.metadata.url(),
                Some("http://127.0.0.1:1"),
                "{role}"
            );
        }
        assert!(load(&format!("[origin.drain]\n{here}\n[edge.drain]\n{here}\n")).is_ok());
        let two = format!(
            "[origin.drain]\n{here}\n[edge.drain]\n{}",
            here.replace(":1\"", ":2\"")
        );
        let error = load(&two).map(drop).unwrap_err();
        assert!(error.contains("up.toml:4: edge.drain.metadata"), "{error}");
        assert!(error.contains("origin.drain.metadata"), "{error}");
    }
}
