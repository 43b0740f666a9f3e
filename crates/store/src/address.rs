//! Store URLs from a config file to an open store.

use std::path::PathBuf;

use crate::{Error, Folder, Result, Store};

/// What a store URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `file:///absolute/path`
    Folder(PathBuf),
    /// `s3://bucket` or `s3://bucket/prefix`
    S3 {
        /// The bucket's name.
        bucket: String,
        /// Put before every key, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl Address {
    /// Reads a store URL. It opens nothing.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |reason: &str| Err(Error::misconfigured(url, reason));
        if let Some(path) = url.strip_prefix("file://") {
            let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
            let Ok(path) = decoded else {
                return bad("the path is not UTF-8 once its %XX are decoded");
            };
            if !path.starts_with('/') || path.contains('\0') {
                return bad("the path must be absolute: three slashes, as in file:///srv/vod");
            }
            return Ok(Self::Folder(PathBuf::from(path.as_ref())));
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            return bad("write file:///absolute/path or s3://bucket/prefix");
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if bucket.is_empty() || !bucket.chars().all(named) {
            return bad("the bucket's name is missing or has characters no bucket has");
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            crate::key::check(prefix).map_err(|e| Error::misconfigured(url, e.to_string()))?;
        }
        Ok(Self::S3 {
            bucket: bucket.into(),
            prefix: prefix.into(),
        })
    }
}

/// A key pair for an S3-compatible server. Its secret never shows in a log.
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

/// How to reach S3 or a server that speaks it. A folder needs none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `http://…` of an S3-compatible server; `None` for AWS itself.
    pub endpoint: Option<String>,
    /// Bucket in the path rather than in the host name. `None`: in the path exactly when there is
    /// an endpoint.
    pub path_style: Option<bool>,
    /// `None`: as the environment or the instance says, `us-east-1` with an endpoint.
    pub region: Option<String>,
    /// `None`: the AWS SDK's chain finds them (environment, profile, container, instance role).
    pub credentials: Option<Credentials>,
}

/// Opens the store at `url`: makes the folder, or finds credentials for S3 (no request is sent).
pub async fn open(url: &str, options: &Options) -> Result<Box<dyn Store>> {
    match Address::parse(url)? {
        Address::Folder(path) => Ok(Box::new(Folder::open(path).await?)),
        #[cfg(feature = "aws")]
        Address::S3 { bucket, prefix } => {
            Ok(Box::new(crate::S3::open(&bucket, &prefix, options).await?))
        }
        #[cfg(not(feature = "aws"))]
        Address::S3 { .. } => {
            let _ = options;
            Err(Error::misconfigured(
                url,
                "this program was built without S3; build it with `--features aws` or use file:///",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let folder = |p: &str| Address::Folder(PathBuf::from(p));
        assert_eq!(
            Address::parse("file:///srv/a%20b").unwrap(),
            folder("/srv/a b")
        );
        let s3 = |bucket: &str, prefix: &str| Address::S3 {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        assert_eq!(Address::parse("s3://bucket").unwrap(), s3("bucket", ""));
        assert_eq!(
            Address::parse("s3://bucket/a/b/").unwrap(),
            s3("bucket", "a/b")
        );
    }

    #[test]
    fn says_what_to_write_instead() {
        for url in [
            "",
            "/srv",
            "file://srv",
            "file:srv",
            "s3://",
            "s3:///x",
            "s3://b/../c",
            "gs://b",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.fault(), crate::Fault::Operator, "{url}");
            assert!(!error.is_retryable());
        }
    }
}
