//! Tags of a publish: kind, length and body, one after the other; and the same bytes as a file.
#![no_main]

use bytes::Bytes;
use flv::{Demuxer, Event, Tag, TagKind, file, mux};
use libfuzzer_sys::fuzz_target;

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

fuzz_target!(|data: &[u8]| {
    let (mut demuxer, mut rest) = (Demuxer::new(), data);
    while let Some(tag) = tag(&mut rest) {
        if let Ok(Some(Event::AccessUnit(unit))) = demuxer.push(tag) {
            let again = demuxer.push(mux::ingest_unit(&unit));
            assert_eq!(again, Ok(Some(Event::AccessUnit(unit))));
        }
    }
    let mut reader = file::Reader::new();
    reader.push(&file::header(true, true));
    reader.push(data);
    while let Ok(Some(_)) = reader.next_tag() {}
});
