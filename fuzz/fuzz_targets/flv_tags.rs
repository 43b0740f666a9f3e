//! Tags of a publish: kind, length and body, one after the other; and the same bytes as a file.
#![no_main]

use bytes::Bytes;
use flv::{Demuxer, Tag, TagKind, file, mux};
use libfuzzer_sys::fuzz_target;
use media::{IngestEvent, IngestUnit, MediaKind, VideoConfig};

fn tag<'a>(data: &mut &'a [u8]) -> Option<Tag> {
    let [kind, high, low, rest @ ..] = *data else {
        return None;
    };
    let kind = [TagKind::Video, TagKind::Audio, TagKind::Script][usize::from(*kind) % 3];
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (body, rest) = rest.split_at(length);
    *data = rest;
    Some(Tag {
        kind,
        timestamp_ms: 7,
        body: Bytes::copy_from_slice(body),
    })
}

/// What came out is clean: it goes through another demuxer as it is.
fn clean(config: Option<&VideoConfig>, unit: IngestUnit) {
    let mut demuxer = Demuxer::new();
    let config = config.expect("a unit comes behind its configuration");
    demuxer.push(mux::video_config(config, 0));
    demuxer.push(mux::ingest_unit(&unit));
    let again: Vec<_> = std::iter::from_fn(|| demuxer.next_event()).collect();
    assert_eq!(again.last(), Some(&IngestEvent::Unit(unit)));
}

fuzz_target!(|data: &[u8]| {
    let (mut demuxer, mut video, mut rest) = (Demuxer::new(), None, data);
    while let Some(tag) = tag(&mut rest) {
        demuxer.push(tag);
        let events: Vec<_> = std::iter::from_fn(|| demuxer.next_event()).collect();
        for event in events {
            match event {
                IngestEvent::VideoConfig(config) => video = Some(config),
                IngestEvent::Unit(unit) if unit.kind == MediaKind::Video => {
                    clean(video.as_ref(), unit);
                }
                _ => {}
            }
        }
    }
    let mut reader = file::Reader::new();
    reader.push(&file::header(true, true));
    reader.push(data);
    while let Ok(Some(_)) = reader.next_tag() {}
});
