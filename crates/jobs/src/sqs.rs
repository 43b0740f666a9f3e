//! A queue in SQS, over the AWS SDK.
//!
//! Dead letters go to the queue that the redrive policy names: by themselves after its
//! `maxReceiveCount`, or by us with the reason in the message attribute [`REASON`]. The SDK's own
//! retries are off: the caller owns the one retry loop. What this does not do: make queues or set
//! policies.

use std::{collections::HashMap, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::{
    Client,
    config::{Credentials, retry::RetryConfig, timeout::TimeoutConfig},
    types::{
        DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName,
        QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use aws_smithy_http_client::tls;

use crate::{
    BATCH_MAX, BODY_BYTES_MAX, DeadLetter, Delivery, Depth, Error, Options, Queue, Receipt, Result,
    WAIT_MAX, check_body, check_visibility, delete_one,
};

mod failure;
use failure::refused;

/// The message attribute that says why a message was given up.
pub const REASON: &str = "reason";

/// A TCP and TLS handshake inside a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Beyond the longest wait of a receive call.
const READ_TIMEOUT: Duration = Duration::from_secs(WAIT_MAX.as_secs() + 10);

/// A queue in SQS.
#[derive(Clone, Debug)]
pub struct Sqs {
    url: String,
    visibility: Duration,
    client: Client,
    dead: DeadLetters,
}

#[derive(Clone, Debug)]
struct DeadLetters {
    url: String,
    max_receives: u32,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    /// Written as a number or as text, depending on who made the queue.
    max_receive_count: serde_json::Value,
}

impl Sqs {
    /// Prepares a client and asks the queue for its dead-letter queue.
    pub async fn open(url: &str, options: &Options) -> Result<Self> {
        let client = client(url, options).await;
        let dead = dead_letters(&client, url).await?;
        Ok(Self {
            url: url.into(),
            visibility: options.visibility,
            client,
            dead,
        })
    }

    async fn send_batch(&self, entries: Vec<SendMessageBatchRequestEntry>) -> Result<()> {
        let answer = self
            .client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| refused("send to", &self.url, &error))?;
        match answer.failed().first() {
            None => Ok(()),
            Some(failed) => Err(failure::entry(
                "send to",
                &self.url,
                failed.sender_fault(),
                failed.code(),
                failed.message(),
            )),
        }
    }

    async fn change(&self, action: &'static str, receipt: &Receipt, to: Duration) -> Result<()> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&receipt.0)
            .visibility_timeout(seconds(to))
            .send()
            .await
            .map_err(|error| failure::held(action, &self.url, &error))?;
        Ok(())
    }

    async fn delete_batch(&self, receipts: &[Receipt]) -> Result<Vec<(Receipt, Error)>> {
        let mut entries = Vec::with_capacity(receipts.len());
        for (index, receipt) in receipts.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            let entry = entry.receipt_handle(&receipt.0).build();
            entries.push(entry.map_err(|error| Error::Invalid {
                reason: error.to_string(),
            })?);
        }
        let answer = self
            .client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| refused("delete from", &self.url, &error))?;
        // Only what the answer names as deleted is deleted.
        let mut failed = Vec::new();
        for (index, receipt) in receipts.iter().enumerate() {
            let id = index.to_string();
            if answer.successful().iter().any(|entry| entry.id() == id) {
                continue;
            }
            let error = match answer.failed().iter().find(|entry| entry.id() == id) {
                Some(entry) => {
                    let (fault, code) = (entry.sender_fault(), entry.code());
                    failure::entry("delete from", &self.url, fault, code, entry.message())
                }
                None => failure::unavailable("delete from", &self.url, "no word of this entry"),
            };
            failed.push((receipt.clone(), error));
        }
        Ok(failed)
    }

    async fn counts(&self, url: &str) -> Result<(u64, u64)> {
        let (waiting, held) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(waiting.clone())
            .attribute_names(held.clone())
            .send()
            .await
            .map_err(|error| refused("count", url, &error))?;
        let count = |name| {
            let text = answer
                .attributes()
                .and_then(|all: &HashMap<_, String>| all.get(name));
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Ok((count(&waiting), count(&held)))
    }
}

async fn client(url: &str, options: &Options) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_attempt_timeout(READ_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(endpoint) = &options.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = options.region.clone().or_else(|| region_of(url)) {
        loader = loader.region(Region::new(region));
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
    let mut config = aws_sdk_sqs::config::Builder::from(&shared);
    if shared.region().is_none() {
        config = config.region(Region::new("us-east-1"));
    }
    Client::from_conf(config.build())
}

/// The region in `https://sqs.<region>.amazonaws.com/…`.
fn region_of(url: &str) -> Option<String> {
    let host = url.split("://").nth(1)?.split('/').next()?;
    let region = host.strip_prefix("sqs.")?.split(".amazonaws.com").next()?;
    (host.contains(".amazonaws.com") && !region.is_empty()).then(|| region.to_owned())
}

async fn dead_letters(client: &Client, url: &str) -> Result<DeadLetters> {
    let missing = |what: &str| {
        Error::misconfigured(
            url,
            format!("{what}; give it a redrive policy, so that what fails for good is kept"),
        )
    };
    let name = QueueAttributeName::RedrivePolicy;
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(name.clone())
        .send()
        .await
        .map_err(|error| refused("read the redrive policy of", url, &error))?;
    let policy = answer.attributes().and_then(|all| all.get(&name));
    let policy = policy.ok_or_else(|| missing("the queue has no dead-letter queue"))?;
    let policy: RedrivePolicy =
        serde_json::from_str(policy).map_err(|error| missing(&error.to_string()))?;
    let max_receives = match &policy.max_receive_count {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|n| u32::try_from(n).ok()),
    };
    let max_receives = max_receives.filter(|n| *n > 0);
    let max_receives = max_receives.ok_or_else(|| missing("its maxReceiveCount is no count"))?;
    // arn:aws:sqs:<region>:<account>:<name>
    let mut arn = policy.dead_letter_target_arn.rsplit(':');
    let (Some(name), Some(account)) = (arn.next(), arn.next()) else {
        return Err(missing("its dead-letter queue has no valid ARN"));
    };
    let found = client
        .get_queue_url()
        .queue_name(name)
        .queue_owner_aws_account_id(account)
        .send()
        .await
        .map_err(|error| refused("find the dead-letter queue of", url, &error))?;
    let url = found
        .queue_url()
        .ok_or_else(|| missing("its dead-letter queue has no URL"))?;
    Ok(DeadLetters {
        url: url.into(),
        max_receives,
    })
}

/// Whole seconds, rounded up: a message is never hidden for less than asked.
fn seconds(duration: Duration) -> i32 {
    let up = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs() + up).unwrap_or(i32::MAX)
}

#[async_trait::async_trait]
impl Queue for Sqs {
    fn url(&self) -> &str {
        &self.url
    }

    fn visibility(&self) -> Duration {
        self.visibility
    }

    fn max_receives(&self) -> u32 {
        self.dead.max_receives
    }

    async fn send(&self, bodies: &[String]) -> Result<()> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (index, body) in bodies.iter().enumerate() {
            check_body(body)?;
            if batch.len() == BATCH_MAX || bytes + body.len() > BODY_BYTES_MAX {
                self.send_batch(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += body.len();
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
            let entry = entry.message_body(body).build();
            batch.push(entry.map_err(|error| Error::Invalid {
                reason: error.to_string(),
            })?);
        }
        if batch.is_empty() {
            Ok(())
        } else {
            self.send_batch(batch).await
        }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(max.min(BATCH_MAX)).unwrap_or(1))
            .wait_time_seconds(seconds(wait.min(WAIT_MAX)))
            .visibility_timeout(seconds(self.visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| refused("receive from", &self.url, &error))?;
        let deliveries = answer.messages().iter().filter_map(|message| {
            let count = message
                .attributes()
                .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
            Some(Delivery {
                id: message.message_id().unwrap_or_default().into(),
                receipt: Receipt(message.receipt_handle()?.into()),
                body: message.body().unwrap_or_default().into(),
                receive_count: count.and_then(|count| count.parse().ok()).unwrap_or(1),
            })
        });
        Ok(deliveries.collect())
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        check_visibility(visibility)?;
        self.change("extend the hold", receipt, visibility).await
    }

    async fn release(&self, receipt: &Receipt, _note: &str) -> Result<()> {
        self.change("give back", receipt, Duration::ZERO).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<(Receipt, Error)>> {
        let mut failed = Vec::new();
        for batch in receipts.chunks(BATCH_MAX) {
            failed.extend(self.delete_batch(batch).await?);
        }
        Ok(failed)
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<()> {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(reason);
        let value = value.build().map_err(|e| Error::Invalid {
            reason: e.to_string(),
        })?;
        self.client
            .send_message()
            .queue_url(&self.dead.url)
            .message_body(&delivery.body)
            .message_attributes(REASON, value)
            .send()
            .await
            .map_err(|error| refused("write a dead letter to", &self.dead.url, &error))?;
        delete_one(self, &delivery.receipt).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.dead.url)
            .max_number_of_messages(BATCH_MAX as i32)
            // Looked at only: they stay visible to whoever works on them.
            .visibility_timeout(0)
            .message_attribute_names(REASON)
            .send()
            .await
            .map_err(|error| refused("list dead letters of", &self.dead.url, &error))?;
        let letters = answer.messages().iter().map(|message| {
            let attribute = message.message_attributes().and_then(|all| all.get(REASON));
            let reason = attribute.and_then(MessageAttributeValue::string_value);
            let vanished = || format!("received {} times without success", self.dead.max_receives);
            DeadLetter {
                body: message.body().unwrap_or_default().into(),
                reason: reason.map_or_else(vanished, str::to_owned),
            }
        });
        Ok(letters.collect())
    }

    async fn depth(&self) -> Result<Depth> {
        let (waiting, held) = self.counts(&self.url).await?;
        let (dead, examined) = self.counts(&self.dead.url).await?;
        Ok(Depth {
            waiting,
            held,
            dead: dead + examined,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_url_names_its_region() {
        let of = |url| region_of(url);
        let url = "https://sqs.eu-west-1.amazonaws.com/1/q";
        assert_eq!(of(url).as_deref(), Some("eu-west-1"));
        let china = "https://sqs.cn-north-1.amazonaws.com.cn/1/q";
        assert_eq!(of(china).as_deref(), Some("cn-north-1"));
        assert_eq!(of("http://127.0.0.1:5000/1/q"), None);
    }

    #[test]
    fn a_visibility_is_never_rounded_down() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(2001)), 3);
    }
}
