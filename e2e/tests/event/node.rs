//! A machine of a fleet: a host with an identity, the metadata service that only it can reach, and
//! the program that its user data would start with the config that its user data writes.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use e2e::{Process, binary, imds::Imds};
use http::StatusCode;
use serde_json::Value;

use crate::{
    cloud::{Cloud, Instance},
    world::{Port, World},
};

/// Where every EC2 instance finds its metadata service.
const METADATA: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

/// Enough to see why a machine did what it did.
const LOG_LINES_SHOWN: usize = 25;

/// A running machine.
#[derive(Debug)]
pub struct Node {
    /// Who AWS says that it is.
    pub instance: Instance,
    /// Where it is.
    pub host: Port,
    /// Why it goes, once it has been told to.
    pub told: Option<Why>,
    role: Role,
    process: Process,
    imds: Imds,
    admin: String,
}

/// A notice with this much time left makes an origin leave at once.
const NOTICE: Duration = Duration::from_secs(30);

/// Why a machine goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The Spot market takes it back: a notice with a deadline.
    SpotMarket,
    /// Its Auto Scaling group takes it out and waits for its goodbye.
    Group,
}

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes publishers; this one's fixed address.
    Origin(Ipv4Addr),
    /// Serves viewers.
    Edge,
    /// Makes VOD.
    Transcoder,
}

impl Role {
    fn program(self) -> &'static str {
        match self {
            Role::Origin(_) => "panocast-origin",
            Role::Edge => "panocast-edge",
            Role::Transcoder => "panocast-transcoder",
        }
    }

    fn admin_port(self) -> u16 {
        match self {
            Role::Origin(_) => 9090,
            Role::Edge => 9091,
            Role::Transcoder => 9092,
        }
    }

    /// Smaller pictures than an event's, and an end that is noticed within this scenario's time.
    /// All else is as deployed.
    fn tuned(self, config: &str) -> String {
        match self {
            Role::Origin(_) => config.replace(
                "[origin.publish]",
                "[[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"\n\
                 [origin.publish]\nreconnect_window = \"8s\"",
            ),
            Role::Edge => config.to_owned(),
            Role::Transcoder => format!(
                "[transcoder]\nslice_target = \"6s\"\nslots = 1\n[[transcoder.ladder]]\nwidth = 160\n\
                 bitrate = \"100k\"\npreset = \"ultrafast\"\n{config}"
            ),
        }
    }

    /// On loopback all machines share one set of ports, so each listens on its own addresses only.
    fn apart(self, config: &str, own: Ipv4Addr) -> String {
        let admin = format!("admin_listen = \"{own}:{}\"", self.admin_port());
        match self {
            Role::Origin(fixed) => config.replacen(
                "[origin]",
                &format!(
                    "[origin]\n{admin}\nrtmp_listen = \"{fixed}:1935\"\nhttp_listen = \"{fixed}:8081\""
                ),
                1,
            ),
            Role::Edge => config.replacen(
                "[edge]",
                &format!("[edge]\n{admin}\nlisten = \"{own}:8080\""),
                1,
            ),
            Role::Transcoder => {
                config.replacen("[transcoder]", &format!("[transcoder]\n{admin}"), 1)
            }
        }
    }
}

impl Node {
    /// Boots `instance` of `group` on `host`; returns before it is ready.
    pub fn boot(
        world: &World,
        cloud: &Cloud,
        (group, role): (&str, Role),
        (instance, host): (Instance, Port),
        folder: &Path,
    ) -> Self {
        world.address(host, instance.address);
        let folder = folder.join(format!("{group}-{}", instance.id));
        fs::create_dir_all(&folder).expect("a folder");
        let player = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../player/dist");
        let mut config = role
            .tuned(&cloud.config(group))
            .replace(
                "/var/lib/panocast/spool",
                &folder.join("spool").to_string_lossy(),
            )
            .replace("/usr/share/panocast/player", &player.to_string_lossy());
        let (imds, admin) = if world.is_real() {
            let listener = world.listener(host, METADATA);
            let imds = Imds::on(listener, &instance.id, &cloud.region);
            (imds, format!("http://127.0.0.1:{}", role.admin_port()))
        } else {
            let imds = Imds::start(&instance.id, &cloud.region);
            config = role.apart(&config, instance.address);
            config = config.replace(&format!("http://{}", METADATA.ip()), &imds.url);
            let admin = format!("http://{}:{}", instance.address, role.admin_port());
            (imds, admin)
        };
        let path = folder.join("config.toml");
        fs::write(&path, config).expect("config is written");
        let mut command = world.command(host, &binary(role.program()));
        command
            .arg("--config")
            .arg(&path)
            .current_dir(&folder)
            .env("AWS_ENDPOINT_URL", &cloud.endpoint)
            .env("AWS_REGION", &cloud.region)
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_PROFILE");
        if !world.is_real() {
            command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.url);
        }
        Self {
            process: Process::start(&folder, "log", &mut command),
            instance,
            host,
            told: None,
            role,
            imds,
            admin,
        }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self, world: &World) {
        let url = format!("{}/readyz", self.admin);
        let what = format!("{:?} is ready", self.role);
        let host = self.host;
        let ready = async |_: &Process| {
            let answer = world.ask(host, &url)?;
            (answer.status == StatusCode::OK).then_some(())
        };
        self.process.until(&what, ready).await;
    }

    /// What its admin listener says at `path`; null when it does not answer.
    pub fn says(&self, world: &World, path: &str) -> Value {
        let answer = world.ask(self.host, &format!("{}{path}", self.admin));
        let answer = answer.filter(|answer| answer.status == StatusCode::OK);
        answer
            .and_then(|answer| serde_json::from_slice(&answer.body).ok())
            .unwrap_or_default()
    }

    /// Tells it to go, as the market or its group would.
    pub fn tell(&mut self, cloud: &Cloud, why: Why) {
        match why {
            Why::SpotMarket => self.imds.interrupt(NOTICE),
            Why::Group => {
                cloud.retire(&self.instance.id);
                self.imds.set_lifecycle("Terminated");
            }
        }
        self.told = Some(why);
    }

    /// Cuts its own network and its `fixed` interface, or gives them back. On loopback it is frozen
    /// instead: it answers as little.
    pub fn cut_off(&self, world: &World, fixed: Port, is_cut: bool) {
        if !world.is_real() {
            return self.process.signal(if is_cut { "STOP" } else { "CONT" });
        }
        for port in [self.host, fixed] {
            match is_cut {
                true => world.cut(port),
                false => world.mend(port),
            }
        }
    }

    /// Waits until its program has ended by itself.
    pub async fn gone(&mut self) -> ExitStatus {
        let what = format!("{:?} has left", self.role);
        let status = self.process.wait(&what).await;
        assert!(status.success(), "{status}: {}", self.process.output());
        status
    }
}

impl Drop for Node {
    /// What a machine printed is gone with the scenario's folder, so a scenario that fails shows
    /// its end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.process.output();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            println!("{:?} {}:\n{}", self.role, self.instance.id, tail.join("\n"));
        }
    }
}
