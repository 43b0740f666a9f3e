use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    messages::MessagePayload,
    time::RtmpTimestamp,
};

use super::*;
use crate::{
    Error,
    message::{Message, kind},
};

fn message(kind: u8, timestamp: u32, payload: &[u8]) -> Message {
    Message {
        kind,
        timestamp,
        stream_id: 1,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// A full header (type 0) as every encoder starts a chunk stream.
fn full(id: u8, field: [u8; 3], length: u32, kind: u8) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(field);
    bytes.extend(&length.to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend([1, 0, 0, 0]);
    bytes
}

fn read_pieces(reader: &mut Reader, bytes: &[u8], piece: usize) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    for mut piece in bytes.chunks(piece.max(1)) {
        while let Some(message) = reader.next_message(&mut piece)? {
            messages.push(message);
        }
        assert!(piece.is_empty());
    }
    Ok(messages)
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, Error> {
    let whole = read_pieces(&mut Reader::new(), bytes, usize::MAX);
    for piece in [1, 2, 3, 5, 7] {
        assert_eq!(
            read_pieces(&mut Reader::new(), bytes, piece),
            whole,
            "pieces of {piece}"
        );
    }
    whole
}

fn times(bytes: &[u8]) -> Vec<u32> {
    read(bytes)
        .unwrap()
        .iter()
        .map(|message| message.timestamp)
        .collect()
}

#[test]
fn a_type_3_chunk_that_starts_a_message_applies_the_delta_again() {
    let mut bytes = [full(4, [0, 0, 100], 1, 8), vec![1]].concat();
    bytes.extend([0x84, 0, 0, 20, 2]);
    bytes.extend([0xc4, 3, 0xc4, 4]);
    assert_eq!(times(&bytes), [100, 120, 140, 160]);
    // After a full header the delta is that header's time (§5.3.1.2.4).
    let bytes = [full(4, [0, 0, 40], 1, 8), vec![1, 0xc4, 2]].concat();
    assert_eq!(times(&bytes), [40, 80]);
}

#[test]
fn fresh_chunk_streams_may_begin_with_short_headers() {
    // librtmp's ping: type 1 on chunk stream 2.
    let ping = [0x42, 0, 0, 0, 0, 0, 6, 4, 0, 7, 0, 0, 0, 9];
    let expected = Message {
        stream_id: 0,
        ..message(4, 0, &[0, 7, 0, 0, 0, 9])
    };
    assert_eq!(read(&ping).unwrap(), [expected]);
    // Type 3 says nothing at all: an empty message of no type.
    let messages = read(&[0xc7]).unwrap();
    assert_eq!((messages[0].kind, messages[0].payload.len()), (0, 0));
}

#[test]
fn chunk_stream_numbers_have_three_lengths() {
    for id in [
        vec![63],
        vec![0, 0],
        vec![0, 255],
        vec![1, 64, 1],
        vec![1, 255, 255],
    ] {
        let mut bytes = id.clone();
        bytes.extend(&full(0, [0, 0, 7], 130, 9)[1..]);
        bytes.extend([5; 128]);
        bytes.push(id[0] | 0xc0);
        bytes.extend(&id[1..]);
        bytes.extend([5; 2]);
        assert_eq!(read(&bytes).unwrap(), [message(9, 7, &[5; 130])], "{id:?}");
    }
}

/// One message of 300 bytes whose full header has an extended timestamp, with `extension` in its
/// type 3 chunks.
fn extended(time: u32, extension: &[u8], payload: &[u8; 300]) -> Vec<u8> {
    let mut bytes = full(4, [0xff; 3], 300, 9);
    bytes.extend(time.to_be_bytes());
    for (index, part) in payload.chunks(128).enumerate() {
        if index > 0 {
            bytes.push(0xc4);
            bytes.extend(extension);
        }
        bytes.extend(part);
    }
    bytes
}

#[test]
fn extended_timestamps_may_be_repeated_left_out_or_masked_in_type_3_chunks() {
    let time = 0x8123_4567u32;
    let payload = [0xabu8; 300];
    for extension in [
        &time.to_be_bytes()[..],
        &[],
        &(time & 0x7fff_ffff).to_be_bytes(),
    ] {
        let bytes = extended(time, extension, &payload);
        assert_eq!(
            read(&bytes).unwrap(),
            [message(9, time, &payload)],
            "{extension:?}"
        );
    }
}

#[test]
fn payload_that_begins_like_the_extended_timestamp_stays_payload() {
    // Left out, and the chunk's payload starts with three of its four bytes: carried, then given
    // back.
    let time = 0x0123_4567u32;
    let mut payload = [0u8; 300];
    payload[128..131].copy_from_slice(&[0x01, 0x23, 0x45]);
    payload[256..258].copy_from_slice(&[0x01, 0x23]);
    assert_eq!(
        read(&extended(time, &[], &payload)).unwrap(),
        [message(9, time, &payload)]
    );
}

#[test]
fn carried_bytes_may_hold_the_next_header() {
    // Extension left out; the last chunk is one byte that looks like its start, and so does the
    // next header's.
    let time = 0x0104_0007u32;
    let mut bytes = full(4, [0xff; 3], 129, 9);
    bytes.extend(time.to_be_bytes());
    bytes.extend([7; 128]);
    bytes.extend([0xc4, 0x01]);
    bytes.extend(full(4, [0, 0, 5], 1, 8));
    bytes.push(9);
    let mut long = vec![7; 128];
    long.push(1);
    assert_eq!(
        read(&bytes).unwrap(),
        [message(9, time, &long), message(8, 5, &[9])]
    );
}

#[test]
fn extended_deltas_and_messages_started_by_type_3() {
    let time = 0x0200_0000u32;
    let mut bytes = [
        full(4, [0xff; 3], 1, 8),
        time.to_be_bytes().to_vec(),
        vec![1],
    ]
    .concat();
    // Type 2 with an extended delta, then type 3 that repeats it.
    bytes.extend([0x84, 0xff, 0xff, 0xff, 1, 0, 0, 0, 2]);
    bytes.extend([0xc4, 1, 0, 0, 0, 3]);
    assert_eq!(
        times(&bytes),
        [time, time + 0x0100_0000, time + 0x0200_0000]
    );
    // An extended delta below the limit is legal, and the sum wraps.
    let bytes = [full(4, [0xff; 3], 0, 8), u32::MAX.to_be_bytes().to_vec()].concat();
    assert_eq!(
        times(&[bytes, vec![0x84, 0xff, 0xff, 0xff, 0, 0, 0, 2]].concat()),
        [u32::MAX, 1]
    );
}

#[test]
fn the_chunk_size_changes_between_the_chunks_of_a_message() {
    let mut reader = Reader::new();
    let first = [full(6, [0, 0, 1], 300, 9), vec![1; 128]].concat();
    assert_eq!(read_pieces(&mut reader, &first, 50), Ok(vec![]));
    reader.set_chunk_bytes(1000).unwrap();
    let rest = [vec![0xc6], vec![1; 172]].concat();
    assert_eq!(
        read_pieces(&mut reader, &rest, 50),
        Ok(vec![message(9, 1, &[1; 300])])
    );
    assert_eq!(reader.set_chunk_bytes(0), Err(Error::ChunkSize(0)));
    assert_eq!(
        reader.set_chunk_bytes(1 << 31),
        Err(Error::ChunkSize(1 << 31))
    );
}

#[test]
fn abort_and_a_new_header_drop_the_unfinished_message() {
    let mut reader = Reader::new();
    let half = [full(6, [0, 0, 1], 300, 9), vec![1; 128]].concat();
    assert_eq!(read_pieces(&mut reader, &half, 50), Ok(vec![]));
    reader.abort(6);
    reader.abort(99);
    let other = [full(6, [0, 0, 2], 1, 9), vec![2]].concat();
    assert_eq!(
        read_pieces(&mut reader, &other, 50),
        Ok(vec![message(9, 2, &[2])])
    );
    let both = [half, other].concat();
    assert_eq!(
        read_pieces(&mut reader, &both, 50),
        Ok(vec![message(9, 2, &[2])])
    );
    assert_eq!(reader.unfinished(), (0, 0, 0));
}

#[test]
fn every_limit_has_its_error() {
    let claim = |kind, bytes: u32| read(&full(4, [0; 3], bytes, kind));
    let (kind, max) = (kind::VIDEO, MEDIA_BYTES_MAX);
    let bytes = max + 1;
    assert_eq!(
        claim(kind, bytes),
        Err(Error::MessageTooLong { kind, bytes, max })
    );
    assert_eq!(claim(kind, max), Ok(vec![]));
    assert!(claim(kind::COMMAND, COMMAND_BYTES_MAX + 1).is_err());
    assert!(claim(kind::SET_CHUNK_SIZE, CONTROL_BYTES_MAX + 1).is_err());

    let open = |count: u8| -> Vec<u8> {
        (3..3 + count)
            .flat_map(|id| [full(id, [0; 3], 200, 9), vec![0; 128]].concat())
            .collect()
    };
    assert_eq!(read(&open(PARTIAL_MESSAGES_MAX as u8)), Ok(vec![]));
    assert_eq!(
        read(&open(PARTIAL_MESSAGES_MAX as u8 + 1)),
        Err(Error::PartialMessages)
    );

    let streams = |count: u32| -> Vec<u8> {
        (0..count)
            .flat_map(|id| [[0, id as u8].to_vec(), full(0, [0; 3], 0, 8)[1..].to_vec()].concat())
            .collect()
    };
    assert_eq!(read(&streams(64)).map(|m| m.len()), Ok(CHUNK_STREAMS_MAX));
    assert_eq!(read(&streams(65)), Err(Error::ChunkStreams));
}

#[test]
fn memory_follows_the_bytes_and_not_the_claims() {
    const PART: usize = 3 << 20;
    let mut reader = Reader::new();
    reader.set_chunk_bytes(PART as u32).unwrap();
    let part = vec![0; PART];
    for id in 3..6 {
        let before = reader.unfinished().2;
        assert_eq!(
            reader.next_message(&mut &full(id, [0; 3], MEDIA_BYTES_MAX, 9)[..]),
            Ok(None)
        );
        assert_eq!(
            reader.unfinished().2,
            before,
            "a header alone takes no memory"
        );
        assert_eq!(reader.next_message(&mut &part[..1]), Ok(None));
        assert_eq!(reader.unfinished().2, before + (64 << 10));
        assert_eq!(reader.next_message(&mut &part[1..]), Ok(None));
        assert_eq!(reader.unfinished().2, before + PART);
    }
    // The sum of what is unfinished is bounded too.
    let mut send = |id: u8| {
        assert_eq!(reader.next_message(&mut &[0xc0 | id][..]), Ok(None));
        reader.next_message(&mut &part[..])
    };
    assert_eq!((send(3), send(4)), (Ok(None), Ok(None)));
    assert_eq!(send(5), Err(Error::PartialBytes));
}

#[test]
fn a_finished_message_holds_no_slack() {
    let (mut writer, mut reader, mut out) = (Writer::new(), Reader::new(), BytesMut::new());
    writer.write(4, &message(kind::VIDEO, 1, &vec![7; 700_001]), &mut out);
    assert_eq!(
        read_pieces(&mut reader, &out[..out.len() - 1], 1460),
        Ok(vec![])
    );
    assert_eq!(reader.unfinished(), (1, 700_000, 700_001));
}

// === properties ===

fn any_message() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![Just(kind::AUDIO), Just(kind::VIDEO), Just(kind::DATA)];
    let time = prop_oneof![any::<u32>(), 0u32..100, 0xff_fff0u32..0x100_0010];
    let payload = proptest::collection::vec(any::<u8>(), 0..600);
    (kind, time, payload).prop_map(|(kind, timestamp, payload)| message(kind, timestamp, &payload))
}

/// The chunks of each message on its own, so that a test can interleave them.
fn chunks_of(id: u8, message: &Message) -> Vec<Vec<u8>> {
    let mut header = full(id, [0xff; 3], message.payload.len() as u32, message.kind);
    header.extend(message.timestamp.to_be_bytes());
    let mut parts = message.payload.chunks(128);
    let mut chunks = vec![[&header, parts.next().unwrap_or_default()].concat()];
    let next = [&[0xc0 | id][..], &message.timestamp.to_be_bytes()].concat();
    chunks.extend(parts.map(|part| [&next, part].concat()));
    chunks
}

proptest! {
    #[test]
    fn what_is_written_reads_back_from_any_pieces(
        messages in proptest::collection::vec((2u8..8, any_message()), 0..20),
        size in 1u32..700,
        piece in 1usize..2000,
    ) {
        let (mut writer, mut reader, mut out) = (Writer::new(), Reader::new(), BytesMut::new());
        writer.set_chunk_bytes(size);
        reader.set_chunk_bytes(size).unwrap();
        messages.iter().for_each(|(id, message)| writer.write(*id, message, &mut out));
        let sent: Vec<Message> = messages.into_iter().map(|(_, message)| message).collect();
        prop_assert_eq!(read_pieces(&mut reader, &out, piece).unwrap(), sent);
    }

    #[test]
    fn interleaving_changes_nothing(
        streams in proptest::collection::vec(proptest::collection::vec(any_message(), 1..4), 2..5),
        order in proptest::collection::vec(any::<usize>(), 200),
        piece in 1usize..300,
    ) {
        let mut queues: Vec<Vec<Vec<u8>>> = Vec::new();
        for (index, messages) in streams.iter().enumerate() {
            let id = 3 + index as u8;
            let mut queue: Vec<_> = messages.iter().flat_map(|m| chunks_of(id, m)).collect();
            queue.reverse();
            queues.push(queue);
        }
        let mut bytes = Vec::new();
        let mut order = order.into_iter().cycle();
        while queues.iter().any(|queue| !queue.is_empty()) {
            let at = order.next().unwrap_or_default() % queues.len();
            let mut places = (0..queues.len()).map(|i| (at + i) % queues.len());
            let filled = places.find(|i| !queues[*i].is_empty());
            bytes.extend(filled.and_then(|i| queues[i].pop()).unwrap_or_default());
        }
        let mut got: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for message in read_pieces(&mut Reader::new(), &bytes, piece).unwrap() {
            *got.entry(format!("{message:?}{:?}", message.payload).into()).or_default() += 1;
        }
        let mut sent: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for message in streams.iter().flatten() {
            *sent.entry(format!("{message:?}{:?}", message.payload).into()).or_default() += 1;
        }
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn rml_rtmp_reads_what_we_write(
        messages in proptest::collection::vec(
            any_message().prop_filter("its reader wants bytes", |m| !m.payload.is_empty()), 1..10,
        ),
    ) {
        // One chunk stream, whole messages, time not going back: what its reader can do.
        let (mut writer, mut out, mut timestamp) = (Writer::new(), BytesMut::new(), 0);
        let mut theirs = ChunkDeserializer::new();
        for mut message in messages {
            timestamp += message.timestamp % 1000;
            message.timestamp = timestamp;
            out.clear();
            writer.write(4, &message, &mut out);
            let read = theirs.get_next_message(&out).unwrap().unwrap();
            prop_assert_eq!((read.type_id, read.timestamp.value), (message.kind, timestamp));
            prop_assert_eq!(&read.data[..], &message.payload[..]);
        }
    }

    #[test]
    fn we_read_what_rml_rtmp_writes(
        messages in proptest::collection::vec(
            any_message().prop_filter("empty ones get lost", |m| !m.payload.is_empty()), 1..10,
        ),
    ) {
        let (mut theirs, mut reader, mut bytes, mut timestamp) =
            (ChunkSerializer::new(), Reader::new(), Vec::new(), 0);
        let mut sent = Vec::new();
        for mut message in messages {
            timestamp += message.timestamp % 1000;
            message.timestamp = timestamp;
            let payload = MessagePayload {
                timestamp: RtmpTimestamp::new(timestamp),
                type_id: message.kind,
                message_stream_id: 1,
                data: Bytes::copy_from_slice(&message.payload),
            };
            bytes.extend(theirs.serialize(&payload, false, false).unwrap().bytes);
            sent.push(message);
        }
        prop_assert_eq!(read_pieces(&mut reader, &bytes, 100).unwrap(), sent);
    }

    #[test]
    fn no_bytes_panic_and_pieces_do_not_matter(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0xff), Just(0xc4), Just(4), Just(0)], 0..400,
        ),
        piece in 1usize..20,
    ) {
        let whole = read_pieces(&mut Reader::new(), &bytes, usize::MAX);
        prop_assert_eq!(read_pieces(&mut Reader::new(), &bytes, piece), whole);
    }
}
