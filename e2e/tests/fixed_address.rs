//! An origin takes over the network interface and the Elastic IP that outlive instances, whatever
//! EC2 says on the way: the real program, its real calls, a simulated AWS behind a front that can
//! lie.

#[path = "../../crates/store/tests/support/mod.rs"]
mod moto;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use e2e::{PATIENCE, Process, binary, free_port, imds::Imds, until};
use http::{Request, StatusCode};
use moto::Moto;
use service::{
    drain,
    http::{Body, Client, Response, Server, read_all, serve},
};
use tokio::task::JoinHandle;

const REGION: &str = "eu-central-1";
const XML_BYTES_MAX: usize = 1 << 20;

/// What the front answers to an action instead of asking the simulated AWS; `None` asks it.
type Lie = Box<dyn FnMut(&str) -> Option<(StatusCode, &'static str)> + Send>;

/// Stands before the simulated AWS, remembers what was asked, and may answer itself.
struct Front {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Front {
    async fn before(moto: &Moto, lie: Lie) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = (Arc::clone(&asked), Arc::new(Mutex::new(lie)));
        let (endpoint, client) = (moto.endpoint.clone(), Client::new(PATIENCE));
        let handler = move |request: service::http::Request, _| {
            let ((asked, lie), endpoint, client) =
                (shared.clone(), endpoint.clone(), client.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = read_all(body, XML_BYTES_MAX).await.expect("a body");
                let text = String::from_utf8_lossy(&body);
                let action = text.split('&').find_map(|p| p.strip_prefix("Action="));
                let action = action.unwrap_or_default().to_owned();
                let lie = lie.lock().expect("no lie panics")(&action);
                asked.lock().expect("no one panics").push(action);
                if let Some((status, code)) = lie {
                    let text = format!(
                        "<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error>\
                         </Errors><RequestID>1</RequestID></Response>"
                    );
                    let mut response = Response::new(Body::full(text));
                    *response.status_mut() = status;
                    return response;
                }
                let mut onward = Request::post(format!("{endpoint}/"));
                for name in ["authorization", "content-type"] {
                    onward = onward.header(name, &head.headers[name]);
                }
                let onward = onward.body(Body::full(body)).expect("a request");
                let answer = client.send(onward, PATIENCE).await.expect("moto answers");
                let (head, body) = answer.into_parts();
                let body = read_all(body, XML_BYTES_MAX).await.expect("a body");
                let mut response = Response::new(Body::full(body));
                *response.status_mut() = head.status;
                response
            }
        };
        let task = tokio::spawn(async move {
            let (_signal, watch) = drain::channel();
            serve(listener, Server::default(), handler, watch).await;
        });
        Self { url, asked, task }
    }

    async fn honest(moto: &Moto) -> Self {
        Self::before(moto, Box::new(|_| None)).await
    }

    /// How often `action` was asked for.
    fn count(&self, action: &str) -> usize {
        let asked = self.asked.lock().expect("no one panics");
        asked.iter().filter(|one| *one == action).count()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One call of EC2, as the deployment or an operator makes it; gives the answer's text.
async fn ec2(moto: &Moto, action: &str) -> String {
    let request = Request::post(format!("{}/", moto.endpoint))
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/ec2/aws4_request"),
        )
        .body(Body::full(format!("Action={action}&Version=2016-11-15")))
        .expect("a request");
    let answer = Client::new(PATIENCE).send(request, PATIENCE).await;
    let (head, body) = answer.expect("moto answers").into_parts();
    let body = read_all(body, XML_BYTES_MAX).await.expect("a body");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(head.status, StatusCode::OK, "{action}: {text}");
    text
}

/// The text of the first element called `name`; empty without one.
fn element(xml: &str, name: &str) -> String {
    let found = xml.split_once(&format!("<{name}>"));
    let found = found.and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    found.map(|(text, _)| text.to_owned()).unwrap_or_default()
}

/// What outlives instances: as deploy/cloudformation/addresses.yaml makes it.
struct Place {
    eni: String,
    allocation: String,
}

impl Place {
    async fn make(moto: &Moto) -> Self {
        // Addresses of this machine, as those of an attached interface are.
        let vpc = ec2(moto, "CreateVpc&CidrBlock=127.0.0.0/16").await;
        let vpc = element(&vpc, "vpcId");
        let subnet = format!("CreateSubnet&VpcId={vpc}&CidrBlock=127.0.0.0/24");
        let subnet = element(&ec2(moto, &subnet).await, "subnetId");
        let eni = ec2(moto, &format!("CreateNetworkInterface&SubnetId={subnet}")).await;
        let address = ec2(moto, "AllocateAddress&Domain=vpc").await;
        Self {
            eni: element(&eni, "networkInterfaceId"),
            allocation: element(&address, "allocationId"),
        }
    }

    /// Which instance has the interface, and which interface the address.
    async fn seen(&self, moto: &Moto) -> (String, String) {
        let eni = format!(
            "DescribeNetworkInterfaces&NetworkInterfaceId.1={}",
            self.eni
        );
        let attachment = element(&ec2(moto, &eni).await, "attachment");
        let address = format!("DescribeAddresses&AllocationId.1={}", self.allocation);
        let address = ec2(moto, &address).await;
        (
            element(&attachment, "instanceId"),
            element(&address, "networkInterfaceId"),
        )
    }
}

async fn instance(moto: &Moto) -> String {
    let run = "RunInstances&ImageId=ami-12c6146b&MinCount=1&MaxCount=1";
    element(&ec2(moto, run).await, "instanceId")
}

/// An origin that starts on an instance, and the ear of its service manager.
struct Start {
    process: Process,
    systemd: UnixDatagram,
    _imds: Imds,
}

impl Start {
    fn on(folder: &Path, instance: &str, place: &Place, front: &Front) -> Self {
        let imds = Imds::start(instance, REGION);
        let path = folder.join(format!("{instance}.notify"));
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        systemd.set_nonblocking(true).expect("a socket to poll");
        let text = format!(
            "[origin]\nrtmp_listen = \"127.0.0.1:{}\"\nhttp_listen = \"127.0.0.1:{}\"\n\
             admin_listen = \"127.0.0.1:{}\"\nrecord = false\nladder = []\nstate = \"{}\"\n\
             [origin.aws]\neni = \"{}\"\neip_allocation = \"{}\"\n\
             [origin.drain]\nmetadata = \"{}\"\n",
            free_port(),
            free_port(),
            free_port(),
            folder.join(format!("{instance}.state")).display(),
            place.eni,
            place.allocation,
            imds.url,
        );
        let config = folder.join(format!("{instance}.toml"));
        fs::write(&config, text).expect("config is written");
        let mut command = Command::new(binary("panocast-origin"));
        command
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", &path)
            .env("AWS_ENDPOINT_URL", &front.url)
            // Credentials come from where an instance has them, not from who runs this test.
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.url)
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_PROFILE");
        Self {
            process: Process::start(folder, instance, &mut command),
            systemd,
            _imds: imds,
        }
    }

    /// What systemd has heard since it was last asked.
    fn heard(systemd: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let mut heard = Vec::new();
        while let Ok(length) = systemd.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        heard
    }

    async fn ready(&mut self) {
        let ready = async |_: &Process| {
            let heard = Self::heard(&self.systemd);
            let ready = heard.iter().any(|text| text.contains("READY=1"));
            ready.then_some(())
        };
        self.process.until("the origin is ready", ready).await;
    }

    async fn stop(mut self) {
        self.process.signal("TERM");
        assert!(self.process.wait("the origin has left").await.success());
    }
}

const CHANGES: [&str; 3] = [
    "AttachNetworkInterface",
    "DetachNetworkInterface",
    "AssociateAddress",
];

#[tokio::test]
async fn a_replaced_origin_takes_interface_and_address_and_a_repeated_start_changes_nothing() {
    let (folder, moto) = (tempfile::tempdir().expect("a folder"), Moto::start());
    let place = Place::make(&moto).await;
    let (old, new) = (instance(&moto).await, instance(&moto).await);

    let front = Front::honest(&moto).await;
    let mut first = Start::on(folder.path(), &old, &place, &front);
    first.ready().await;
    assert_eq!(place.seen(&moto).await, (old.clone(), place.eni.clone()));
    // A dead machine gives nothing back.
    first.process.kill();

    let front = Front::honest(&moto).await;
    let mut second = Start::on(folder.path(), &new, &place, &front);
    second.ready().await;
    assert_eq!(place.seen(&moto).await, (new.clone(), place.eni.clone()));
    assert_eq!(CHANGES.map(|action| front.count(action)), [1, 1, 0]);
    second.process.kill();

    fs::remove_file(folder.path().join(format!("{new}.notify"))).expect("the socket's file");
    let front = Front::honest(&moto).await;
    let mut again = Start::on(folder.path(), &new, &place, &front);
    again.ready().await;
    assert_eq!(CHANGES.map(|action| front.count(action)), [0, 0, 0]);
    assert_eq!(place.seen(&moto).await, (new, place.eni.clone()));
    again.stop().await;
}

#[tokio::test]
async fn a_taken_address_and_an_interface_snatched_in_between_come_back() {
    let (folder, moto) = (tempfile::tempdir().expect("a folder"), Moto::start());
    let (place, other) = (Place::make(&moto).await, Place::make(&moto).await);
    let us = instance(&moto).await;
    let taken = format!(
        "AssociateAddress&AllocationId={}&NetworkInterfaceId={}",
        place.allocation, other.eni
    );
    ec2(&moto, &taken).await;
    // It was free when we looked, and is not when we attach.
    let mut snatched = false;
    let lie = Box::new(move |action: &str| {
        let first = action == "AttachNetworkInterface" && !std::mem::replace(&mut snatched, true);
        first.then_some((StatusCode::BAD_REQUEST, "InvalidNetworkInterface.InUse"))
    });
    let front = Front::before(&moto, lie).await;
    let mut start = Start::on(folder.path(), &us, &place, &front);
    start.ready().await;
    assert_eq!(place.seen(&moto).await, (us, place.eni.clone()));
    assert_eq!(CHANGES.map(|action| front.count(action)), [2, 0, 1]);
    start.stop().await;
}

#[tokio::test]
async fn throttling_and_faults_of_ec2_are_outlasted_while_systemd_hears_that_the_start_lives() {
    let (folder, moto) = (tempfile::tempdir().expect("a folder"), Moto::start());
    let place = Place::make(&moto).await;
    let us = instance(&moto).await;
    // The first call of each kind is throttled, the first of all finds EC2 broken.
    let mut seen = BTreeSet::new();
    let lie = Box::new(move |action: &str| {
        let broken = (StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        let throttled = (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded");
        let answer = if seen.is_empty() { broken } else { throttled };
        seen.insert(action.to_owned()).then_some(answer)
    });
    let front = Front::before(&moto, lie).await;
    let start = Start::on(folder.path(), &us, &place, &front);
    let mut heard = Vec::new();
    until("the origin is ready", PATIENCE, async || {
        heard.extend(Start::heard(&start.systemd));
        let last = heard.last()?;
        last.contains("READY=1").then_some(())
    })
    .await;
    assert_eq!(place.seen(&moto).await, (us, place.eni.clone()));
    assert!(heard.len() > 3, "{heard:?}");
    for text in &heard[..heard.len() - 1] {
        assert!(text.contains("EXTEND_TIMEOUT_USEC="), "{heard:?}");
    }
    let log = start.process.output();
    assert!(log.contains("RequestLimitExceeded"), "{log}");
    start.stop().await;
}

#[tokio::test]
async fn what_can_never_work_ends_the_start_with_words() {
    let (folder, moto) = (tempfile::tempdir().expect("a folder"), Moto::start());
    let mut place = Place::make(&moto).await;
    place.eni = "eni-0123456789abcdef0".to_owned();
    let us = instance(&moto).await;
    let front = Front::honest(&moto).await;
    let mut start = Start::on(folder.path(), &us, &place, &front);
    let status = start.process.wait("the origin gives up").await;
    assert!(!status.success());
    let log = start.process.output();
    for word in [&*place.eni, "InvalidNetworkInterfaceID.NotFound"] {
        assert!(log.contains(word), "{log}");
    }
    assert!(
        !Start::heard(&start.systemd)
            .iter()
            .any(|text| text.contains("READY=1"))
    );
}

#[tokio::test]
async fn an_origin_that_waits_for_its_address_can_be_stopped() {
    let (folder, moto) = (tempfile::tempdir().expect("a folder"), Moto::start());
    let place = Place::make(&moto).await;
    let us = instance(&moto).await;
    let throttled = (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded");
    let front = Front::before(&moto, Box::new(move |_| Some(throttled))).await;
    let start = Start::on(folder.path(), &us, &place, &front);
    until("it has asked", Duration::from_secs(30), async || {
        (front.count("DescribeNetworkInterfaces") > 0).then_some(())
    })
    .await;
    start.stop().await;
    assert_eq!(place.seen(&moto).await, (String::new(), String::new()));
}
