//! The `[store]` and `[jobs]` sections, which several roles read alike: addresses as text, for the
//! crates that know what they mean.

use serde::Deserialize;

use super::Duration;

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
    fn default() -> Stores {
        Stores {
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
    fn default() -> Jobs {
        Jobs {
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
