//! What several roles have alike: the `[store]` and `[jobs]` sections, with addresses as text for
//! the crates that know what they mean, and the rules of admin listeners and lifecycle hooks.

use std::net::SocketAddr;

use serde::Deserialize;

use super::{Duration, Error, File, Secret};

/// `[store]`: where recordings and VOD lie.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stores {
    /// Recordings: `file:///…` or `s3://bucket/prefix`.
    pub ingest: String,
    /// VOD, in the same forms. Not the same place: readers of one need no right to the other.
    pub egress: String,
    /// Address of an S3-compatible server; none for AWS itself.
    pub endpoint: Option<String>,
    /// Region of the buckets; none as the environment or the instance says.
    pub region: Option<String>,
    /// Bucket in the path rather than in the host name; none exactly where there is an endpoint.
    pub path_style: Option<bool>,
}

impl Default for Stores {
    fn default() -> Self {
        Self {
            ingest: format!("file://{}", here("ingest")),
            egress: format!("file://{}", here("egress")),
            endpoint: None,
            region: None,
            path_style: None,
        }
    }
}

/// `[jobs]`: who is told of finished recordings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// `sqlite:///…` or the URL of an SQS queue.
    pub queue: String,
    /// Address of an SQS-compatible server; none for AWS itself.
    pub endpoint: Option<String>,
    /// Region of the queue; none as its URL says.
    pub region: Option<String>,
    /// How late a dead worker is noticed: its work shows up again after this.
    pub visibility: Duration,
    /// Work that failed this often becomes a dead letter. SQS has its own count.
    pub max_receives: u32,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            queue: format!("sqlite://{}", here("jobs")),
            endpoint: None,
            region: None,
            visibility: Duration::from_secs(120),
            max_receives: 3,
        }
    }
}

/// `var/<name>` below the working folder, with what a URL must not hold spelled out.
fn here(name: &str) -> String {
    let folder = std::env::current_dir().unwrap_or_else(|_| "/var/lib/panocast".into());
    let path = folder.join("var").join(name);
    path.to_string_lossy().replace('%', "%25")
}

impl File {
    /// Refuses an admin listener that the process would refuse to start: one that others than this
    /// machine reach and that asks for no token.
    pub fn check_admin(
        &self,
        section: &str,
        listen: SocketAddr,
        token: Option<&Secret>,
    ) -> Result<(), Error> {
        if listen.ip().is_loopback() || token.is_some() {
            return Ok(());
        }
        let reason =
            format!("= {listen} is not loopback; set admin_token too, or listen on 127.0.0.1");
        Err(self.reject(&format!("{section}.admin_listen"), reason))
    }

    /// Refuses a lifecycle hook without its Auto Scaling group, and either in a program that cannot
    /// speak to AWS.
    pub fn check_lifecycle(
        &self,
        section: &str,
        auto_scaling_group: Option<&str>,
        lifecycle_hook: Option<&str>,
    ) -> Result<(), Error> {
        let key = format!("{section}.drain.lifecycle_hook");
        if lifecycle_hook.is_some() != auto_scaling_group.is_some() {
            let group = format!("{section}.drain.auto_scaling_group");
            return Err(self.reject(&key, format!("needs {group} as well; give both or neither")));
        }
        if lifecycle_hook.is_some() && !cfg!(feature = "aws") {
            let reason = "cannot be used: this program was built without AWS; build it with \
                          `--features aws`";
            return Err(self.reject(&key, reason));
        }
        Ok(())
    }
}
