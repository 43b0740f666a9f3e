use super::*;

async fn store() -> (tempfile::TempDir, Folder) {
    let folder = tempfile::tempdir().unwrap();
    let store = Folder::open(folder.path().join("root")).await.unwrap();
    (folder, store)
}

fn body(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn a_link_that_leads_outside_is_neither_read_nor_written() {
    let (folder, store) = store().await;
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join("root/door")).unwrap();
    store.get("door/secret").await.unwrap_err();
    store
        .put("door/new", body("x"), ObjectMetadata::default())
        .await
        .unwrap_err();
    store
        .put_if_absent("door/new", body("x"), ObjectMetadata::default())
        .await
        .unwrap_err();
    assert!(!outside.join("new").exists());
    assert_eq!(store.list("", None).await.unwrap().objects, []);
}

#[tokio::test]
async fn a_dead_writers_temporary_file_is_no_object_and_goes_when_stale() {
    let (folder, store) = store().await;
    let new = folder.path().join("root/.panocast/new/left");
    fs::write(&new, "half").unwrap();
    assert_eq!(store.list("", None).await.unwrap().objects, []);
    Folder::open(folder.path().join("root")).await.unwrap();
    assert!(new.exists(), "a living writer keeps its file");
    let old = SystemTime::now() - 2 * STALE;
    File::options()
        .write(true)
        .open(&new)
        .unwrap()
        .set_modified(old)
        .unwrap();
    Folder::open(folder.path().join("root")).await.unwrap();
    assert!(!new.exists());
}

#[tokio::test]
async fn an_upload_that_nobody_resumes_goes_after_a_week_without_parts() {
    let (_folder, store) = store().await;
    let begun = SystemTime::now();
    let upload = store
        .create_upload("k", ObjectMetadata::default())
        .await
        .unwrap();
    let part = store.put_part("k", &upload, 1, body("x")).await.unwrap();
    store.inner.remove_stale(begun + ABANDONED);
    assert_eq!(store.list_parts("k", &upload).await.unwrap(), [part]);
    store.inner.remove_stale(begun + 2 * ABANDONED);
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn an_open_read_keeps_the_bytes_it_began_with() {
    let (_folder, store) = store().await;
    store
        .put("a", body("old bytes"), ObjectMetadata::default())
        .await
        .unwrap();
    let read = store.get("a").await.unwrap();
    store
        .put("a", body("new"), ObjectMetadata::default())
        .await
        .unwrap();
    assert_eq!(read.bytes(100).await.unwrap(), "old bytes");
    let read = store.get("a").await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(read.bytes(100).await.unwrap(), "new");
}

#[tokio::test]
async fn says_so_when_an_object_would_be_a_folder_too() {
    let (_folder, store) = store().await;
    store
        .put("a/b", body("x"), ObjectMetadata::default())
        .await
        .unwrap();
    let error = store
        .put("a", body("x"), ObjectMetadata::default())
        .await
        .unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    let error = store
        .put("a/b/c", body("x"), ObjectMetadata::default())
        .await
        .unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(store.get("a").await.unwrap_err().is_not_found());
    assert!(store.get("a/b/c").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn an_upload_id_cannot_name_another_folder() {
    let (_folder, store) = store().await;
    for id in ["", "..", "../new", "a/b"] {
        let error = store
            .list_parts("k", &UploadId(id.into()))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::UploadGone { .. }), "{error}");
    }
}

use std::fs::File;

/// A file of the same file system becomes a part by name, one of another by copying.
#[tokio::test]
async fn a_file_becomes_a_part_without_being_copied_where_that_is_possible() {
    use std::os::unix::fs::MetadataExt as _;
    let (folder, store) = store().await;
    let upload = store
        .create_upload("a", ObjectMetadata::default())
        .await
        .unwrap();
    let near = folder.path().join("near");
    fs::write(&near, "near").unwrap();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let far = other.path().join("far");
    fs::write(&far, "far").unwrap();
    let mut parts = Vec::new();
    for (number, file, names) in [(1, &far, 1), (2, &near, 2)] {
        let sent = store.put_part_file("a", &upload, number, file).await;
        parts.push(sent.unwrap());
        assert_eq!(fs::metadata(file).unwrap().nlink(), names);
    }
    assert_eq!(store.list_parts("a", &upload).await.unwrap(), parts);
    let new = folder.path().join("root/.panocast/new");
    assert_eq!(fs::read_dir(new).unwrap().count(), 0);
}
