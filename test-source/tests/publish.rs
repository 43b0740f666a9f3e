//! The whole source against an RTMP server in the test.

use std::time::Duration;

use flv::Demuxer;
use media::{IngestEvent as Event, MediaKind, Timeline, VideoConfig, timeline};
use rtmp::server::{self, Limits, Session};
use test_source::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Far beyond what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a connection brought.
#[derive(Debug)]
enum Seen {
    Connected,
    Event(Event),
    Gone,
}

/// Accepts publishers until the test ends.
async fn serve(listener: TcpListener, seen: mpsc::UnboundedSender<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = seen.send(Seen::Connected);
        let _ = connection(stream, &seen).await;
        let _ = seen.send(Seen::Gone);
    }
}

async fn connection(
    mut stream: TcpStream,
    seen: &mpsc::UnboundedSender<Seen>,
) -> std::io::Result<()> {
    let mut session = Session::new(Limits::default());
    let mut demuxer = Demuxer::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        while let Some(event) = session.next_event() {
            match event {
                server::Event::PublishRequested(request) => session.accept(request.id).unwrap(),
                server::Event::Media(tag) => {
                    demuxer.push(tag);
                    while let Some(event) = demuxer.next_event() {
                        let is_fault = matches!(event, Event::Skipped(_) | Event::Repaired(_));
                        assert!(!is_fault, "{event:?}");
                        let _ = seen.send(Seen::Event(event));
                    }
                }
                _ => return Ok(()),
            }
        }
        while let Some(bytes) = session.next_output() {
            stream.write_all(&bytes).await?;
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => session.push(&buffer[..count], Duration::ZERO).unwrap(),
        }
    }
}

async fn bench(faults: &str) -> (Config, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, receiver) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, seen));
    let text = format!(
        "[test-source]\ntargets = [\"rtmp://127.0.0.1:{port}/live/test\"]\nwidth = 256\n\
         gop = \"500ms\"\npreset = \"ultrafast\"\nthreads = 1\n[test-source.faults]\n{faults}\n"
    );
    let file = service::config::File::parse("test.toml", text).unwrap();
    (file.section("test-source").unwrap(), receiver)
}

/// Runs the source until `done` says so.
async fn watch(
    config: Config,
    mut seen: mpsc::UnboundedReceiver<Seen>,
    mut done: impl FnMut(Seen) -> bool,
) {
    let enough = async move {
        while let Some(seen) = seen.recv().await {
            if done(seen) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, test_source::run(config, enough))
        .await
        .expect("the source publishes")
        .unwrap();
}

#[tokio::test]
async fn pictures_and_sound_arrive_announced_in_time_and_from_a_keyframe_on() {
    let (config, seen) = bench("").await;
    let (mut timeline, mut units, mut video) = (Timeline::new(), Vec::new(), None::<VideoConfig>);
    let (mut pictures, mut keyframes) = (0, 0);
    watch(config, seen, |seen| {
        match seen {
            Seen::Event(Event::Metadata(metadata)) => {
                assert_eq!(metadata.frame_rate, Some(30.0));
                assert_eq!(
                    metadata.projection,
                    Some(media::Projection::Equirectangular)
                );
            }
            Seen::Event(Event::VideoConfig(config)) => {
                timeline.set_video(&config, Some((30, 1)));
                video = Some(config);
            }
            Seen::Event(Event::AudioConfig(config)) => timeline.set_audio(&config),
            Seen::Event(Event::Unit(unit)) => {
                if unit.kind == MediaKind::Video {
                    assert!(pictures > 0 || unit.is_sync(), "begins with a keyframe");
                    pictures += 1;
                    keyframes += i32::from(unit.is_sync());
                }
                timeline.push(unit, Duration::ZERO);
            }
            _ => {}
        }
        while let Some(event) = timeline.next() {
            match event {
                timeline::Event::AccessUnit(unit) => units.push(unit),
                broken => panic!("{broken:?}"),
            }
        }
        keyframes >= 3
    })
    .await;
    let video = video.unwrap();
    assert_eq!(video.dimensions(), (256, 128));
    let sound = units
        .iter()
        .filter(|unit| unit.kind == MediaKind::Audio)
        .count();
    assert!(
        pictures > 0 && sound > 20,
        "{pictures} pictures, {sound} sounds"
    );
    for unit in units.iter().filter(|unit| unit.kind == MediaKind::Video) {
        assert_eq!(unit.dts % 12_000, 0, "on the grid of 30 fps");
    }
}

#[tokio::test]
async fn a_cut_connection_comes_back_with_a_keyframe_and_the_clock_at_its_start() {
    let (config, seen) = bench("drop_every = \"700ms\"\ndrop_for = \"50ms\"").await;
    let (mut connections, mut fresh) = (0, false);
    watch(config, seen, |seen| {
        match seen {
            Seen::Connected => {
                connections += 1;
                fresh = true;
            }
            Seen::Event(Event::Unit(unit)) if fresh && unit.kind == MediaKind::Video => {
                assert!(unit.is_sync() && unit.dts == 0, "{unit:?}");
                fresh = false;
            }
            _ => {}
        }
        // A busy machine may see a connection cut before its first picture.
        connections >= 3 && !fresh
    })
    .await;
}

#[tokio::test]
async fn a_jump_shifts_the_clock_and_a_resize_changes_the_configuration() {
    let faults = "jump_every = \"400ms\"\njump_by_ms = -60000\nresize_every = \"600ms\"\n\
                  first_timestamp_ms = 4294967000";
    let (config, seen) = bench(faults).await;
    let (mut widths, mut jumps, mut last) = (Vec::new(), 0, None::<i64>);
    watch(config, seen, |seen| {
        match seen {
            Seen::Event(Event::VideoConfig(config)) => widths.push(config.dimensions().0),
            Seen::Event(Event::Unit(unit)) if unit.kind == MediaKind::Video => {
                let step = last.map_or(0, |last| (unit.dts - last) as i32);
                jumps += i32::from(step < -50_000);
                last = Some(unit.dts);
            }
            _ => {}
        }
        widths.len() >= 3 && jumps >= 1
    })
    .await;
    assert_eq!(widths[..3], [256, 128, 256]);
}

#[tokio::test]
async fn a_mute_leaves_audio_out_while_pictures_go_on() {
    let (config, seen) = bench("mute_every = \"3s\"\nmute_for = \"2s\"").await;
    let (mut last, mut longest) = ([None; 2], [0; 2]);
    watch(config, seen, |seen| {
        if let Seen::Event(Event::Unit(unit)) = seen {
            let track = usize::from(unit.kind == MediaKind::Audio);
            let gap = unit.dts - last[track].replace(unit.dts).unwrap_or(unit.dts);
            longest[track] = longest[track].max(gap);
        }
        last[0] > Some(6_000)
    })
    .await;
    let [video, audio] = longest;
    // Two seconds of the wall clock; a busy machine makes less media in that time.
    assert!(audio > 500, "audio was never away longer than {audio} ms");
    assert!(video < audio, "pictures were away for {video} ms");
}
