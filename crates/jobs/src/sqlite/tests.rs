use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

/// A queue whose clock stands until the test moves it.
async fn queue(max_receives: u32) -> (tempfile::TempDir, Sqlite, Arc<AtomicI64>) {
    let folder = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(1_000_000));
    let clock: Clock = {
        let time = time.clone();
        Arc::new(move || time.load(Ordering::SeqCst))
    };
    let options = Options {
        max_receives,
        ..Options::default()
    };
    let path = folder.path().join("a/jobs");
    let queue = Sqlite::open_with_clock(path, &options, clock)
        .await
        .unwrap();
    (folder, queue, time)
}

async fn one(queue: &Sqlite) -> Option<Delivery> {
    queue.receive(1, Duration::ZERO).await.unwrap().pop()
}

#[tokio::test]
async fn a_message_comes_back_exactly_when_its_visibility_ends() {
    let (_folder, queue, time) = queue(9).await;
    queue.send(&["job".into()]).await.unwrap();
    let first = one(&queue).await.unwrap();
    time.fetch_add(119_999, Ordering::SeqCst);
    assert_eq!(one(&queue).await, None);
    queue
        .extend(&first.receipt, Duration::from_secs(1))
        .await
        .unwrap();
    time.fetch_add(999, Ordering::SeqCst);
    assert_eq!(one(&queue).await, None);
    time.fetch_add(1, Ordering::SeqCst);
    let second = one(&queue).await.unwrap();
    assert_eq!(
        (second.id.as_str(), second.receive_count),
        (first.id.as_str(), 2)
    );
    let error = queue
        .extend(&first.receipt, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        Error::Lost {
            action: "extend the hold"
        }
    );
    let failed = queue
        .delete(&[first.receipt, second.receipt])
        .await
        .unwrap();
    assert_eq!(failed.len(), 1, "the old receipt deletes nothing");
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

#[tokio::test]
async fn dead_letters_after_max_receives_keep_the_last_reason() {
    let (_folder, queue, time) = queue(3).await;
    queue
        .send(&["noted".into(), "vanishing".into()])
        .await
        .unwrap();
    for _ in 0..3 {
        for delivery in queue.receive(10, Duration::ZERO).await.unwrap() {
            if delivery.body == "noted" {
                queue
                    .release(&delivery.receipt, "the disk is full")
                    .await
                    .unwrap();
            }
        }
        time.fetch_add(120_000, Ordering::SeqCst);
    }
    assert_eq!(one(&queue).await, None);
    let mut letters = queue.dead_letters().await.unwrap();
    letters.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(letters.len(), 2);
    assert!(
        letters[0].reason.ends_with("last: the disk is full"),
        "{letters:?}"
    );
    assert!(letters[1].reason.contains("3 times"), "{letters:?}");
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth {
            waiting: 0,
            held: 0,
            dead: 2
        }
    );
}

#[tokio::test]
async fn messages_survive_the_process_and_are_shared_by_several() {
    let (folder, queue, _time) = queue(3).await;
    queue.send(&["kept".into()]).await.unwrap();
    let held = one(&queue).await.unwrap();
    drop(queue);
    let path = folder.path().join("a/jobs");
    let other = Sqlite::open(&path, &Options::default()).await.unwrap();
    let third = Sqlite::open(&path, &Options::default()).await.unwrap();
    // The first clock stood in 1970: by the machine's own clock the hold ended long ago.
    let again = one(&other).await.unwrap();
    assert_eq!((again.body.as_str(), again.receive_count), ("kept", 2));
    assert_eq!(third.delete(&[held.receipt]).await.unwrap().len(), 1);
    assert!(third.delete(&[again.receipt]).await.unwrap().is_empty());
    // A waiting receiver notices what another process sends.
    let waiting = tokio::spawn(async move { third.receive(1, WAIT_MAX).await.unwrap() });
    other.send(&["from afar".into()]).await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].body, "from afar");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_the_operators_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs");
    std::fs::write(
        &path,
        "this is no database, but it is long enough to be taken for one".repeat(9),
    )
    .unwrap();
    let error = Sqlite::open(&path, &Options::default()).await.unwrap_err();
    assert_eq!(error.fault(), crate::Fault::Operator, "{error}");
    assert!(!error.is_retryable());
}
