//! One suite that every queue passes, on two handles of the same queue: one that hides messages for
//! ten minutes, and a brief one that hides them for [`BRIEF`]. Waiting for a message to come back
//! is waiting in `receive`, never a sleep.

#![forbid(unsafe_code)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jobs::{BATCH_MAX, BODY_BYTES_MAX, Depth, Error, Lease, Options, Queue, Receipt, WAIT_MAX};

#[cfg(feature = "aws")]
#[path = "../../store/tests/support/mod.rs"]
mod support;

const NOW: Duration = Duration::ZERO;

/// Long enough that a heartbeat at a third of it is on time on a machine that does ten other
/// things.
const BRIEF: Duration = Duration::from_secs(3);

fn options() -> Options {
    Options {
        visibility: Duration::from_secs(600),
        max_receives: 3,
        ..Options::default()
    }
}

async fn open_both(url: &str, options: &Options) -> (Arc<dyn Queue>, Arc<dyn Queue>) {
    let brief = Options {
        visibility: BRIEF,
        ..options.clone()
    };
    let queue = jobs::open(url, options).await.unwrap();
    (
        Arc::from(queue),
        Arc::from(jobs::open(url, &brief).await.unwrap()),
    )
}

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/jobs", folder.path().display());
    let (queue, brief) = open_both(&url, &options()).await;
    suite(queue, brief).await;
}

/// The real SDK against a simulated SQS.
#[cfg(feature = "aws")]
#[tokio::test]
async fn sqs() {
    let moto = support::Moto::start();
    let options = Options {
        endpoint: Some(moto.endpoint.clone()),
        region: Some("eu-west-1".into()),
        credentials: Some(jobs::Credentials {
            access_key_id: "test".into(),
            secret_access_key: "test".into(),
        }),
        ..options()
    };
    let url = format!("{}/123456789012/jobs", moto.endpoint);
    let error = jobs::open(&url, &options).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error}");
    sqs_call(&moto.endpoint, "CreateQueue", r#"{"QueueName":"jobs"}"#).await;
    let error = jobs::open(&url, &options).await.unwrap_err();
    assert!(error.to_string().contains("redrive policy"), "{error}");
    sqs_call(&moto.endpoint, "CreateQueue", r#"{"QueueName":"dead"}"#).await;
    let policy = r#"{"QueueName":"redriven","Attributes":{"RedrivePolicy":"{\"maxReceiveCount\":3,\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:123456789012:dead\"}"}}"#;
    sqs_call(&moto.endpoint, "CreateQueue", policy).await;
    let url = format!("{}/123456789012/redriven", moto.endpoint);
    let (queue, brief) = open_both(&url, &options).await;
    suite(queue.clone(), brief).await;
    drop(moto);
    let error = queue.receive(1, NOW).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

/// Making queues is the deployment's work, so the crate has no call for it: one plain HTTP request
/// does.
#[cfg(feature = "aws")]
async fn sqs_call(endpoint: &str, action: &str, body: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = endpoint.strip_prefix("http://").unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/eu-west-1/sqs/aws4_request\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

async fn suite(queue: Arc<dyn Queue>, brief: Arc<dyn Queue>) {
    send_and_delete(&*queue).await;
    visibility(&*queue, &*brief).await;
    giving_back(&*queue).await;
    batches(&*queue).await;
    waiting(queue.clone()).await;
    leases(&*queue, brief).await;
    refusals(&*queue).await;
    dead_letters(&*queue).await;
}

async fn send(queue: &dyn Queue, body: &str) {
    queue.send(&[body.to_owned()]).await.unwrap();
}

async fn one(queue: &dyn Queue, wait: Duration) -> jobs::Delivery {
    let mut received = queue.receive(1, wait).await.unwrap();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

async fn send_and_delete(queue: &dyn Queue) {
    assert_eq!(queue.receive(10, NOW).await.unwrap(), []);
    send(queue, "héllo {\"a\": 1}").await;
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth {
            waiting: 1,
            held: 0,
            dead: 0
        }
    );
    let delivery = one(queue, NOW).await;
    assert_eq!(
        (delivery.body.as_str(), delivery.receive_count),
        ("héllo {\"a\": 1}", 1)
    );
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth {
            waiting: 0,
            held: 1,
            dead: 0
        }
    );
    assert_eq!(queue.receive(10, NOW).await.unwrap(), []);
    assert!(queue.delete(&[delivery.receipt]).await.unwrap().is_empty());
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

async fn visibility(queue: &dyn Queue, brief: &dyn Queue) {
    send(queue, "comes back").await;
    let first = one(brief, NOW).await;
    let second = one(queue, WAIT_MAX).await;
    assert_eq!((second.body, second.receive_count), (first.body, 2));
    assert_eq!(second.id, first.id);
    // An extension counts from the call and may shorten.
    queue
        .extend(&second.receipt, Duration::from_secs(1))
        .await
        .unwrap();
    let third = one(queue, WAIT_MAX).await;
    assert_eq!(third.receive_count, 3);
    assert!(queue.delete(&[third.receipt]).await.unwrap().is_empty());
}

async fn giving_back(queue: &dyn Queue) {
    send(queue, "given back").await;
    let first = one(queue, NOW).await;
    queue.release(&first.receipt, "interrupted").await.unwrap();
    let second = one(queue, NOW).await;
    assert_eq!(second.receive_count, 2);
    assert!(
        queue
            .delete(std::slice::from_ref(&second.receipt))
            .await
            .unwrap()
            .is_empty()
    );
    let error = queue
        .extend(&second.receipt, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}

async fn batches(queue: &dyn Queue) {
    let bodies = (0..25).map(|n| format!("body {n}")).collect::<Vec<_>>();
    queue.send(&bodies).await.unwrap();
    let (mut seen, mut receipts) = (BTreeSet::new(), Vec::new());
    while seen.len() < bodies.len() {
        let received = queue.receive(BATCH_MAX, WAIT_MAX).await.unwrap();
        assert!(!received.is_empty() && received.len() <= BATCH_MAX);
        for delivery in received {
            queue
                .extend(&delivery.receipt, Duration::from_secs(60))
                .await
                .unwrap();
            seen.insert(delivery.body);
            receipts.push(delivery.receipt);
        }
    }
    assert_eq!(seen, bodies.into_iter().collect());
    assert!(queue.delete(&receipts).await.unwrap().is_empty());
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    // Large messages do not fit one request together.
    let large = (0..3)
        .map(|n| n.to_string().repeat(BODY_BYTES_MAX / 2))
        .collect::<Vec<_>>();
    queue.send(&large).await.unwrap();
    let mut left = large.len();
    while left > 0 {
        for delivery in queue.receive(BATCH_MAX, WAIT_MAX).await.unwrap() {
            assert_eq!(delivery.body.len(), BODY_BYTES_MAX / 2);
            assert!(queue.delete(&[delivery.receipt]).await.unwrap().is_empty());
            left -= 1;
        }
    }
}

async fn waiting(queue: Arc<dyn Queue>) {
    let receiver = tokio::spawn({
        let queue = queue.clone();
        async move { one(&*queue, WAIT_MAX).await }
    });
    tokio::task::yield_now().await;
    send(&*queue, "woken").await;
    let delivery = receiver.await.unwrap();
    assert_eq!(delivery.body, "woken");
    assert!(queue.delete(&[delivery.receipt]).await.unwrap().is_empty());
}

async fn leases(queue: &dyn Queue, brief: Arc<dyn Queue>) {
    send(queue, "leased").await;
    let lease = Lease::hold(brief.clone(), one(&*brief, NOW).await);
    // More than a visibility passes, and nobody else gets it.
    assert_eq!(queue.receive(1, BRIEF + BRIEF / 2).await.unwrap(), []);
    assert_eq!(lease.delivery().body, "leased");
    lease.release("drain").await.unwrap();
    drop(Lease::hold(brief.clone(), one(&*brief, NOW).await));
    let again = one(queue, WAIT_MAX).await;
    assert_eq!(again.receive_count, 3);
    Lease::hold(brief, again).done().await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

async fn refusals(queue: &dyn Queue) {
    for body in [String::new(), "x".repeat(BODY_BYTES_MAX + 1)] {
        let error = queue.send(&[body]).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    let nobody = Receipt("nobody's".into());
    let error = queue
        .extend(&nobody, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    let error = queue.release(&nobody, "").await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    let error = queue
        .extend(&nobody, jobs::VISIBILITY_MAX * 2)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    // Each entry has its own answer: the good one is deleted beside the bad one.
    send(queue, "good").await;
    let good = one(queue, NOW).await;
    let failed = queue.delete(&[nobody.clone(), good.receipt]).await.unwrap();
    assert_eq!(
        failed
            .into_iter()
            .map(|(receipt, _)| receipt)
            .collect::<Vec<_>>(),
        [nobody]
    );
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

async fn dead_letters(queue: &dyn Queue) {
    assert_eq!(queue.max_receives(), 3);
    send(queue, "poison").await;
    let poison = one(queue, NOW).await;
    queue
        .dead_letter(&poison, "not a recording: no moov box")
        .await
        .unwrap();
    send(queue, "killer").await;
    for count in 1..=3 {
        let delivery = one(queue, WAIT_MAX).await;
        assert_eq!(delivery.receive_count, count);
        queue
            .release(&delivery.receipt, "the worker died")
            .await
            .unwrap();
    }
    assert_eq!(queue.receive(1, NOW).await.unwrap(), []);
    let mut letters = queue.dead_letters().await.unwrap();
    letters.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!(letters[0].body, "killer");
    assert!(letters[0].reason.contains("3 times"), "{letters:?}");
    assert_eq!(letters[1].body, "poison");
    assert_eq!(letters[1].reason, "not a recording: no moov box");
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth {
            waiting: 0,
            held: 0,
            dead: 2
        }
    );
}
