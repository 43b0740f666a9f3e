//! Queue URLs from a config file to an open queue.

use std::{path::PathBuf, time::Duration};

use crate::{Error, Queue, Result, Sqlite};

/// What a queue URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `sqlite:///absolute/path/of/the/file`
    Sqlite(PathBuf),
    /// `https://sqs.<region>.amazonaws.com/<account>/<name>`, or `http://…` of a compatible server
    Sqs(String),
}

impl Address {
    /// Reads a queue URL. It opens nothing.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |reason: &str| Err(Error::misconfigured(url, reason));
        if let Some(path) = url.strip_prefix("sqlite://") {
            let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
            let Ok(path) = decoded else {
                return bad("the path is not UTF-8 once its %XX are decoded");
            };
            if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
                return bad(
                    "name a file by an absolute path, as in sqlite:///var/lib/panocast/jobs",
                );
            }
            return Ok(Self::Sqlite(PathBuf::from(path.as_ref())));
        }
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        match rest.and_then(|rest| rest.split_once('/')) {
            Some((host, name)) if !host.is_empty() && !name.is_empty() => {
                Ok(Self::Sqs(url.to_owned()))
            }
            _ => {
                bad("write sqlite:///absolute/path or the queue's URL, https://sqs.…/account/name")
            }
        }
    }
}

/// A key pair for an SQS-compatible server. Its secret never shows in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.access_key_id)
    }
}

/// How a queue behaves and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a received message stays hidden without a heartbeat: how late a dead worker is
    /// noticed. Default 2 min.
    pub visibility: Duration,
    /// A message received this often without success becomes a dead letter. Default 3. SQS has its
    /// own count in the queue's redrive policy.
    pub max_receives: u32,
    /// `http://…` of an SQS-compatible server; `None` for AWS itself. SQLite needs none of these.
    pub endpoint: Option<String>,
    /// `None`: as the queue's URL, the environment or the instance says.
    pub region: Option<String>,
    /// `None`: the AWS SDK's chain finds them (environment, profile, container, instance role).
    pub credentials: Option<Credentials>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            visibility: Duration::from_secs(120),
            max_receives: 3,
            endpoint: None,
            region: None,
            credentials: None,
        }
    }
}

/// Opens the queue at `url`. SQS is asked once for its dead-letter queue, so rights are known
/// early.
pub async fn open(url: &str, options: &Options) -> Result<Box<dyn Queue>> {
    if options.visibility.is_zero() || options.max_receives == 0 {
        let reason = "visibility and max_receives must be above 0";
        return Err(Error::misconfigured(url, reason));
    }
    crate::check_visibility(options.visibility)?;
    match Address::parse(url)? {
        Address::Sqlite(path) => Ok(Box::new(Sqlite::open(path, options).await?)),
        #[cfg(feature = "aws")]
        Address::Sqs(url) => Ok(Box::new(crate::Sqs::open(&url, options).await?)),
        #[cfg(not(feature = "aws"))]
        Address::Sqs(_) => Err(Error::misconfigured(
            url,
            "this program was built without SQS; build it with `--features aws` or use sqlite:///",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_and_says_what_to_write_instead() {
        let file = Address::Sqlite(PathBuf::from("/var/jobs db"));
        assert_eq!(Address::parse("sqlite:///var/jobs%20db").unwrap(), file);
        let url = "https://sqs.eu-west-1.amazonaws.com/1/q";
        assert_eq!(Address::parse(url).unwrap(), Address::Sqs(url.into()));
        for url in [
            "",
            "sqlite:jobs",
            "sqlite:///",
            "sqs://q",
            "https://host",
            "http:///x",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.fault(), crate::Fault::Operator, "{url}");
        }
    }
}
