//! What leaving means to AWS: out of the load balancer's target group first, the lifecycle action
//! of the Auto Scaling group last.
//!
//! Nothing here may keep a process from leaving: each call is tried for a bounded time, and a
//! failure is logged and passed over (the machine goes away with or without us).

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_autoscaling::{Client as AutoScaling, error::ProvideErrorMetadata};
use aws_sdk_elasticloadbalancingv2::{
    Client as LoadBalancing,
    types::{TargetDescription, TargetHealthStateEnum},
};
use aws_smithy_http_client::tls;

use super::Metadata;
use crate::{backoff::Backoff, clock::Clock};

/// A call that has not worked after this long is given up: two minutes are all there are.
const RETRY: Backoff = Backoff::within(
    Duration::from_millis(200),
    Duration::from_secs(2),
    Duration::from_secs(15),
);

/// How long deregistration may take to be seen, and how often we look.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the hook answers when no lifecycle action is under way.
const NO_ACTION: &str = "ValidationError";

/// What this instance belongs to, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Target group to leave.
    pub target_group_arn: Option<String>,
    /// Auto Scaling group and its lifecycle hook to answer.
    pub auto_scaling_group: Option<String>,
    /// See above.
    pub lifecycle_hook: Option<String>,
    /// None: the metadata service says it.
    pub instance_id: Option<String>,
    /// None: the metadata service or the environment says it.
    pub region: Option<String>,
    /// Address of an AWS-compatible server; none for AWS itself.
    pub endpoint: Option<String>,
}

/// Why membership cannot be found out. The operator's to fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither the configuration nor the metadata service names the instance.
    #[error(
        "cannot leave a target group or lifecycle hook without knowing this instance: set \
         drain.instance_id, or drain.metadata to the metadata service's address"
    )]
    InstanceUnknown,
}

/// Tells the Auto Scaling group, where there is one, that this machine may go: what a process does
/// last.
pub async fn leave_group(
    auto_scaling_group: Option<String>,
    lifecycle_hook: Option<String>,
    metadata: &Metadata,
    clock: &Clock,
) -> Result<(), Error> {
    let names = Names {
        auto_scaling_group,
        lifecycle_hook,
        ..Names::default()
    };
    let membership = Membership::find(names, metadata, clock.clone()).await?;
    membership.complete().await;
    Ok(())
}

/// An instance's place in the fleet.
#[derive(Debug)]
pub struct Membership {
    instance_id: String,
    target_group: Option<(LoadBalancing, String)>,
    lifecycle: Option<(AutoScaling, String, String)>,
    clock: Clock,
}

impl Membership {
    /// Finds out who this instance is, if anything needs it.
    pub async fn find(names: Names, metadata: &Metadata, clock: Clock) -> Result<Self, Error> {
        if names.target_group_arn.is_none() && names.lifecycle_hook.is_none() {
            let instance_id = String::new();
            return Ok(Self {
                instance_id,
                target_group: None,
                lifecycle: None,
                clock,
            });
        }
        let known = names.instance_id.is_some() && names.region.is_some();
        let identity = if known {
            None
        } else {
            metadata.identity(&clock).await
        };
        let (id, region) = identity
            .map(|found| (found.instance_id, found.region))
            .unzip();
        let instance_id = names.instance_id.or(id).ok_or(Error::InstanceUnknown)?;
        let config = sdk_config(names.region.or(region), names.endpoint).await;
        let target_group = names
            .target_group_arn
            .map(|arn| (LoadBalancing::new(&config), arn));
        let lifecycle = names
            .auto_scaling_group
            .zip(names.lifecycle_hook)
            .map(|(group, hook)| (AutoScaling::new(&config), group, hook));
        Ok(Self {
            instance_id,
            target_group,
            lifecycle,
            clock,
        })
    }

    /// Leaves the target group and waits until the balancer has seen it. Meanwhile the lifecycle
    /// hook is told that we are at it.
    pub async fn deregister(&self) {
        self.heartbeat().await;
        let Some((client, arn)) = &self.target_group else {
            return;
        };
        let target = TargetDescription::builder().id(&self.instance_id).build();
        let left = self
            .retry("deregister from the target group", || {
                let call = client
                    .deregister_targets()
                    .target_group_arn(arn)
                    .targets(target.clone());
                async move { call.send().await.map(drop).map_err(|e| words(&e)) }
            })
            .await;
        if left {
            tracing::info!(target_group = arn, "deregistered");
            self.wait_until_seen(client, arn).await;
        }
    }

    /// Tells the lifecycle hook that the instance may end. Where nobody waits (a Spot notice alone,
    /// a restart by hand) the hook refuses, which is no harm.
    pub async fn complete(&self) {
        let Some((client, group, hook)) = &self.lifecycle else {
            return;
        };
        self.retry("complete the lifecycle action", || {
            let call = client
                .complete_lifecycle_action()
                .auto_scaling_group_name(group)
                .lifecycle_hook_name(hook)
                .instance_id(&self.instance_id)
                .lifecycle_action_result("CONTINUE");
            async move {
                match call.send().await {
                    Ok(_) => tracing::info!(group, hook, "lifecycle action completed"),
                    Err(error) if error.code() == Some(NO_ACTION) => {
                        tracing::info!(group, hook, "no lifecycle action waits for this instance");
                    }
                    Err(error) => return Err(words(&error)),
                }
                Ok(())
            }
        })
        .await;
    }

    /// Without an action under way (a Spot notice alone) the hook refuses, which is no harm.
    async fn heartbeat(&self) {
        let Some((client, group, hook)) = &self.lifecycle else {
            return;
        };
        let beat = client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(hook)
            .instance_id(&self.instance_id)
            .send()
            .await;
        if let Err(error) = beat {
            tracing::debug!(error = words(&error), "no lifecycle action to prolong");
        }
    }

    async fn wait_until_seen(&self, client: &LoadBalancing, arn: &str) {
        let until = self.clock.now() + SEEN_WITHIN;
        while self.clock.now() < until {
            let target = TargetDescription::builder().id(&self.instance_id).build();
            let seen = client
                .describe_target_health()
                .target_group_arn(arn)
                .targets(target);
            match seen.send().await {
                Ok(answer)
                    if !answer
                        .target_health_descriptions()
                        .iter()
                        .any(gets_requests) =>
                {
                    return;
                }
                Ok(_) => {}
                // An unknown target is one that has left.
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|e| e.is_invalid_target_exception()) =>
                {
                    return;
                }
                Err(error) => {
                    tracing::debug!(error = words(&error), "cannot see the target's health");
                }
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
        tracing::warn!(
            target_group = arn,
            "the load balancer may still send requests"
        );
    }

    async fn retry<F, Fut>(&self, what: &str, call: F) -> bool
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        let mut waits = RETRY.start();
        loop {
            let Err(error) = call().await else {
                return true;
            };
            let Some(wait) = waits.next() else {
                tracing::error!(error, "cannot {what}; leaving without");
                return false;
            };
            tracing::warn!(error, "cannot {what} yet");
            self.clock.sleep(wait).await;
        }
    }
}

fn gets_requests(target: &aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription) -> bool {
    let state = target.target_health().and_then(|health| health.state());
    !matches!(
        state,
        None | Some(
            TargetHealthStateEnum::Draining
                | TargetHealthStateEnum::Unused
                | TargetHealthStateEnum::Unavailable
        )
    )
}

/// What every client of AWS starts from: credentials and endpoint from the environment or the
/// instance, TLS by ring.
pub async fn sdk_config(region: Option<String>, endpoint: Option<String>) -> SdkConfig {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(ring)
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// An SDK's error with everything that lies behind it; its own text names only the outermost layer.
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
