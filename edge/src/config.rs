//! The `[edge]` section: text to typed, checked values. Nothing reads a setting elsewhere.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use serde::{Deserialize, Deserializer};
use service::{
    config::{ByteSize, Duration, Error, File, Secret},
    http::TlsConfig,
    interruption::Metadata,
};

/// Less memory than this does not hold the window of one stream.
const CACHE_MEMORY_MIN: ByteSize = ByteSize::from_mib(16);

/// Load balancers and CDNs keep connections for 60 s; ours must outlast theirs.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(61);

/// `[edge]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where viewers, a load balancer or a CDN connect.
    pub listen: SocketAddr,
    /// Where operators and probes look.
    pub admin_listen: SocketAddr,
    /// Bearer token of the admin listener; demanded beyond loopback.
    pub admin_token: Option<Secret>,
    /// How answers name this edge (`X-Served-By`); by default the host's name.
    pub name: Option<String>,
    /// Origins in order of preference.
    pub origins: Vec<String>,
    /// Most memory for cached and arriving bodies.
    pub cache_memory: ByteSize,
    /// Folder of the disk tier; none without one. What an earlier run left there is deleted.
    pub cache_disk: Option<PathBuf>,
    /// Most disk for cached bodies.
    pub cache_disk_size: ByteSize,
    /// Larger objects are not served.
    pub object_max: ByteSize,
    /// A live playlist that has not moved for this long is answered 503. Longer than the origins'
    /// `reconnect_window`, within which a stream rests while its encoder is away.
    pub frozen_max: Duration,
    /// Requests that may wait for one fetch, and for all of them.
    pub waiters_per_key: usize,
    /// The same, for all fetches.
    pub waiters: usize,
    /// Folder of the player page, served at `/`.
    pub player: PathBuf,
    /// Answer `GET /readyz` on the public listener too.
    pub public_readyz: bool,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Open connections at most.
    pub connections: usize,
    /// Requests one address may have open at once; none = no limit. Behind a load balancer it needs
    /// `trusted_proxies`.
    pub requests_per_address: Option<usize>,
    /// Networks whose `X-Forwarded-For` is believed, such as "10.0.0.0/8".
    pub trusted_proxies: Vec<Network>,
    /// File for one JSON line per request, `"-"` for standard output; none = no log.
    pub access_log: Option<PathBuf>,
    /// TLS on `listen`, with HTTP/2.
    pub tls: Option<TlsConfig>,
    /// How to leave.
    pub drain: Drain,
}

/// `[edge.drain]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// EC2's metadata service, or "off".
    pub metadata: Metadata,
    /// Longest time from a notice to the end.
    pub deadline: Duration,
    /// A notice's own deadline is met this much early.
    pub margin: Duration,
    /// After deregistration nothing may come for this long before it counts as idle.
    pub quiet: Duration,
    /// Load balancer target group to leave.
    pub target_group_arn: Option<String>,
    /// Auto Scaling group to tell that the drain is done.
    pub auto_scaling_group: Option<String>,
    /// Its lifecycle hook.
    pub lifecycle_hook: Option<String>,
    /// Address of an AWS-compatible server; none for AWS itself.
    pub endpoint: Option<String>,
    /// Region; none as the instance or the environment says.
    pub region: Option<String>,
    /// This instance's id; none as the metadata service says.
    pub instance_id: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9091)),
            admin_token: None,
            name: None,
            origins: vec!["http://127.0.0.1:8081".to_owned()],
            cache_memory: ByteSize::from_mib(512),
            cache_disk: None,
            cache_disk_size: ByteSize::from_mib(20 << 10),
            object_max: ByteSize::from_mib(64),
            frozen_max: Duration::from_secs(75),
            waiters_per_key: 10_000,
            waiters: 40_000,
            player: PathBuf::from("player/dist"),
            public_readyz: false,
            keep_alive: Duration::from_secs(90),
            connections: 16 << 10,
            requests_per_address: None,
            trusted_proxies: Vec::new(),
            access_log: None,
            tls: None,
            drain: Drain::default(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            metadata: Metadata::off(),
            deadline: Duration::from_secs(110),
            margin: Duration::from_secs(10),
            quiet: Duration::from_secs(2),
            target_group_arn: None,
            auto_scaling_group: None,
            lifecycle_hook: None,
            endpoint: None,
            region: None,
            instance_id: None,
        }
    }
}

impl Config {
    /// Reads and checks the section.
    pub fn load(file: &File) -> Result<Self, Error> {
        let mut config: Self = file.section("edge")?;
        if config.origins.is_empty() {
            return Err(file.reject("edge.origins", "is empty; name at least one origin"));
        }
        for (index, origin) in config.origins.iter_mut().enumerate() {
            *origin = origin.trim_end_matches('/').to_owned();
            let is_base = origin.parse::<http::Uri>().is_ok_and(|uri| {
                uri.scheme_str() == Some("http") && uri.authority().is_some() && uri.path() == "/"
            });
            if !is_base {
                let reason = format!(
                    "[{index}] = {origin:?} is no base URL; write http://host:port (origins are \
                     reached inside one network, without TLS)"
                );
                return Err(file.reject("edge.origins", reason));
            }
        }
        config.check_sizes(file)?;
        file.check_admin("edge", config.admin_listen, config.admin_token.as_ref())?;
        let drain = &config.drain;
        let (group, hook) = (&drain.auto_scaling_group, &drain.lifecycle_hook);
        file.check_lifecycle("edge", group.as_deref(), hook.as_deref())?;
        if drain.target_group_arn.is_some() && !cfg!(feature = "aws") {
            let reason = "cannot be used: this program was built without AWS; build it with \
                          `--features aws`";
            return Err(file.reject("edge.drain.target_group_arn", reason));
        }
        Ok(config)
    }

    fn check_sizes(&self, file: &File) -> Result<(), Error> {
        if self.cache_memory < CACHE_MEMORY_MIN {
            let reason = format!(
                "= \"{}\" is below {CACHE_MEMORY_MIN}; one stream's window needs more",
                self.cache_memory
            );
            return Err(file.reject("edge.cache_memory", reason));
        }
        if self.object_max.get() > self.cache_memory.get() / 4 {
            let reason = format!(
                "= \"{}\" exceeds a quarter of cache_memory = \"{}\"; lower it or raise that",
                self.object_max, self.cache_memory
            );
            return Err(file.reject("edge.object_max", reason));
        }
        if self.keep_alive < KEEP_ALIVE_MIN {
            let reason = format!(
                "= \"{}\" is not above a load balancer's 60 s, which would then send requests into \
                 closing connections; make it 61s or longer",
                self.keep_alive
            );
            return Err(file.reject("edge.keep_alive", reason));
        }
        Ok(())
    }

    /// How answers name this edge.
    pub fn served_by(&self) -> http::HeaderValue {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = self.name.clone().or_else(host).unwrap_or_default();
        http::HeaderValue::from_str(name.trim())
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or(http::HeaderValue::from_static("panocast-edge"))
    }
}

/// A network in CIDR form, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    bits: u32,
}

/// IPv4 addresses as IPv6 ones (`::ffff:a.b.c.d`), so that one comparison fits both.
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = wide(address) ^ self.address;
        self.bits == 0 || differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("cannot read {text:?} as a network; write 10.0.0.0/8 or an address");
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.map_or(Ok(all), str::parse).map_err(|_| refuse())?;
        if bits > all {
            return Err(refuse());
        }
        Ok(Self {
            address: wide(address),
            bits: bits + 128 - all,
        })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        File::parse("edge.toml", text)
            .and_then(|file| Config::load(&file))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_and_the_sample_are_the_same() {
        let sample = include_str!("../../deploy/config/edge.toml");
        let (sample, defaults) = (load(sample).unwrap(), load("").unwrap());
        assert_eq!(format!("{sample:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn mistakes_name_line_limit_and_remedy() {
        for (text, words) in [
            ("[edge]\norigins = []", "edge.toml:2: edge.origins is empty"),
            ("[edge]\norigins = [\"https://a\"]", "without TLS"),
            (
                "[edge]\norigins = [\"http://a/x\"]",
                "write http://host:port",
            ),
            ("[edge]\ncache_memory = \"1MiB\"", "below 16MiB"),
            (
                "[edge]\nobject_max = \"300MiB\"",
                "a quarter of cache_memory",
            ),
            (
                "[edge]\nkeep_alive = \"60s\"",
                "edge.toml:2: edge.keep_alive",
            ),
            (
                "[edge]\ntrusted_proxies = [\"10.0.0.0/40\"]",
                "write 10.0.0.0/8",
            ),
            ("[edge.drain]\nlifecycle_hook = \"h\"", "auto_scaling_group"),
            ("[edge]\norigin = []", "did you mean origins?"),
            (
                "[edge]\nadmin_listen = \"0.0.0.0:9091\"",
                "edge.toml:2: edge.admin_listen = 0.0.0.0:9091 is not loopback; set admin_token",
            ),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(
            network.contains([10, 1, 255, 3].into()) && !network.contains([10, 2, 0, 1].into())
        );
        let one: Network = "192.0.2.7".parse().unwrap();
        assert!(one.contains([192, 0, 2, 7].into()) && !one.contains([192, 0, 2, 6].into()));
        let six: Network = "fd00::/8".parse().unwrap();
        assert!(six.contains("fd12::1".parse().unwrap()) && !six.contains([10, 0, 0, 1].into()));
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains([10, 0, 0, 1].into()));
    }
}
