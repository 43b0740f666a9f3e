//! The process dies, at any operation on the store and in the middle of any write.

use super::*;

/// Runs `work` on a runtime of its own, whose tasks die with it.
fn process<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// The process dies at each operation on the store, before or after the operation took effect,
/// first while the session runs and once more while the next process finishes it.
#[test]
fn a_process_killed_at_any_store_operation_loses_nothing_confirmed_and_stores_once() {
    let sent = broadcast(0, SECONDS);
    for kill in 0.. {
        let (operation, takes_effect) = (kill / 2, kill % 2 == 1);
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut killed = false;
        for life in 0..3 {
            let (died, death) = channel();
            let mut count = 0;
            let schedule = FaultSchedule::by(move |_, _| {
                count += 1;
                if life == 2 || count <= operation {
                    return None;
                }
                if takes_effect && count == operation + 1 {
                    return Some(Disturbance::LoseAnswer);
                }
                let _ = died.send(());
                Some(Disturbance::Stall(Duration::from_secs(1 << 30)))
            });
            let faulty = Arc::new(Faulty::new(store.clone(), schedule));
            process(async {
                let recorder = Recorder::open(config(folder.path(), faulty)).await.unwrap();
                if life == 0 {
                    let mut writer = writer(&recorder);
                    writer.take(&sent);
                    writer.close();
                }
                let settled = recorder.settled();
                tokio::pin!(settled);
                let dead = std::future::poll_fn(|context| {
                    if death.try_recv().is_ok() {
                        return std::task::Poll::Ready(true);
                    }
                    let polled = settled.as_mut().poll(context).map(|()| false);
                    context.waker().wake_by_ref();
                    polled
                });
                killed |= dead.await;
            });
        }
        process(async {
            assert_same(&read(&*store, KEY).await.0, &sent);
            assert_eq!(store::list_all(&*store, "", 10).await.unwrap().len(), 2);
        });
        assert!(is_empty(folder.path()), "kill {kill}");
        if !killed {
            assert!(kill > 5, "only {kill} operations were seen");
            return;
        }
    }
}

/// `kill -9` while a part is being written: wherever it stops, the recording is whole up to the
/// last whole chunk.
#[test]
fn a_torn_part_is_stored_up_to_its_last_whole_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let sent = broadcast(0, SECONDS);
    process(async {
        let away = Faulty::new(Arc::new(MemoryStore::new()), FaultSchedule::calm());
        away.set_outage(true);
        let recorder = Recorder::open(config(&spool, Arc::new(away)))
            .await
            .unwrap();
        let mut writer = writer(&recorder);
        writer.take(&sent);
        std::mem::forget(writer);
    });
    let name = "recordings-stage-1790000000-k3f9";
    let open = std::fs::read_dir(spool.join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let open = open
        .filter(|path| path.extension().is_some_and(|e| e == "part"))
        .max()
        .unwrap();
    let whole = std::fs::read(&open).unwrap();
    let mut lengths = BTreeSet::new();
    for cut in (0..=whole.len())
        .step_by(whole.len() / 40)
        .chain([whole.len()])
    {
        let copy = folder.path().join(format!("copy-{cut}"));
        std::fs::create_dir_all(copy.join(name)).unwrap();
        for entry in std::fs::read_dir(spool.join(name)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.join(name).join(path.file_name().unwrap())).unwrap();
        }
        let torn = copy.join(name).join(open.file_name().unwrap());
        std::fs::write(torn, &whole[..cut]).unwrap();
        let store = Arc::new(MemoryStore::new());
        process(async {
            let recorder = Recorder::open(config(&copy, store.clone())).await.unwrap();
            recorder.settled().await;
            let units = of_kind(&read(&*store, KEY).await.0, MediaKind::Video);
            assert!(units == of_kind(&sent, MediaKind::Video)[..units.len()]);
            lengths.insert(units.len());
        });
        assert!(is_empty(&copy), "cut {cut}");
    }
    assert!(
        lengths.len() >= 2 && lengths.last() >= Some(&30),
        "{lengths:?}"
    );
}
