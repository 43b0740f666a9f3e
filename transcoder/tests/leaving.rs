//! The real program on a machine that its Auto Scaling group takes away, against a simulated AWS.

#![cfg(feature = "aws")]
#![forbid(unsafe_code)]

#[path = "../../crates/store/tests/support/mod.rs"]
mod moto;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use moto::Deployment;
use service::{
    drain,
    http::{Body, Request, Response, Server, serve},
};
use tokio::sync::watch;

/// The machine's metadata service: who it is, and from some moment on that it has to go.
struct Metadata {
    address: SocketAddr,
    leaving: watch::Sender<bool>,
    /// How often the program asked whether it has to go.
    asked: Arc<AtomicU32>,
}

impl Metadata {
    async fn start(aws: &Deployment) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (leaving, told) = watch::channel(false);
        let asked = Arc::new(AtomicU32::new(0));
        let identity = serde_json::json!({"instanceId": aws.instance, "region": aws.region});
        let (identity, seen) = (identity.to_string(), asked.clone());
        let handler = move |request: Request, _| {
            let answer = match (request.method(), request.uri().path()) {
                (&Method::PUT, "/latest/api/token") => Some("token".to_owned()),
                (_, "/latest/dynamic/instance-identity/document") => Some(identity.clone()),
                (_, "/latest/meta-data/autoscaling/target-lifecycle-state") => {
                    seen.fetch_add(1, Ordering::SeqCst);
                    let state = if *told.borrow() {
                        "Terminated"
                    } else {
                        "InService"
                    };
                    Some(state.to_owned())
                }
                _ => None,
            };
            async move {
                let mut response = Response::new(Body::full(answer.clone().unwrap_or_default()));
                if answer.is_none() {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                response
            }
        };
        tokio::spawn(async move {
            let (_signal, watch) = drain::channel();
            serve(listener, Server::default(), handler, watch).await;
        });
        Self {
            address,
            leaving,
            asked,
        }
    }
}

fn start(aws: &Deployment, metadata: &Metadata, folder: &Path) -> Child {
    let config = folder.join("transcoder.toml");
    let text = format!(
        "[transcoder]\nadmin_listen = \"127.0.0.1:0\"\n[transcoder.drain]\nmetadata = \"http://{}\"\n\
         auto_scaling_group = \"fleet\"\nlifecycle_hook = \"drain\"\n[store]\n\
         ingest = \"file://{1}/ingest\"\negress = \"file://{1}/egress\"\n[jobs]\n\
         queue = \"sqlite://{1}/jobs\"\n",
        metadata.address,
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_panocast-transcoder"))
        .arg("--config")
        .arg(config)
        .envs(aws.environment())
        .stdout(log.try_clone().unwrap())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

/// Looks until `probe` gives something, as often as a person would not mind.
async fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = probe() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ended(mut child: Child) -> ExitStatus {
    until(|| child.try_wait().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_taken_tells_its_group_when_it_is_done() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let aws = Deployment::start(&deploy);
    let folder = tempfile::tempdir().unwrap();
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();

    // A restart by hand: no hook waits, and that holds nothing up.
    let metadata = Metadata::start(&aws).await;
    let restarted = start(&aws, &metadata, folder.path());
    until(|| (metadata.asked.load(Ordering::SeqCst) > 0).then_some(())).await;
    let id = restarted.id().to_string();
    Command::new("kill").arg(&id).status().unwrap();
    assert!(ended(restarted).await.success(), "{}", log());
    assert!(log().contains("no lifecycle action waits"), "{}", log());

    // The group takes the machine: the hook waits until the worker is done.
    let metadata = Metadata::start(&aws).await;
    let taken = start(&aws, &metadata, folder.path());
    until(|| (metadata.asked.load(Ordering::SeqCst) > 0).then_some(())).await;
    let instance = &aws.instance;
    aws.autoscaling(&format!(
        "TerminateInstanceInAutoScalingGroup&InstanceId={instance}&ShouldDecrementDesiredCapacity=true"
    ));
    let state = || aws.autoscaling("DescribeAutoScalingInstances");
    assert!(state().contains("Terminating:Wait"));
    metadata.leaving.send_replace(true);
    assert!(ended(taken).await.success(), "{}", log());
    assert!(state().contains("Terminating:Proceed"), "{}", log());
}
