//! An instance to an origin with a fixed place: on EC2, the network interface and the Elastic IP
//! that outlive instances are taken over before anybody is served.
//!
//! ```text
//! look (DescribeNetworkInterfaces, DescribeAddresses) -> next step -> do it -> look again ... -> in place
//!                                                        decide.rs    ec2.rs
//! ```
//!
//! Each step follows from what EC2 says now, so a start that was cut off is repeated from where it
//! stands, and one that finds all in place changes nothing. Whoever starts last wins: a replaced
//! instance may be dead and cannot give anything back, so nobody ever does.
//!
//! What this does not do: make interfaces or addresses, or configure the interface inside the
//! machine (on Debian, amazon-ec2-net-utils does).

mod decide;
mod ec2;

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use service::{
    Clock,
    backoff::Backoff,
    interruption::{Identity, Metadata},
    notify,
};
use tracing::{info, warn};

use crate::config::Aws;
use decide::{Holder, Step, next};
use ec2::Ec2;
pub use ec2::Error;

/// Calls that fail are made again, in the end for nothing: CloudFormation waits 15 minutes for a
/// new origin, and its operator shall read our reason rather than "timed out".
const RETRY: Backoff = Backoff::within(
    Duration::from_millis(500),
    Duration::from_secs(10),
    Duration::from_secs(600),
);

/// Attaching and detaching take seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What an orderly detach may take; a dead instance never answers, and is detached by force after
/// this.
const FORCE_AFTER: Duration = Duration::from_secs(30);

/// How long the machine's own network configuration may take to notice a new interface.
const CONFIGURED_WITHIN: Duration = Duration::from_secs(30);

/// systemd is asked for this much more before each look: above the longest wait and four calls that
/// time out.
const START_EXTENSION: Duration = Duration::from_secs(60);

/// Takes what `config` names; returns at once when it names nothing. `metadata` says which instance
/// this is.
pub async fn take(config: &Aws, metadata: &Metadata, clock: &Clock) -> Result<(), Error> {
    let Some(eni) = config.eni.clone() else {
        return Ok(());
    };
    let mut waits = RETRY.start();
    let us = loop {
        if let Some(identity) = metadata.identity(clock).await {
            break identity;
        }
        let wait = waits.next().ok_or(Error::InstanceUnknown)?;
        warn!("the metadata service does not say which instance this is; asking again");
        pause(wait, clock).await;
    };
    let ec2 = Ec2::open(&us.region, eni, config.eip_allocation.clone()).await;
    let address = settle(&ec2, &us, clock).await?;
    info!(eni = ec2.eni(), %address, "the origin has its fixed address");
    configured(address, clock).await;
    Ok(())
}

/// Step after step until everything is in place; the interface's own address.
async fn settle(ec2: &Ec2, us: &Identity, clock: &Clock) -> Result<IpAddr, Error> {
    let mut waits = RETRY.start();
    let mut holder = Holder::default();
    loop {
        let wait = match step(ec2, us, &mut holder, clock).await {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => {
                waits.reset();
                LOOK_EVERY
            }
            Err(error) if error.is_permanent() => return Err(error),
            Err(error) => {
                let Some(wait) = waits.next() else {
                    return Err(error);
                };
                warn!(%error, "cannot attach yet; trying again");
                wait
            }
        };
        pause(wait, clock).await;
    }
}

/// Looks and does one thing about what it sees; `Some` when nothing is left to do.
async fn step(
    ec2: &Ec2,
    us: &Identity,
    holder: &mut Holder,
    clock: &Clock,
) -> Result<Option<IpAddr>, Error> {
    let sight = ec2.look().await?;
    match next(&sight, &us.instance_id, holder, clock.now()) {
        Step::Done => return Ok(Some(sight.address)),
        Step::Wait(what) => info!(eni = ec2.eni(), "waiting: {what}"),
        Step::Attach => {
            info!(
                eni = ec2.eni(),
                instance = us.instance_id,
                "attaching the interface"
            );
            ec2.attach(&us.instance_id).await?;
        }
        Step::Detach {
            attachment,
            instance,
            force,
        } => {
            info!(
                eni = ec2.eni(),
                holder = instance,
                force,
                "taking the interface from another instance"
            );
            ec2.detach(&attachment, force).await?;
        }
        Step::Associate => {
            info!(eni = ec2.eni(), "putting the address on the interface");
            ec2.associate().await?;
        }
    }
    Ok(None)
}

/// Waits until packets to `address` can reach this process. Goes on without: it may be a moment
/// late, and the operator has to be told in any case.
async fn configured(address: IpAddr, clock: &Clock) {
    let until = clock.now() + CONFIGURED_WITHIN;
    while UdpSocket::bind((address, 0)).is_err() {
        if clock.now() >= until {
            warn!(
                %address,
                "the interface is attached but not configured in this machine; see that \
                 amazon-ec2-net-utils is installed"
            );
            return;
        }
        pause(LOOK_EVERY, clock).await;
    }
}

/// Waits, and lets systemd know that this start is alive.
async fn pause(wait: Duration, clock: &Clock) {
    notify::systemd(&format!(
        "EXTEND_TIMEOUT_USEC={}\nSTATUS=taking the fixed address",
        START_EXTENSION.as_micros()
    ));
    clock.sleep(wait).await;
}
