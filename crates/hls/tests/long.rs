//! Three days in one test.

mod common;

use std::time::Duration;

use common::{Broadcast, Source, WALL, config};
use hls::{Delivery, check::Checker, render_media};
use media::VIDEO_TIMESCALE;

/// Past two wraps of a 33-bit 90 kHz clock (26.5 h each) and one of RTMP's 32-bit milliseconds
/// (49.7 days) is far off, but the 32-bit tick counters of careless code end after 3.3 h at 360
/// kHz.
const HOURS: u64 = 72;

/// One picture a second and sound of few, long frames keep the test short; the machine does not
/// know the difference.
const RATE: u32 = 8_000;

#[test]
fn three_days_without_drift_growth_or_a_rule_broken() {
    let mut source = Source::regular(1, 2);
    source.audio_rate = Some(RATE);
    source.size = Box::new(|_| 20);
    let mut config = config();
    config.window = Duration::from_secs(14);
    config.part_target = Some(Duration::from_secs(2));
    let mut broadcast = Broadcast::new(config, source, &[]);
    let mut checker = Checker::new();
    let mut most = 0;
    for hour in 0..HOURS {
        // A look at the end of each hour, with a delta of the playlist in between.
        broadcast.run_seconds(3_590);
        for _ in 0..10 {
            broadcast.step();
            let snapshot = broadcast.packager.snapshot();
            for media in snapshot.renditions() {
                let text = render_media(media, &Delivery::default());
                let found = checker.media(media.name(), &text);
                // An hour lies between looks: only what was hinted then is long past.
                let found: Vec<_> = found
                    .iter()
                    .filter(|v| v.rule.id() != "hint-broken")
                    .collect();
                assert!(found.is_empty(), "hour {hour}: {found:?}");
            }
            assert_eq!(checker.across(), []);
        }
        let snapshot = broadcast.packager.snapshot();
        let (source, audio) = (
            snapshot.media("source").unwrap(),
            snapshot.media("audio").unwrap(),
        );
        // Sound starts within one frame (128 ms here) of the pictures of its segment, on the third
        // day as on the first.
        let newest = |media: &hls::MediaSnapshot| media.listed()[5].program_date_time;
        let apart = newest(audio) - newest(source);
        assert!(
            (0..128_001).contains(&apart),
            "hour {hour}: {apart} us apart"
        );
        most = most.max(broadcast.packager.retained_bytes());
    }
    let snapshot = broadcast.packager.snapshot();
    let last = snapshot.media("source").unwrap().last_msn().unwrap();
    assert_eq!(last, WALL + HOURS * 1800 - 2, "one number per two seconds");
    let date = snapshot
        .media("source")
        .unwrap()
        .listed()
        .last()
        .unwrap()
        .program_date_time;
    assert_eq!(date, (WALL + (last - WALL) * 2) as i64 * 1_000_000);
    assert!(most < 64 << 10, "memory must not grow: {most} bytes");
    assert_eq!(
        broadcast.dts,
        HOURS as i64 * 3600 * i64::from(VIDEO_TIMESCALE.rate())
    );
}
