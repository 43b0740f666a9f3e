//! The `[origin]` section of the config file: text to typed, checked values. Nothing reads a
//! setting elsewhere.
//!
//! Every key has a default, so that an empty file is a working origin on one machine.
//! `deploy/config/origin.toml` shows each key with its default, unit and cost, and a test holds it
//! equal to what stands here.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use media::{Immersive, Orientation, Projection, StereoLayout};
use serde::Deserialize;
use service::{
    config::{Bitrate, ByteSize, Duration, Error, File, Secret},
    interruption::Metadata,
};

mod operator;
mod publish;

pub use operator::OperatorConfig;
pub use publish::{Key, Keys, OnConflict, Publish};

/// Rungs in a ladder beyond this help nobody and cost a decoder's worth of CPU each.
pub const LADDER_RUNGS_MAX: usize = 8;

/// `[origin]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where publishers connect.
    pub rtmp_listen: SocketAddr,
    /// Where edges fetch.
    pub http_listen: SocketAddr,
    /// Where operators and probes look.
    pub admin_listen: SocketAddr,
    /// Bearer token of the admin listener; demanded beyond loopback.
    pub admin_token: Option<Secret>,
    /// Record every stream into the ingest store.
    pub record: bool,
    /// The other origin's HTTP address, if there are two.
    pub peer: Option<String>,
    /// What the two origins show each other.
    pub peer_secret: Option<Secret>,
    /// This origin wins ties against its peer.
    pub primary: bool,
    /// Streams at once.
    pub max_streams: usize,
    /// Publishers and would-be publishers at once.
    pub max_connections: usize,
    /// TLS for the HTTP listener.
    pub tls: Option<service::http::TlsConfig>,
    /// Folder of what outlives the process: discontinuity numbers, listed and recently removed
    /// segments.
    pub state: PathBuf,
    /// Who may publish.
    pub publish: Publish,
    /// Segments, parts, window.
    pub hls: Hls,
    /// Transcoded rungs; empty means pass-through only.
    pub ladder: Vec<Rung>,
    /// Threads for decoding and encoding; 0 lets the encoder choose.
    pub ladder_threads: usize,
    /// How pictures lie on the sphere.
    pub immersive: ImmersiveConfig,
    /// What differs for single streams.
    pub streams: BTreeMap<String, StreamOverride>,
    /// The recorder's local side.
    pub recorder: RecorderConfig,
    /// Elastic IP and network interface to attach at start.
    pub aws: Aws,
    /// Edges and transcoders polled for the operator page.
    pub operator: OperatorConfig,
    /// Leaving.
    pub drain: Drain,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rtmp_listen: SocketAddr::from(([0, 0, 0, 0], 1935)),
            http_listen: SocketAddr::from(([0, 0, 0, 0], 8081)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            admin_token: None,
            record: true,
            peer: None,
            peer_secret: None,
            primary: true,
            max_streams: 64,
            max_connections: 1024,
            tls: None,
            state: PathBuf::from("var/origin"),
            publish: Publish::default(),
            hls: Hls::default(),
            ladder: default_ladder(),
            ladder_threads: 0,
            immersive: ImmersiveConfig::default(),
            streams: BTreeMap::new(),
            recorder: RecorderConfig::default(),
            operator: OperatorConfig::default(),
            aws: Aws::default(),
            drain: Drain::default(),
        }
    }
}

/// `[origin.hls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hls {
    /// Segments are cut at the first keyframe this long after the last cut.
    pub segment_target: Duration,
    /// Longest part.
    pub part_target: Duration,
    /// What a live playlist lists.
    pub window: Duration,
    /// Publish low-latency playlists (parts, blocking reload).
    pub low_latency: bool,
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            segment_target: seconds(2),
            part_target: Duration(std::time::Duration::from_millis(500)),
            window: seconds(60),
            low_latency: true,
        }
    }
}

/// One `[[origin.ladder]]` entry.
pub type Rung = contract::RungConfig<Bitrate>;

fn default_ladder() -> Vec<Rung> {
    let in_text = |bits: u32| Bitrate(u64::from(bits));
    let rungs = contract::live_ladder().into_iter();
    rungs.map(|rung| rung.map_bitrate(in_text)).collect()
}

/// `[origin.immersive]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ImmersiveConfig {
    /// Sphere to picture.
    pub projection: Projection,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// Where the picture's centre lies, degrees.
    pub yaw: f64,
    /// The same, up and down.
    pub pitch: f64,
    /// The same, tilt.
    pub roll: f64,
    /// What one lens of a dual fisheye sees, or the width of a flat picture, degrees.
    pub fov: Option<f64>,
}

impl ImmersiveConfig {
    /// What is wrong with the angles.
    pub fn fault(&self) -> Option<String> {
        let fov = self.fov.filter(|fov| !(20.0..=270.0).contains(fov));
        if let Some(fov) = fov {
            return Some(format!("has fov = {fov}, outside 20 to 270 degrees"));
        }
        let angles = [
            ("yaw", self.yaw, 180.0),
            ("pitch", self.pitch, 90.0),
            ("roll", self.roll, 180.0),
        ];
        let wrong = angles
            .into_iter()
            .find(|(_, angle, most)| !(-most..=*most).contains(angle));
        wrong.map(|(name, angle, most)| {
            format!("has {name} = {angle}, outside -{most} to {most} degrees")
        })
    }
}

impl From<ImmersiveConfig> for Immersive {
    fn from(config: ImmersiveConfig) -> Self {
        Immersive {
            projection: config.projection,
            stereo: config.stereo,
            fov: config.fov,
            orientation: Orientation {
                yaw: config.yaw,
                pitch: config.pitch,
                roll: config.roll,
            },
        }
    }
}

/// `[origin.streams.<name>]`: what differs for one stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamOverride {
    /// Replaces `[origin.immersive]`.
    pub immersive: Option<ImmersiveConfig>,
    /// Replaces `[[origin.ladder]]`.
    pub ladder: Option<Vec<Rung>>,
    /// Replaces `record`.
    pub record: Option<bool>,
}

/// `[origin.recorder]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecorderConfig {
    /// Where open recordings wait until the store has confirmed them.
    pub spool: PathBuf,
    /// Most disk the spool may take; the oldest confirmed data goes first.
    pub quota: ByteSize,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            spool: PathBuf::from("var/spool"),
            quota: ByteSize(20 << 30),
        }
    }
}

/// `[origin.aws]`: what this origin takes over from the instance before it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aws {
    /// Network interface that outlives instances.
    pub eni: Option<String>,
    /// Allocation of the Elastic IP that belongs on it.
    pub eip_allocation: Option<String>,
}

impl Aws {
    /// Why these settings cannot work, with the key; `metadata` names this instance.
    fn fault(&self, metadata: &Metadata) -> Option<(&'static str, String)> {
        let misnamed = |name: &Option<String>, start: &str| {
            name.as_ref().is_some_and(|name| !name.starts_with(start))
        };
        if misnamed(&self.eni, "eni-") {
            return Some(("aws.eni", "is no network interface's id: eni-…".into()));
        }
        if misnamed(&self.eip_allocation, "eipalloc-") {
            let reason = "is no Elastic IP's allocation id: eipalloc-…";
            return Some(("aws.eip_allocation", reason.into()));
        }
        if self.eni.is_none() {
            let reason = "needs origin.aws.eni, the interface that it belongs on";
            let set = self.eip_allocation.is_some();
            return set.then(|| ("aws.eip_allocation", reason.into()));
        }
        if metadata.url().is_none() {
            let url = Metadata::EC2;
            let reason = format!("needs origin.drain.metadata = \"{url}\" to know this instance");
            return Some(("aws.eni", reason));
        }
        if !cfg!(feature = "ec2") {
            let reason = "cannot be used: this program was built without EC2; build it with \
                          `--features ec2`";
            return Some(("aws.eni", reason.into()));
        }
        None
    }
}

/// `[origin.drain]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Where the cloud's notices are, or `off`.
    pub metadata: Metadata,
    /// The group whose lifecycle hook waits for this machine.
    pub auto_scaling_group: Option<String>,
    /// That hook.
    pub lifecycle_hook: Option<String>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            metadata: Metadata::off(),
            auto_scaling_group: None,
            lifecycle_hook: None,
        }
    }
}

/// What holds for one stream after its overrides.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Publish rules.
    pub publish: Publish,
    /// Segments, parts, window.
    pub hls: Hls,
    /// Rungs.
    pub ladder: Vec<Rung>,
    /// Threads for them.
    pub ladder_threads: usize,
    /// How pictures lie on the sphere.
    pub immersive: Immersive,
    /// Whether that was said of this very stream, so that its publisher cannot say otherwise.
    pub immersive_is_own: bool,
    /// Whether it is recorded.
    pub record: bool,
}

impl Config {
    /// Reads and checks the section.
    pub fn load(file: &File) -> Result<Self, Error> {
        let config: Self = file.section("origin")?;
        config.check(file)?;
        Ok(config)
    }

    /// Checks what types alone cannot; the message names the place, the key, the value and the
    /// remedy.
    fn check(&self, file: &File) -> Result<(), Error> {
        self.operator.check(file)?;
        let hls = &self.hls;
        let (segment, part, window) = (
            hls.segment_target.0.as_secs_f64(),
            hls.part_target.0.as_secs_f64(),
            hls.window.0.as_secs_f64(),
        );
        let refuse = |key: &str, reason: String| Err(file.reject(&format!("origin.{key}"), reason));
        if !(1.0..=10.0).contains(&segment) {
            return refuse(
                "hls.segment_target",
                format!("= {segment}s is outside 1s to 10s; 2s suits a GOP of 1s or 2s"),
            );
        }
        if !(0.1..=segment / 2.0).contains(&part) {
            return refuse(
                "hls.part_target",
                format!("= {part}s is outside 100ms to half of segment_target; 500ms is usual"),
            );
        }
        if !(segment * 6.0..=3600.0).contains(&window) {
            return refuse(
                "hls.window",
                format!("= {window}s is outside 6 segments to 1h; 60s is usual"),
            );
        }
        if self.publish.reconnect_window.0.as_secs() > 1800 {
            return refuse(
                "publish.reconnect_window",
                "is longer than 30m; choose 0s to 30m".into(),
            );
        }
        if self.peer.is_some() != self.peer_secret.is_some() {
            return refuse(
                "peer",
                "and peer_secret belong together; set both or neither".into(),
            );
        }
        file.check_admin("origin", self.admin_listen, self.admin_token.as_ref())?;
        let (group, hook) = (&self.drain.auto_scaling_group, &self.drain.lifecycle_hook);
        file.check_lifecycle("origin", group.as_deref(), hook.as_deref())?;
        if let Some((key, reason)) = self.aws.fault(&self.drain.metadata) {
            return refuse(key, reason);
        }
        if let Some((key, reason)) = self.immersive_fault() {
            return refuse(&key, reason);
        }
        let special = self.streams.iter().filter_map(|(name, stream)| {
            stream
                .ladder
                .as_ref()
                .map(|ladder| (format!("streams.{name}.ladder"), ladder))
        });
        for (key, ladder) in std::iter::once(("ladder".to_owned(), &self.ladder)).chain(special) {
            if let Some(reason) = ladder_fault(ladder) {
                return refuse(&key, reason);
            }
        }
        Ok(())
    }

    fn immersive_fault(&self) -> Option<(String, String)> {
        let special = self.streams.iter().filter_map(|(name, stream)| {
            let immersive = stream.immersive.as_ref()?;
            Some((format!("streams.{name}.immersive"), immersive))
        });
        let mut all = std::iter::once(("immersive".to_owned(), &self.immersive)).chain(special);
        all.find_map(|(key, immersive)| Some((key, immersive.fault()?)))
    }

    /// What holds for `stream`.
    pub fn stream(&self, stream: &str) -> StreamConfig {
        let special = self.streams.get(stream);
        let own = special.and_then(|s| s.immersive);
        StreamConfig {
            publish: self.publish.clone(),
            hls: self.hls.clone(),
            ladder: special
                .and_then(|s| s.ladder.clone())
                .unwrap_or_else(|| self.ladder.clone()),
            ladder_threads: self.ladder_threads,
            immersive: own.unwrap_or(self.immersive).into(),
            immersive_is_own: own.is_some(),
            record: special.and_then(|s| s.record).unwrap_or(self.record),
        }
    }
}

fn ladder_fault(ladder: &[Rung]) -> Option<String> {
    if ladder.len() > LADDER_RUNGS_MAX {
        return Some(format!(
            "has {} rungs, the limit is {LADDER_RUNGS_MAX}; remove some",
            ladder.len()
        ));
    }
    ladder.iter().find_map(|rung| {
        if !(64..=8192).contains(&rung.width) {
            Some(format!("has width = {}, outside 64 to 8192", rung.width))
        } else if rung.bitrate.0 < 50_000 {
            Some(format!(
                "has bitrate = {}, under 50k; write \"500k\" or \"2.3M\"",
                rung.bitrate
            ))
        } else if rung.projection == Some(Projection::Rectilinear) {
            Some("has projection = \"rectilinear\", which holds no sphere; leave it out".into())
        } else {
            None
        }
    })
}

fn seconds(count: u64) -> Duration {
    Duration(std::time::Duration::from_secs(count))
}
