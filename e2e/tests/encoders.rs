//! Encoders run inside the origin: as long as somebody publishes, and no longer.

use e2e::{Origin, PATIENCE, clip::Clip, peer::Ffmpeg, publisher::Publisher, until};

const SETTINGS: &str = "record = false\n\
    [[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"\n\
    [origin.publish]\nreconnect_window = \"1s\"\n";

/// What the threads of the origin's process say of themselves: their names, and their children.
fn threads(origin: &Origin, file: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", origin.process.id()));
    let texts = tasks.expect("the origin runs").filter_map(|task| {
        // A thread may end while it is looked at.
        std::fs::read_to_string(task.ok()?.path().join(file)).ok()
    });
    texts.map(|text| text.trim().to_owned()).collect()
}

/// Threads that decode, scale and encode; a codec's own threads are named after who started them.
fn encoders(origin: &Origin) -> usize {
    let names = threads(origin, "comm");
    let of_ladder = |name: &&String| name.starts_with("ladder-") || name.starts_with("rung-");
    names.iter().filter(of_ladder).count()
}

#[tokio::test]
async fn encoders_leave_with_their_publisher_and_are_nobodys_orphans() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut origin = Origin::start(folder.path(), SETTINGS).await;
    let clip = Clip::make(folder.path(), "320x160", 2);
    let url = origin.publish_url("foo");
    assert_eq!(encoders(&origin), 0, "none before anybody publishes");
    let mut at_once = 0;
    // One that comes back at once, over and over, as a publisher behind a bad line does.
    for round in 0..8 {
        let mut publisher = Publisher::connect(&url).await.expect("accepted");
        let start = round * 4_000;
        assert!(
            publisher
                .send(clip.headers_at(start).chain(clip.turns(start, 1)))
                .await
        );
        at_once = at_once.max(encoders(&origin));
        drop(publisher);
    }
    let last = Ffmpeg::default().publish(folder.path(), "last", &url);
    origin
        .text_when("/hls/foo.m3u8", |text| text.contains("80p/"))
        .await;
    let of_one = until("old encoders are gone", PATIENCE, async || {
        // Decoder, scaler, one rung; codecs may have threads of their own.
        Some(encoders(&origin)).filter(|count| (3..=8).contains(count))
    })
    .await;
    assert!(
        at_once <= 3 * of_one,
        "{at_once} threads at once, one ladder has {of_one}"
    );
    assert_eq!(
        threads(&origin, "children").concat(),
        "",
        "no child process"
    );
    drop(last);
    until("the encoders are gone", PATIENCE, async || {
        (encoders(&origin) == 0).then_some(())
    })
    .await;
    origin.process.kill();
    assert!(
        std::net::TcpListener::bind(("127.0.0.1", origin.rtmp)).is_ok(),
        "nobody holds the port of an origin that was killed"
    );
}
