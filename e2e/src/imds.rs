//! EC2's instance metadata service, version 2, for one instance: who it is, what it may sign with,
//! and the notices that it gets.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::json;
use service::{
    drain,
    http::{Body, Request, Response, Server, serve},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::JoinHandle;

/// The token it gives out; one is enough.
const TOKEN: &str = "a-token";

/// The name of the instance's role.
const ROLE: &str = "node";

/// A running service; ends when dropped.
#[derive(Debug)]
pub struct Imds {
    /// Where it answers.
    pub url: String,
    facts: Arc<Mutex<Facts>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Facts {
    instance: String,
    region: String,
    /// What is answered to `spot/instance-action`.
    notice: Option<String>,
    /// What is answered to `autoscaling/target-lifecycle-state`.
    lifecycle: &'static str,
    rebalance: bool,
    fault: Option<Fault>,
    asked: u32,
}

/// How it fails, whatever is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// By this status.
    Status(StatusCode),
    /// By taking the request and saying nothing.
    Silence,
}

impl Imds {
    /// Starts one on a free port of loopback.
    pub fn start(instance: &str, region: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        Self::on(listener, instance, region)
    }

    /// Starts one on a listener that may belong to another network namespace. Needs a runtime.
    pub fn on(listener: TcpListener, instance: &str, region: &str) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let facts = Arc::new(Mutex::new(Facts {
            instance: instance.to_owned(),
            region: region.to_owned(),
            notice: None,
            rebalance: false,
            lifecycle: "InService",
            fault: None,
            asked: 0,
        }));
        listener
            .set_nonblocking(true)
            .expect("a listener for tokio");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        let shared = Arc::clone(&facts);
        let handler = move |request: Request, _| {
            let fault = count(&shared);
            let answer = answer(&request, &shared);
            async move {
                match fault {
                    None => answer,
                    Some(Fault::Silence) => std::future::pending().await,
                    Some(Fault::Status(status)) => service::http::status(status),
                }
            }
        };
        let task = tokio::spawn(async move {
            let (_signal, watch) = drain::channel();
            serve(listener, Server::default(), handler, watch).await;
        });
        Self {
            url: format!("http://{address}"),
            facts,
            task,
        }
    }

    /// From now on says that the Spot market takes the instance back in `left`.
    pub fn interrupt(&self, left: Duration) {
        self.interrupt_at(OffsetDateTime::now_utc() + left);
    }

    /// The same, at a moment of any kind.
    pub fn interrupt_at(&self, time: OffsetDateTime) {
        let time = time.format(&Rfc3339).expect("a time can be written");
        let notice = json!({"action": "terminate", "time": time}).to_string();
        self.facts().notice = Some(notice);
    }

    /// From now on recommends to rebalance.
    pub fn recommend_rebalance(&self) {
        self.facts().rebalance = true;
    }

    /// What the Auto Scaling group wants of the instance, such as `Terminated`.
    pub fn set_lifecycle(&self, state: &'static str) {
        self.facts().lifecycle = state;
    }

    /// From now on fails, or answers again.
    pub fn fail(&self, fault: Option<Fault>) {
        self.facts().fault = fault;
    }

    /// Requests so far.
    pub fn asked(&self) -> u32 {
        self.facts().asked
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request, and says how it is to fail.
fn count(facts: &Mutex<Facts>) -> Option<Fault> {
    let mut facts = facts.lock().unwrap_or_else(PoisonError::into_inner);
    facts.asked += 1;
    facts.fault
}

impl Drop for Imds {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(request: &Request, facts: &Mutex<Facts>) -> Response {
    let path = request.uri().path().trim_start_matches("/latest/");
    let token = request.headers().get("x-aws-ec2-metadata-token");
    let (status, text) = if path == "api/token" && request.method() == Method::PUT {
        (StatusCode::OK, Some(TOKEN.to_owned()))
    } else if token.is_none_or(|token| token != TOKEN) {
        (StatusCode::UNAUTHORIZED, None)
    } else {
        let facts = facts.lock().unwrap_or_else(PoisonError::into_inner);
        match document(path, &facts) {
            Some(text) => (StatusCode::OK, Some(text)),
            None => (StatusCode::NOT_FOUND, None),
        }
    };
    let mut response = Response::new(Body::full(text.unwrap_or_default()));
    *response.status_mut() = status;
    if path == "api/token" {
        let name = "x-aws-ec2-metadata-token-ttl-seconds";
        let life = http::HeaderValue::from_static("21600");
        response.headers_mut().insert(name, life);
    }
    response
}

fn document(path: &str, facts: &Facts) -> Option<String> {
    let credentials = "meta-data/iam/security-credentials/";
    match path {
        "meta-data/spot/instance-action" => facts.notice.clone(),
        "meta-data/events/recommendations/rebalance" => facts
            .rebalance
            .then(|| json!({"noticeTime": "2026-11-02T12:00:00Z"}).to_string()),
        "meta-data/autoscaling/target-lifecycle-state" => Some(facts.lifecycle.to_owned()),
        "dynamic/instance-identity/document" => {
            Some(json!({"instanceId": facts.instance, "region": facts.region}).to_string())
        }
        "meta-data/placement/region" => Some(facts.region.clone()),
        _ if path == credentials => Some(ROLE.to_owned()),
        _ if path.strip_prefix(credentials) == Some(ROLE) => Some(
            json!({
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": "from-the-instance",
                "SecretAccessKey": "from-the-instance",
                "Token": "from-the-instance",
                "LastUpdated": "2026-01-01T00:00:00Z",
                "Expiration": "2099-01-01T00:00:00Z",
            })
            .to_string(),
        ),
        _ => None,
    }
}
