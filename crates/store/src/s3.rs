//! Objects in an S3 bucket, over the AWS SDK.
//!
//! Conditional creates are `If-None-Match: *`. Credentials come from the SDK's chain. The SDK's own
//! retries are off: the caller owns the one retry loop, so that a shutdown deadline is kept and a
//! failure is counted once. What this does not do: make buckets, set policies, or read versions
//! other than the newest.

use std::{
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::{Credentials, retry::RetryConfig, timeout::TimeoutConfig},
    primitives::{ByteStream, DateTime},
    types::{CompletedMultipartUpload, CompletedPart},
};
use aws_smithy_http_client::tls;
use bytes::Bytes;

use crate::{
    Body, Created, Error, LIST_MAX, Object, ObjectMetadata, Options, Page, Part, Read, Result,
    Store, Upload, UploadId, check_parts, key,
};

mod failure;
use failure::{Context, code, status};

/// An answer takes longer than this only when the store is away: S3 gives its first byte in well
/// under a second, and a moved prefix in a few.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// A TCP and TLS handshake inside a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to the first byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A store in a bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    url: String,
    bucket: String,
    /// Empty, or ends with a slash.
    prefix: String,
    client: Client,
}

impl S3 {
    /// Prepares a client; no request is sent.
    pub async fn open(bucket: &str, prefix: &str, options: &Options) -> Result<Self> {
        let url = format!(
            "s3://{bucket}{}{prefix}",
            if prefix.is_empty() { "" } else { "/" }
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(
                tls::rustls_provider::CryptoMode::Ring,
            ))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = &options.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(keys) = &options.credentials {
            loader = loader.credentials_provider(Credentials::new(
                &keys.access_key_id,
                &keys.secret_access_key,
                None,
                None,
                "panocast configuration",
            ));
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(options.path_style.unwrap_or(options.endpoint.is_some()));
        if shared.region().is_none() {
            if options.endpoint.is_none() {
                let reason = "no AWS region is known; set AWS_REGION or store.region";
                return Err(Error::misconfigured(&url, reason));
            }
            config = config.region(Region::new("us-east-1"));
        }
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        let client = Client::from_conf(config.build());
        Ok(Self {
            url,
            bucket: bucket.into(),
            prefix,
            client,
        })
    }

    fn name(&self, key: &str) -> Result<String> {
        key::check(key)?;
        let name = format!("{}{key}", self.prefix);
        if name.len() > key::KEY_BYTES_MAX {
            let limit = key::KEY_BYTES_MAX;
            return Err(Error::invalid(
                key,
                format!("with its prefix exceeds {limit} bytes"),
            ));
        }
        Ok(name)
    }

    fn context<'a>(&'a self, action: &'static str, key: &'a str) -> Context<'a> {
        Context {
            action,
            key,
            url: &self.url,
        }
    }

    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Read> {
        if let Some(range) = &range
            && range.start >= range.end
        {
            return Err(Error::bad_range(key, range.clone(), 0));
        }
        let header = range
            .as_ref()
            .map(|r| format!("bytes={}-{}", r.start, r.end - 1));
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.name(key)?);
        let answer = match request.set_range(header).send().await {
            Ok(answer) => answer,
            Err(error) if status(&error) == Some(416) => {
                let size = self.head(key).await?.size;
                return Err(Error::bad_range(key, range.unwrap_or(0..0), size));
            }
            Err(error) => return Err(self.context("read", key).error(error)),
        };
        let length = answer
            .content_length()
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0);
        let (start, size) = match &range {
            None => (0, length),
            Some(range) => (
                range.start,
                total_size(answer.content_range()).unwrap_or(length),
            ),
        };
        let object = Object {
            key: key.into(),
            size,
            etag: etag(answer.e_tag()),
            modified: modified(answer.last_modified()),
        };
        let body = stream(answer.body, key.to_owned(), length);
        Ok(Read {
            object,
            range: start..start + length,
            body,
        })
    }
}

/// The size in `Content-Range: bytes 0-9/100`.
fn total_size(content_range: Option<&str>) -> Option<u64> {
    content_range?.rsplit_once('/')?.1.parse().ok()
}

fn stream(body: ByteStream, key: String, length: u64) -> Body {
    let state = (body, 0u64, false);
    Box::pin(futures_util::stream::unfold(
        state,
        move |(mut body, got, ended)| {
            let key = key.clone();
            async move {
                if ended {
                    return None;
                }
                match body.next().await {
                    Some(Ok(chunk)) => {
                        let got = got + chunk.len() as u64;
                        Some((Ok(chunk), (body, got, false)))
                    }
                    Some(Err(error)) => {
                        let reason = error.to_string();
                        let error = Error::Unavailable {
                            action: "read",
                            target: key,
                            reason,
                        };
                        Some((Err(error), (body, got, true)))
                    }
                    None if got != length => {
                        Some((Err(Error::truncated(&key, got, length)), (body, got, true)))
                    }
                    None => None,
                }
            }
        },
    ))
}

fn etag(header: Option<&str>) -> String {
    header.unwrap_or_default().trim_matches('"').to_owned()
}

fn modified(at: Option<&DateTime>) -> SystemTime {
    at.and_then(|at| SystemTime::try_from(*at).ok())
        .unwrap_or(UNIX_EPOCH)
}

fn size(bytes: Option<i64>) -> u64 {
    bytes.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

#[async_trait::async_trait]
impl Store for S3 {
    fn url(&self) -> &str {
        &self.url
    }

    async fn put(&self, key: &str, bytes: Bytes, metadata: ObjectMetadata) -> Result<()> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.name(key)?);
        request
            .set_content_type(metadata.content_type.map(str::to_owned))
            .set_cache_control(metadata.cache_control.map(str::to_owned))
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| self.context("write", key).error(error))?;
        Ok(())
    }

    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: ObjectMetadata,
    ) -> Result<Created> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.name(key)?);
        let answer = request
            .set_content_type(metadata.content_type.map(str::to_owned))
            .set_cache_control(metadata.cache_control.map(str::to_owned))
            .if_none_match("*")
            .body(ByteStream::from(bytes))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Created::Yes),
            Err(error) if status(&error) == Some(412) => Ok(Created::Existed),
            Err(error) => Err(self.context("create", key).error(error)),
        }
    }

    async fn get(&self, key: &str) -> Result<Read> {
        self.read(key, None).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Read> {
        self.read(key, Some(range)).await
    }

    async fn head(&self, key: &str) -> Result<Object> {
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(self.name(key)?);
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.context("find", key).error(error))?;
        Ok(Object {
            key: key.into(),
            size: size(answer.content_length()),
            etag: etag(answer.e_tag()),
            modified: modified(answer.last_modified()),
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        key::check_prefix(prefix)?;
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{prefix}", self.prefix))
            .set_start_after(after.map(|after| format!("{}{after}", self.prefix)))
            .max_keys(LIST_MAX as i32)
            .send()
            .await
            .map_err(|error| self.context("list", prefix).error(error))?;
        let mut last = None;
        let mut objects = Vec::new();
        for found in answer.contents() {
            let Some(key) = found.key().and_then(|key| key.strip_prefix(&self.prefix)) else {
                continue;
            };
            last = Some(key.to_owned());
            // Folder markers that consoles make end with a slash; they are no objects of ours.
            if key::check(key).is_ok() {
                objects.push(Object {
                    key: key.into(),
                    size: size(found.size()),
                    etag: etag(found.e_tag()),
                    modified: modified(found.last_modified()),
                });
            }
        }
        let next = last.filter(|_| answer.is_truncated() == Some(true));
        Ok(Page { objects, next })
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let request = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(self.name(key)?);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(self.context("delete", key).error(error)),
        }
    }

    async fn create_upload(&self, key: &str, metadata: ObjectMetadata) -> Result<UploadId> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let answer = request
            .key(self.name(key)?)
            .set_content_type(metadata.content_type.map(str::to_owned))
            .set_cache_control(metadata.cache_control.map(str::to_owned))
            .send()
            .await
            .map_err(|error| self.context("begin the upload of", key).error(error))?;
        match answer.upload_id() {
            Some(id) => Ok(UploadId(id.into())),
            None => Err(self
                .context("begin the upload of", key)
                .strange("no upload id")),
        }
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<Part> {
        let part_number = i32::try_from(number).unwrap_or(i32::MAX);
        let length = bytes.len() as u64;
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.name(key)?);
        let answer = request
            .upload_id(&upload.0)
            .part_number(part_number)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| self.context("write a part of", key).upload(error, upload))?;
        Ok(Part {
            number,
            size: length,
            etag: etag(answer.e_tag()),
        })
    }

    async fn list_parts(&self, key: &str, upload: &UploadId) -> Result<Vec<Part>> {
        let name = self.name(key)?;
        let mut parts = Vec::new();
        let mut marker = None;
        loop {
            let request = self.client.list_parts().bucket(&self.bucket).key(&name);
            let answer = request
                .upload_id(&upload.0)
                .set_part_number_marker(marker)
                .send()
                .await
                .map_err(|error| self.context("list the parts of", key).upload(error, upload))?;
            parts.extend(answer.parts().iter().filter_map(|part| {
                let number = u32::try_from(part.part_number()?).ok()?;
                Some(Part {
                    number,
                    size: size(part.size()),
                    etag: etag(part.e_tag()),
                })
            }));
            marker = answer.next_part_number_marker().map(str::to_owned);
            if answer.is_truncated() != Some(true) || marker.is_none() {
                return Ok(parts);
            }
        }
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[Part]) -> Result<()> {
        check_parts(key, parts)?;
        let named = parts.iter().map(|part| {
            let number = i32::try_from(part.number).unwrap_or(i32::MAX);
            CompletedPart::builder()
                .part_number(number)
                .e_tag(&part.etag)
                .build()
        });
        let list = CompletedMultipartUpload::builder()
            .set_parts(Some(named.collect()))
            .build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket);
        request
            .key(self.name(key)?)
            .upload_id(&upload.0)
            .multipart_upload(list)
            .send()
            .await
            .map_err(|error| {
                self.context("complete the upload of", key)
                    .upload(error, upload)
            })?;
        Ok(())
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket);
        let answer = request
            .key(self.name(key)?)
            .upload_id(&upload.0)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(self.context("abort the upload of", key).error(error)),
        }
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        key::check_prefix(prefix)?;
        let request = self.client.list_multipart_uploads().bucket(&self.bucket);
        let answer = request
            .prefix(format!("{}{prefix}", self.prefix))
            .send()
            .await
            .map_err(|error| self.context("list uploads under", prefix).error(error))?;
        let found = answer.uploads().iter().filter_map(|upload| {
            let key = upload.key()?.strip_prefix(&self.prefix)?;
            Some(Upload {
                key: key.into(),
                id: UploadId(upload.upload_id()?.into()),
            })
        });
        Ok(found.collect())
    }
}
