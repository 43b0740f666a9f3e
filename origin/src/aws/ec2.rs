//! The EC2 calls of an origin's start: two to look, three to change. Failures are sorted into those
//! that go by and those that only an operator can mend.

use std::{net::IpAddr, time::Duration};

use aws_sdk_ec2::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
    types::{AttachmentStatus, NetworkInterface},
};
use service::interruption::aws::{sdk_config, words};

use super::decide::{Attachment, Sight, State};

/// EC2 answers within a second or two; its slowest answers come while it throttles.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// A TCP and TLS handshake inside a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The instance's own interface is 0.
const DEVICE_INDEX: i32 = 1;

/// Starts of the codes that say that the request can never work: the interface or address does not
/// exist, is in another zone, or the instance takes no more interfaces.
const PERMANENT: &[&str] = &[
    "InvalidNetworkInterfaceI",
    "InvalidAllocationI",
    "InvalidParameter",
    "AttachmentLimitExceeded",
];

/// Why the origin has not its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Without its own name an instance cannot attach anything.
    #[error(
        "cannot take the fixed address: the metadata service does not say which instance this is; \
         set origin.drain.metadata to its address, or remove origin.aws"
    )]
    InstanceUnknown,
    /// EC2 refused, or did not answer.
    #[error("cannot {action} {name}: {reason}")]
    Call {
        /// What was asked.
        action: &'static str,
        /// Of which interface or address.
        name: String,
        /// EC2's words.
        reason: String,
        /// EC2's code, empty when it did not answer.
        code: String,
    },
    /// EC2's answer makes no sense to us.
    #[error("cannot understand what EC2 says of {name}: {reason}")]
    Answer {
        /// Interface or address.
        name: String,
        /// What is missing.
        reason: &'static str,
    },
}

impl Error {
    /// Whether trying again is of no use.
    pub fn is_permanent(&self) -> bool {
        match self {
            Error::InstanceUnknown => true,
            Error::Call { code, .. } => PERMANENT.iter().any(|start| code.starts_with(start)),
            Error::Answer { .. } => false,
        }
    }
}

/// EC2, for one interface and its address.
#[derive(Debug)]
pub struct Ec2 {
    client: Client,
    eni: String,
    allocation: Option<String>,
}

impl Ec2 {
    /// Prepares a client; no request is sent. The SDK's own retries are off: ours is the one loop,
    /// and it looks first.
    pub async fn open(region: &str, eni: String, allocation: Option<String>) -> Self {
        let shared = sdk_config(Some(region.to_owned()), None).await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let config = aws_sdk_ec2::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        Self {
            client: Client::from_conf(config.build()),
            eni,
            allocation,
        }
    }

    /// The interface's name.
    pub fn eni(&self) -> &str {
        &self.eni
    }

    /// Where the interface and the address are now.
    pub async fn look(&self) -> Result<Sight, Error> {
        let answer = self
            .client
            .describe_network_interfaces()
            .network_interface_ids(&self.eni)
            .send()
            .await
            .map_err(|e| failure("look at interface", &self.eni, &e))?;
        let interface = answer.network_interfaces().first();
        let interface = interface.ok_or_else(|| self.unclear("it is not listed"))?;
        let address = interface
            .private_ip_address()
            .and_then(|text| text.parse::<IpAddr>().ok())
            .ok_or_else(|| self.unclear("it has no private address"))?;
        Ok(Sight {
            attachment: self.attachment(interface)?,
            has_address: self.has_address().await?,
            address,
        })
    }

    fn attachment(&self, interface: &NetworkInterface) -> Result<Option<Attachment>, Error> {
        let Some(found) = interface.attachment() else {
            return Ok(None);
        };
        let state = match found.status() {
            None | Some(AttachmentStatus::Detached) => return Ok(None),
            Some(AttachmentStatus::Attaching) => State::Attaching,
            Some(AttachmentStatus::Detaching) => State::Detaching,
            Some(_) => State::Attached,
        };
        let id = found.attachment_id();
        let id = id.ok_or_else(|| self.unclear("its attachment has no id"))?;
        Ok(Some(Attachment {
            id: id.to_owned(),
            // Something that is no instance, such as a load balancer, holds it: it will not be us.
            instance: found.instance_id().unwrap_or("no instance").to_owned(),
            state,
        }))
    }

    async fn has_address(&self) -> Result<bool, Error> {
        let Some(allocation) = &self.allocation else {
            return Ok(true);
        };
        let answer = self
            .client
            .describe_addresses()
            .allocation_ids(allocation)
            .send()
            .await
            .map_err(|e| failure("look at address", allocation, &e))?;
        let mut addresses = answer.addresses().iter();
        Ok(addresses.any(|one| one.network_interface_id() == Some(&self.eni)))
    }

    /// Attaches the interface to `instance`.
    pub async fn attach(&self, instance: &str) -> Result<(), Error> {
        self.client
            .attach_network_interface()
            .network_interface_id(&self.eni)
            .instance_id(instance)
            .device_index(DEVICE_INDEX)
            .send()
            .await
            .map(drop)
            .map_err(|e| failure("attach interface", &self.eni, &e))
    }

    /// Ends an attachment of the interface.
    pub async fn detach(&self, attachment: &str, force: bool) -> Result<(), Error> {
        self.client
            .detach_network_interface()
            .attachment_id(attachment)
            .force(force)
            .send()
            .await
            .map(drop)
            .map_err(|e| failure("detach interface", &self.eni, &e))
    }

    /// Puts the address on the interface, wherever it was.
    pub async fn associate(&self) -> Result<(), Error> {
        let Some(allocation) = &self.allocation else {
            return Ok(());
        };
        self.client
            .associate_address()
            .allocation_id(allocation)
            .network_interface_id(&self.eni)
            .allow_reassociation(true)
            .send()
            .await
            .map(drop)
            .map_err(|e| failure("associate address", allocation, &e))
    }

    fn unclear(&self, reason: &'static str) -> Error {
        Error::Answer {
            name: self.eni.clone(),
            reason,
        }
    }
}

fn failure<E>(action: &'static str, name: &str, error: &E) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    Error::Call {
        action,
        name: name.to_owned(),
        reason: words(error),
        code: error.code().unwrap_or_default().to_owned(),
    }
}
