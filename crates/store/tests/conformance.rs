//! One suite that every store passes.

#![forbid(unsafe_code)]

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all};
use store::{
    Created, Error, FaultSchedule, Faulty, Folder, MemoryStore, ObjectMetadata, PART_BYTES_MIN,
    READ_CHUNK_BYTES, Store, UploadId, list_all,
};

#[cfg(feature = "aws")]
#[path = "support/mod.rs"]
mod support;

const METADATA: ObjectMetadata = ObjectMetadata {
    content_type: Some("video/mp4"),
    cache_control: Some("max-age=31536000, immutable"),
};

#[tokio::test]
async fn memory() {
    suite(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn folder() {
    let folder = tempfile::tempdir().unwrap();
    suite(Arc::new(Folder::open(folder.path()).await.unwrap())).await;
}

#[tokio::test]
async fn faulty_without_faults() {
    suite(Arc::new(Faulty::new(
        Arc::new(MemoryStore::new()),
        FaultSchedule::calm(),
    )))
    .await;
}

/// The real SDK against a simulated S3, with and without a prefix.
#[cfg(feature = "aws")]
#[tokio::test]
async fn s3() {
    let moto = support::Moto::start();
    let options = store::Options {
        endpoint: Some(moto.endpoint.clone()),
        region: Some("eu-west-1".into()),
        credentials: Some(store::Credentials {
            access_key_id: "test".into(),
            secret_access_key: "test".into(),
        }),
        path_style: None,
    };
    let missing = store::open("s3://no-such-bucket", &options).await.unwrap();
    let error = missing.put("a", Bytes::new(), METADATA).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error}");
    for (bucket, prefix) in [("plain", ""), ("shared", "/some/prefix")] {
        make_bucket(&moto.endpoint, bucket).await;
        let url = format!("s3://{bucket}{prefix}");
        let store = store::open(&url, &options).await.unwrap();
        assert_eq!(store.url(), url);
        suite(Arc::from(store)).await;
    }
    drop(moto);
    let away = store::open("s3://plain", &options).await.unwrap();
    let error = away.head("a").await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

/// Making buckets is the deployment's work, so the store has no call for it: one plain HTTP request
/// does.
#[cfg(feature = "aws")]
async fn make_bucket(endpoint: &str, bucket: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = endpoint.strip_prefix("http://").unwrap();
    let body = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>\
                </CreateBucketConfiguration>";
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: \
         AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/s3/aws4_request\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

async fn suite(store: Arc<dyn Store>) {
    objects(&*store).await;
    ranges(&*store).await;
    odd_keys(&*store).await;
    listing(&*store).await;
    races(store.clone()).await;
    uploads(&*store).await;
    parts_of_files(&*store).await;
    upload_mistakes(&*store).await;
    refusals(&*store).await;
}

async fn text(store: &dyn Store, key: &str) -> Bytes {
    store.get(key).await.unwrap().bytes(1 << 20).await.unwrap()
}

async fn objects(store: &dyn Store) {
    assert!(store.get("a/b").await.unwrap_err().is_not_found());
    assert!(store.head("a/b").await.unwrap_err().is_not_found());
    store
        .put("a/b", Bytes::from_static(b"one"), METADATA)
        .await
        .unwrap();
    let first = store.head("a/b").await.unwrap();
    assert_eq!((first.key.as_str(), first.size), ("a/b", 3));
    assert!(!first.etag.is_empty() && !first.etag.contains('"'));
    assert_eq!(text(store, "a/b").await, "one");
    store
        .put("a/b", Bytes::from_static(b"two!"), METADATA)
        .await
        .unwrap();
    let second = store.head("a/b").await.unwrap();
    assert_eq!(second.size, 4);
    assert_ne!(first.etag, second.etag);
    assert_eq!(store.get("a/b").await.unwrap().object.etag, second.etag);
    let again = store
        .put_if_absent("a/b", Bytes::from_static(b"three"), METADATA)
        .await
        .unwrap();
    assert_eq!(again, Created::Existed);
    assert_eq!(text(store, "a/b").await, "two!");
    store.delete("a/b").await.unwrap();
    assert!(store.get("a/b").await.unwrap_err().is_not_found());
    store.delete("a/b").await.unwrap();
    let anew = store
        .put_if_absent("a/b", Bytes::from_static(b"three"), METADATA)
        .await
        .unwrap();
    assert_eq!(anew, Created::Yes);
    assert_eq!(text(store, "a/b").await, "three");
    store.put("empty", Bytes::new(), METADATA).await.unwrap();
    assert_eq!(text(store, "empty").await, "");
    let error = store.get("a/b").await.unwrap().bytes(4).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}

async fn ranges(store: &dyn Store) {
    let long = (0..2 * READ_CHUNK_BYTES + 7)
        .map(|i| (i % 251) as u8)
        .collect::<Bytes>();
    let size = long.len() as u64;
    store.put("long", long.clone(), METADATA).await.unwrap();
    for (asked, given) in [
        (0..1, 0..1),
        (1..4, 1..4),
        (size - 1..size, size - 1..size),
        (5..size + 100, 5..size),
        (0..u64::MAX / 2, 0..size),
    ] {
        let read = store.get_range("long", asked).await.unwrap();
        assert_eq!(
            (read.range.clone(), read.object.size),
            (given.clone(), size)
        );
        let expected = long.slice(given.start as usize..given.end as usize);
        assert_eq!(read.bytes(size).await.unwrap(), expected);
    }
    for nothing in [0..0, 9..9, size..size + 1, size + 5..size + 9] {
        let error = store.get_range("long", nothing.clone()).await.unwrap_err();
        assert!(
            matches!(error, Error::Invalid { .. }),
            "{nothing:?}: {error}"
        );
    }
    assert!(
        store
            .get_range("none", 0..1)
            .await
            .unwrap_err()
            .is_not_found()
    );
    let mut body = store.get("long").await.unwrap().body;
    let mut chunks = 0;
    while let Some(chunk) = body.next().await {
        chunk.unwrap();
        chunks += 1;
    }
    assert!(chunks > 0);
}

async fn odd_keys(store: &dyn Store) {
    for key in [
        "odd/with space+plus",
        "odd/%2e%2e",
        "odd/é ünï",
        "odd/a=b&c;d@e,f!g'h(i)j$k",
    ] {
        store
            .put(key, Bytes::from_static(b"x"), METADATA)
            .await
            .unwrap();
        assert_eq!(store.head(key).await.unwrap().key, key);
        assert_eq!(store.list(key, None).await.unwrap().objects[0].key, key);
        store.delete(key).await.unwrap();
    }
}

async fn listing(store: &dyn Store) {
    let names = ["l/1", "l/10", "l/2/x", "l/2/y/z", "l-", "l2", "m"];
    for name in names {
        store
            .put(name, Bytes::from_static(b"x"), METADATA)
            .await
            .unwrap();
    }
    let keys = |page: store::Page| page.objects.into_iter().map(|o| o.key).collect::<Vec<_>>();
    let listed = keys(store.list("l/", None).await.unwrap());
    assert_eq!(listed, ["l/1", "l/10", "l/2/x", "l/2/y/z"]);
    let listed = keys(store.list("l", Some("l-")).await.unwrap());
    assert_eq!(listed, ["l/1", "l/10", "l/2/x", "l/2/y/z", "l2", "long"]);
    assert_eq!(
        keys(store.list("l/2", None).await.unwrap()),
        ["l/2/x", "l/2/y/z"]
    );
    assert_eq!(keys(store.list("nothing/", None).await.unwrap()), [""; 0]);
    let everything = list_all(store, "", 100).await.unwrap();
    assert!(
        everything.iter().all(|object| !object.key.starts_with('.')),
        "{everything:?}"
    );
    assert!(everything.len() > names.len());
    for name in names {
        store.delete(name).await.unwrap();
    }
    assert_eq!(keys(store.list("l/", None).await.unwrap()), [""; 0]);
}

async fn races(store: Arc<dyn Store>) {
    let writers = (0..8u8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .put_if_absent("race", Bytes::from(vec![writer; 64]), METADATA)
                .await
                .unwrap()
        })
    });
    let results = join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect::<Vec<_>>();
    let winner = results
        .iter()
        .position(|created| *created == Created::Yes)
        .unwrap();
    assert_eq!(
        results
            .iter()
            .filter(|created| **created == Created::Yes)
            .count(),
        1
    );
    assert_eq!(text(&*store, "race").await, vec![winner as u8; 64]);
}

async fn uploads(store: &dyn Store) {
    let part = |byte: u8| Bytes::from(vec![byte; PART_BYTES_MIN as usize]);
    let upload = store.create_upload("up/one", METADATA).await.unwrap();
    let other = store.create_upload("up/two", METADATA).await.unwrap();
    assert_ne!(upload, other);
    assert_eq!(store.list_parts("up/one", &upload).await.unwrap(), []);
    let second = store.put_part("up/one", &upload, 2, part(2)).await.unwrap();
    store.put_part("up/one", &upload, 1, part(9)).await.unwrap();
    let first = store.put_part("up/one", &upload, 1, part(1)).await.unwrap();
    let last = store
        .put_part("up/one", &upload, 7, Bytes::from_static(b"end"))
        .await
        .unwrap();
    assert!(store.head("up/one").await.unwrap_err().is_not_found());
    let open = store.list_uploads("up/").await.unwrap();
    assert_eq!(
        open.iter().map(|u| u.key.as_str()).collect::<Vec<_>>(),
        ["up/one", "up/two"]
    );
    assert_eq!(open[0].id, upload);
    let parts = [first, second, last];
    assert_eq!(store.list_parts("up/one", &upload).await.unwrap(), parts);
    store
        .complete_upload("up/one", &upload, &parts)
        .await
        .unwrap();
    let whole = store.get("up/one").await.unwrap();
    assert_eq!(whole.object.size, 2 * PART_BYTES_MIN + 3);
    let bytes = whole.bytes(2 * PART_BYTES_MIN + 3).await.unwrap();
    assert_eq!(
        bytes,
        [part(1), part(2), Bytes::from_static(b"end")].concat()
    );
    store.abort_upload("up/two", &other).await.unwrap();
    store.abort_upload("up/two", &other).await.unwrap();
    assert_eq!(store.list_uploads("up/").await.unwrap(), []);
    store
        .put_part("up/two", &other, 1, part(1))
        .await
        .unwrap_err();
    let error = store.list_parts("up/two", &other).await.unwrap_err();
    assert!(matches!(error, Error::UploadGone { .. }), "{error}");
    store.delete("up/one").await.unwrap();
}

/// A file is a part like any other, sent again and over another one too, and outlives its own name.
async fn parts_of_files(store: &dyn Store) {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    std::fs::write(&first, vec![1; PART_BYTES_MIN as usize]).unwrap();
    std::fs::write(&second, "end").unwrap();
    let upload = store.create_upload("up/files", METADATA).await.unwrap();
    let send = async |number, file| {
        let sent = store.put_part_file("up/files", &upload, number, file).await;
        sent.unwrap()
    };
    store
        .put_part("up/files", &upload, 1, Bytes::from_static(b"other"))
        .await
        .unwrap();
    send(1, &second).await;
    send(1, &first).await;
    let parts = [send(1, &first).await, send(2, &second).await];
    assert_eq!(parts.each_ref().map(|part| part.size), [PART_BYTES_MIN, 3]);
    assert_eq!(store.list_parts("up/files", &upload).await.unwrap(), parts);
    std::fs::remove_file(&first).unwrap();
    let gone = store.put_part_file("up/files", &upload, 3, &first).await;
    assert!(!matches!(gone.unwrap_err(), Error::UploadGone { .. }));
    store
        .complete_upload("up/files", &upload, &parts)
        .await
        .unwrap();
    let whole = store.get("up/files").await.unwrap();
    let whole = whole.bytes(PART_BYTES_MIN + 3).await.unwrap();
    assert!(whole.starts_with(&[1; 9]) && whole.ends_with(b"\x01end"));
    let late = store.put_part_file("up/files", &upload, 1, &second).await;
    late.unwrap_err();
    store.delete("up/files").await.unwrap();
}

async fn upload_mistakes(store: &dyn Store) {
    let upload = store.create_upload("bad", METADATA).await.unwrap();
    let small = store
        .put_part("bad", &upload, 1, Bytes::from_static(b"x"))
        .await
        .unwrap();
    let other = store
        .put_part("bad", &upload, 2, Bytes::from_static(b"y"))
        .await
        .unwrap();
    for parts in [
        vec![],
        vec![small.clone(), other.clone()],
        vec![other.clone(), small.clone()],
        vec![store::Part {
            number: 3,
            ..small.clone()
        }],
        vec![store::Part {
            number: 0,
            ..small.clone()
        }],
    ] {
        let error = store
            .complete_upload("bad", &upload, &parts)
            .await
            .unwrap_err();
        assert!(!error.is_retryable(), "{parts:?}: {error}");
    }
    assert!(store.head("bad").await.unwrap_err().is_not_found());
    store
        .complete_upload("bad", &upload, &[other])
        .await
        .unwrap();
    assert_eq!(text(store, "bad").await, "y");
    store.delete("bad").await.unwrap();
}

async fn refusals(store: &dyn Store) {
    let upload = UploadId("0".into());
    for key in ["", "/a", "a/../../b", "a//b", ".panocast/x"] {
        let refused = [
            store.put(key, Bytes::new(), METADATA).await.err(),
            store.put_if_absent(key, Bytes::new(), METADATA).await.err(),
            store.get(key).await.err(),
            store.get_range(key, 0..1).await.err(),
            store.head(key).await.err(),
            store.delete(key).await.err(),
            store.create_upload(key, METADATA).await.err(),
        ];
        for error in refused {
            assert!(
                matches!(error, Some(Error::Invalid { .. })),
                "{key:?}: {error:?}"
            );
        }
        assert!(store.put_part(key, &upload, 1, Bytes::new()).await.is_err());
    }
    assert!(store.list("../", None).await.is_err());
}
