//! Records and the assembler with exact bytes.

use std::collections::VecDeque;

use super::*;
use crate::{IngestEvent, IngestUnit, MILLISECONDS, SkipReason, VideoConfig, VideoPacket};

/// x264, High, level 3.1, 1280x640, 30 fps.
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0x1b, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
/// x264, High, level 3.0, 640x320, 30 fps.
const SMALL_SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x29, 0xb0, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2d, 0x96,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
/// Set 1 of pictures: `ue` 010.
const SECOND_PPS: &[u8] = &[0x68, 0x5b, 0xe3, 0xcb, 0x22, 0xc0];
const AUD: &[u8] = &[0x09, 0xf0];
const SEI: &[u8] = &[0x06, 0x05, 0x01, 0x77, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x21];
const P: &[u8] = &[0x41, 0x9a, 0x02];

fn record_of(sps: &[&[u8]], pps: &[&[u8]], length_size: u8) -> Vec<u8> {
    let profile = sps.first().and_then(|set| set.get(1..4));
    let profile = profile.unwrap_or(&[0x64, 0, 0x1f]);
    let mut record = vec![1];
    record.extend(profile);
    record.extend([0xfc | length_size, 0xe0 | sps.len() as u8]);
    for (index, set) in sps.iter().chain(pps).enumerate() {
        if index == sps.len() {
            record.push(pps.len() as u8);
        }
        record.extend((set.len() as u16).to_be_bytes());
        record.extend(*set);
    }
    if pps.is_empty() {
        record.push(0);
    }
    record
}

fn record() -> Vec<u8> {
    record_of(&[SPS], &[PPS], 3)
}

fn with_lengths(units: &[&[u8]], length_bytes: usize) -> Bytes {
    let mut payload = Vec::new();
    for unit in units {
        payload.extend(&(unit.len() as u32).to_be_bytes()[4 - length_bytes..]);
        payload.extend(*unit);
    }
    payload.into()
}

fn clean(units: &[&[u8]]) -> Bytes {
    with_lengths(units, 4)
}

// === records ===

#[test]
fn a_right_record_is_kept_as_sent() {
    let (config, repairs) = Config::parse_mending(record().into()).unwrap();
    assert_eq!(
        (config.rfc6381().as_str(), repairs),
        ("avc1.64001f", vec![])
    );
    assert_eq!(config.nal_length_bytes(), 4);
    assert_eq!((config.width(), config.height()), (1280, 640));
    assert_eq!(config.frame_rate().map(|(n, d)| n / d), Some(30));
    assert_eq!(config.record().as_ref(), record());
    // What an encoder adds behind the sets stays: chroma format, depths, extensions.
    let mut longer = record();
    longer.extend([0xfd, 0xf8, 0xf8, 0]);
    let config = Config::parse(longer.clone().into()).unwrap();
    assert_eq!(config.record().as_ref(), longer);
}

#[test]
fn a_record_that_lies_is_made_anew_from_its_sets() {
    let mut expected = record();
    expected.extend([0xfd, 0xf8, 0xf8, 0]);
    for (at, bytes) in [
        (1, [0, 0, 0]),
        (1, [0x42, 0xc0, 0x1f]),
        (1, [0x64, 0, 0x28]),
    ] {
        let mut lying = record();
        lying[at..at + 3].copy_from_slice(&bytes);
        let (config, repairs) = Config::parse_mending(lying.into()).unwrap();
        assert_eq!(repairs, [Repair::SequenceHeader]);
        assert_eq!(config.record().as_ref(), expected);
    }
    // Lengths of three bytes, and another version.
    for (at, byte) in [(4, 0xfe), (0, 0)] {
        let mut odd = record();
        odd[at] = byte;
        let (config, repairs) = Config::parse_mending(odd.into()).unwrap();
        assert_eq!(repairs, [Repair::SequenceHeader]);
        assert_eq!(config.record().as_ref(), expected);
    }
    // Start codes in place of a record, and in front of the sets in one.
    let annex_b = [&[0, 0, 0, 1][..], SPS, &[0, 0, 1], PPS].concat();
    let nested = [&[0, 0, 0, 1][..], SPS].concat();
    for odd in [annex_b, record_of(&[&nested], &[PPS], 3)] {
        let (config, repairs) = Config::parse_mending(odd.into()).unwrap();
        assert_eq!(repairs, [Repair::SequenceHeader]);
        assert_eq!(config.record().as_ref(), expected);
    }
}

#[test]
fn several_sets_are_kept_and_their_record_is_believed() {
    let sets = record_of(&[SPS, &[0x67, 0x64, 0, 0x28, 0x5b]], &[PPS, SECOND_PPS], 3);
    let mut sent = sets.clone();
    sent[3] = 0x28;
    let (config, repairs) = Config::parse_mending(sent.clone().into()).unwrap();
    assert_eq!((config.parameter_sets().count(), repairs), (4, vec![]));
    assert_eq!(config.record().as_ref(), sent);
    let mut zeros = sets;
    zeros[1..4].fill(0);
    let (config, repairs) = Config::parse_mending(zeros.into()).unwrap();
    assert_eq!(repairs, [Repair::SequenceHeader]);
    assert_eq!(config.rfc6381(), "avc1.64001f");
}

#[test]
fn a_level_too_small_is_raised_where_players_read_it_and_stays_raised() {
    // 1280x640 at 30 fps as level 2.1.
    let mut low = SPS.to_vec();
    low[3] = 21;
    let sent = record_of(&[&low], &[PPS], 3);
    let (config, repairs) = Config::parse_mending(sent.into()).unwrap();
    assert_eq!(repairs, [Repair::Level]);
    assert_eq!(config.rfc6381(), "avc1.64001f");
    assert_eq!(config.sps(), low);
    // Read back from our own init segment it is the same.
    let again = Config::parse(config.record().clone()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn empty_cut_and_missing_sets_are_told() {
    let error = |record: Vec<u8>| Config::parse(record.into()).unwrap_err();
    assert_eq!(error(record_of(&[], &[], 3)), Error::Missing("sequence"));
    assert_eq!(error(record_of(&[SPS], &[], 3)), Error::Missing("picture"));
    assert_eq!(
        error(record_of(&[&[]], &[PPS], 3)),
        Error::Missing("sequence")
    );
    assert!(matches!(error(vec![1, 2, 3]), Error::Damaged(_)));
    assert!(matches!(error(vec![9; 20]), Error::Damaged(_)));
    let mut cut = record();
    cut.truncate(20);
    assert_eq!(error(cut), Error::Missing("sequence"));
    assert!(matches!(
        error(record_of(&[&[0x67, 1]], &[PPS], 3)),
        Error::Damaged(_)
    ));
    assert_eq!(
        error(vec![1; CONFIG_BYTES_MAX + 1]),
        Error::TooLong(CONFIG_BYTES_MAX + 1)
    );
}

#[test]
fn parameter_sets_stand_before_the_first_slice_and_after_a_delimiter() {
    for length_size in [0, 1, 3] {
        let bytes = usize::from(length_size) + 1;
        let config = Config::parse(record_of(&[SPS], &[PPS], length_size).into()).unwrap();
        let payload = |units: &[&[u8]]| with_lengths(units, bytes);
        let before = |units: &[&[u8]]| config.with_parameter_sets(&payload(units));
        assert_eq!(before(&[IDR]), Some(payload(&[SPS, PPS, IDR])));
        assert_eq!(before(&[AUD, IDR]), Some(payload(&[AUD, SPS, PPS, IDR])));
        assert_eq!(before(&[SPS, PPS, IDR]), None);
    }
}

// === the assembler ===

struct Bench {
    assembler: Assembler,
    at: i64,
}

impl Bench {
    /// One that has seen a right header.
    fn new() -> Self {
        let mut bench = Self::blank();
        let config = Config::parse(record().into()).unwrap();
        assert_eq!(
            bench.header(record()),
            [IngestEvent::VideoConfig(config.into())]
        );
        bench
    }

    fn blank() -> Self {
        Self {
            assembler: Assembler::new(),
            at: 0,
        }
    }

    fn header(&mut self, header: Vec<u8>) -> Vec<IngestEvent> {
        let mut events = VecDeque::new();
        self.assembler.header(header.into(), &mut events);
        events.into()
    }

    fn push_at(&mut self, dts: i64, is_key: bool, payload: impl Into<Bytes>) -> Vec<IngestEvent> {
        let mut events = VecDeque::new();
        let packet = VideoPacket {
            timescale: MILLISECONDS,
            dts,
            composition: 66,
            is_key,
            payload: payload.into(),
        };
        self.assembler.push(packet, &mut events);
        events.into()
    }

    fn push(&mut self, is_key: bool, payload: impl Into<Bytes>) -> Vec<IngestEvent> {
        self.at += 33;
        self.push_at(self.at, is_key, payload)
    }
}

/// Repairs and then one unit of these NAL units.
#[track_caller]
fn assert_mended(events: &[IngestEvent], repairs: &[Repair], units: &[&[u8]]) {
    let (last, before) = events.split_last().expect("a unit");
    let told: Vec<_> = repairs.iter().copied().map(IngestEvent::Repaired).collect();
    assert_eq!(before, told);
    let IngestEvent::Unit(unit) = last else {
        panic!("{last:?}");
    };
    assert_eq!(unit.payload, clean(units));
}

#[test]
fn a_clean_unit_passes_without_a_copy() {
    let mut bench = Bench::new();
    let payload = clean(&[AUD, SEI, IDR]);
    let events = bench.push(true, payload.clone());
    let [IngestEvent::Unit(unit)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(unit.payload.as_ptr(), payload.as_ptr());
    let expected = IngestUnit {
        kind: crate::MediaKind::Video,
        timescale: MILLISECONDS,
        dts: 33,
        composition: 66,
        random_access: RandomAccess::Idr,
        payload,
    };
    assert_eq!(*unit, expected);
    assert_mended(&bench.push(false, clean(&[P])), &[], &[P]);
}

#[test]
fn empty_units_and_stray_bytes_are_left_out() {
    let mut bench = Bench::new();
    let events = bench.push(true, clean(&[&[], AUD, &[], IDR, &[]]));
    assert_mended(&events, &[Repair::EmptyNalUnit], &[AUD, IDR]);
    for stray in 1..=3 {
        let mut payload = clean(&[P]).to_vec();
        payload.resize(payload.len() + stray, 0);
        assert_mended(&bench.push(false, payload), &[Repair::StrayBytes], &[P]);
    }
    let mut both = clean(&[&[], P]).to_vec();
    both.push(7);
    let repairs = [Repair::StrayBytes, Repair::EmptyNalUnit];
    assert_mended(&bench.push(false, both), &repairs, &[P]);
    // Four zeros are an empty unit, four others are damage.
    let mut four = clean(&[P]).to_vec();
    four.extend([9; 4]);
    let events = bench.push(false, four);
    assert!(matches!(&events[..], [IngestEvent::Skipped(s)] if s.reason == SkipReason::Damaged));
}

#[test]
fn start_codes_of_three_and_four_bytes_are_converted() {
    let mut bench = Bench::new();
    let stream = |units: &[&[u8]], code: &[u8], tail: &[u8]| -> Vec<u8> {
        let coded = units.iter().map(|unit| [code, unit].concat());
        [coded.collect::<Vec<_>>().concat(), tail.to_vec()].concat()
    };
    for code in [&[0, 0, 1][..], &[0, 0, 0, 1], &[0, 0, 0, 0, 0, 1]] {
        for tail in [&[][..], &[0], &[0, 0, 0, 0]] {
            let events = bench.push(true, stream(&[AUD, SEI, IDR], code, tail));
            assert_mended(&events, &[Repair::StartCodes], &[AUD, SEI, IDR]);
        }
    }
    // A slice whose start code reads as the length of all that follows it.
    let slice = [P, &[0x55; 318]].concat();
    let misread = stream(&[&slice], &[0, 0, 1], &[]);
    assert_eq!(misread.len(), 4 + 0x141 - 1);
    let exact = [&[0, 0, 1][..], P, &[0x55; 319]].concat();
    assert_eq!(exact.len(), 4 + 0x141);
    assert_mended(
        &bench.push(false, exact.clone()),
        &[Repair::StartCodes],
        &[&exact[3..]],
    );
    // Lengths again.
    assert_mended(&bench.push(false, clean(&[P])), &[], &[P]);
    // Start codes behind lengths.
    let nested = clean(&[&[&[0, 0, 0, 1][..], IDR].concat()]);
    assert_mended(&bench.push(true, nested), &[Repair::StartCodes], &[IDR]);
}

#[test]
fn lengths_of_one_and_two_bytes_become_four() {
    for (length_size, bytes) in [(0, 1), (1, 2)] {
        let mut bench = Bench::blank();
        let header = record_of(&[SPS], &[PPS], length_size);
        let events = bench.header(header);
        let [IngestEvent::VideoConfig(VideoConfig::Avc(config))] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(config.nal_length_bytes(), 4);
        assert_eq!(config.record().as_ref(), record());
        let events = bench.push(true, with_lengths(&[AUD, IDR], bytes));
        assert_mended(&events, &[], &[AUD, IDR]);
        // The header lies about the size: read by shorter lengths, every unit has empty ones
        // before it, until one is too long for that.
        let events = bench.push(false, clean(&[AUD, P]));
        assert_mended(&events, &[Repair::EmptyNalUnit], &[AUD, P]);
        let long = [P, &[0x55; 70_000]].concat();
        let events = bench.push(false, clean(&[AUD, &long]));
        assert_mended(&events, &[Repair::LengthSize], &[AUD, &long]);
    }
    let mut bench = Bench::new();
    let events = bench.push(true, with_lengths(&[SEI, IDR], 2));
    assert_mended(&events, &[Repair::LengthSize], &[SEI, IDR]);
}

#[test]
fn what_has_no_picture_waits_for_the_next_one() {
    let mut bench = Bench::new();
    assert_eq!(bench.push(false, clean(&[SEI])), []);
    assert_mended(
        &bench.push(false, clean(&[P])),
        &[Repair::WithoutPicture],
        &[SEI, P],
    );
    // One delimiter, and in front; what fills or ends is dropped.
    assert_eq!(bench.push(false, clean(&[AUD])), []);
    assert_eq!(
        bench.push(false, clean(&[SEI, &[0x0c, 0xff, 0x80], &[0x0b]])),
        []
    );
    let events = bench.push(true, clean(&[AUD, IDR]));
    assert_mended(&events, &[Repair::WithoutPicture], &[AUD, SEI, IDR]);
    // Nothing waits too long, or grows without end.
    assert_eq!(bench.push_at(5_000, false, clean(&[SEI])), []);
    let events = bench.push_at(6_001, false, clean(&[P]));
    let [IngestEvent::Skipped(late), IngestEvent::Unit(unit)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (late.reason, &unit.payload),
        (SkipReason::Damaged, &clean(&[P]))
    );
    let long = [SEI, &[1; 40_000]].concat();
    assert_eq!(bench.push(false, clean(&[&long])), []);
    let events = bench.push(false, clean(&[&long]));
    assert!(matches!(&events[..], [IngestEvent::Skipped(s)] if s.reason == SkipReason::Damaged));
    assert_mended(&bench.push(false, clean(&[P])), &[], &[P]);
}

/// The size announced, if any.
fn announced(events: &[IngestEvent]) -> Option<(u32, u32)> {
    events.iter().find_map(|event| match event {
        IngestEvent::VideoConfig(config) => Some(config.dimensions()),
        _ => None,
    })
}

#[test]
fn sets_in_band_that_differ_are_a_new_configuration_and_the_old_header_stays_overruled() {
    let mut bench = Bench::new();
    // The same sets are nothing.
    assert_mended(
        &bench.push(true, clean(&[SPS, PPS, IDR])),
        &[],
        &[SPS, PPS, IDR],
    );
    let events = bench.push(true, clean(&[SMALL_SPS, PPS, IDR]));
    assert_eq!(announced(&events), Some((640, 320)));
    assert_eq!(
        events[0],
        IngestEvent::Repaired(Repair::InbandParameterSets)
    );
    assert!(
        matches!(events[2], IngestEvent::Unit(_)),
        "the unit comes behind it"
    );
    // The header is sent again and again.
    for _ in 0..3 {
        assert_eq!(bench.header(record()), []);
        assert_eq!(bench.push(true, clean(&[SMALL_SPS, PPS, IDR])).len(), 1);
    }
    // Alone in a packet before the keyframe.
    assert_eq!(bench.push(false, clean(&[SPS, PPS])), []);
    assert_eq!(
        announced(&bench.push(true, clean(&[IDR]))),
        Some((1280, 640))
    );
    // Beside a picture that nobody can start at they wait for one.
    let events = bench.push(false, clean(&[SMALL_SPS, P]));
    assert_eq!((announced(&events), events.len()), (None, 1));
    assert_eq!(
        announced(&bench.push(true, clean(&[IDR]))),
        Some((640, 320))
    );
}

#[test]
fn picture_sets_that_change_again_and_again_are_announced_a_few_times() {
    let mut bench = Bench::new();
    let mut told = 0;
    for last in 0..20 {
        let mut pps = PPS.to_vec();
        pps[5] = last;
        let events = bench.push(true, clean(&[SPS, &pps, IDR]));
        told += usize::from(announced(&events).is_some());
        assert!(matches!(events.last(), Some(IngestEvent::Unit(_))));
    }
    assert_eq!(told, 3);
}

#[test]
fn a_header_without_sets_or_none_at_all_is_made_up_for_in_band() {
    let in_band = clean(&[SPS, PPS, IDR]);
    let mut none = Bench::blank();
    let events = none.push(false, clean(&[P]));
    assert!(matches!(&events[..], [IngestEvent::Skipped(s)] if s.reason == SkipReason::NoConfig));
    assert_eq!(
        announced(&none.push(true, in_band.clone())),
        Some((1280, 640))
    );
    let mut empty = Bench::blank();
    let events = empty.header(record_of(&[], &[], 3));
    assert!(matches!(&events[..], [IngestEvent::Skipped(s)] if s.reason == SkipReason::Config));
    assert_eq!(announced(&empty.push(true, in_band)), Some((1280, 640)));
    // Half in the header, half in band.
    let mut half = Bench::blank();
    half.header(record_of(&[SPS], &[], 3));
    assert_eq!(
        announced(&half.push(true, clean(&[PPS, IDR]))),
        Some((1280, 640))
    );
    // Start codes from the first byte, without a header.
    let mut coded = Bench::blank();
    let stream = [SPS, PPS, IDR]
        .map(|unit| [&[0, 0, 0, 1][..], unit].concat())
        .concat();
    assert_eq!(announced(&coded.push(true, stream)), Some((1280, 640)));
}

#[test]
fn a_header_that_changes_is_a_new_configuration() {
    let mut bench = Bench::new();
    let small = record_of(&[SMALL_SPS], &[PPS], 3);
    assert_eq!(announced(&bench.header(small)), Some((640, 320)));
    assert_eq!(announced(&bench.header(record())), Some((1280, 640)));
    let events = bench.header(vec![1, 2, 3]);
    assert!(matches!(&events[..], [IngestEvent::Skipped(s)] if s.reason == SkipReason::Config));
    assert_mended(&bench.push(true, clean(&[IDR])), &[], &[IDR]);
}

proptest::proptest! {
    #[test]
    fn no_record_panics(cut in 0usize..60, at in 0usize..50, byte: u8) {
        let mut bytes = record();
        if let Some(place) = bytes.get_mut(at) { *place = byte; }
        bytes.truncate(cut);
        if let Ok(config) = Config::parse(bytes.into()) {
            let again = Config::parse(config.record().clone()).unwrap();
            assert_eq!(again.rfc6381(), config.rfc6381());
        }
    }

    /// Whatever comes in, what goes out walks to its end, has a picture and no empty unit.
    #[test]
    fn what_leaves_is_clean(
        packets in proptest::collection::vec(
            (proptest::bool::ANY, proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::sample::select(vec![0u8, 1, 2, 3, 4, 5, 0x41, 0x65, 0x67, 9]),
                    proptest::num::u8::ANY,
                ], 0..40)), 1..12),
    ) {
        let mut bench = Bench::new();
        for (is_key, payload) in packets {
            for event in bench.push(is_key, payload) {
                if let IngestEvent::Unit(unit) = event {
                    let mut units = NalUnits::new(&unit.payload, 4);
                    let found: Vec<&[u8]> = units.by_ref().collect();
                    assert!(units.rest().is_empty());
                    assert!(found.iter().all(|unit| !unit.is_empty()));
                    assert!(found.iter().any(|unit| nal::is_vcl(unit)));
                }
            }
        }
    }

    /// Slices survive every disguise byte by byte.
    #[test]
    fn slices_are_never_touched(
        slices in proptest::collection::vec(
            proptest::collection::vec(4u8..=255, 1..60), 1..4),
        disguise in 0usize..4,
    ) {
        let slices: Vec<Vec<u8>> = slices.into_iter().map(|body| [&[0x65][..], &body].concat()).collect();
        let slices: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
        let payload: Bytes = match disguise {
            0 => clean(&slices),
            1 => slices.iter().map(|unit| [&[0, 0, 1][..], unit].concat()).collect::<Vec<_>>().concat().into(),
            2 => [clean(&slices).as_ref(), &[0, 0]].concat().into(),
            _ => clean(&slices.iter().flat_map(|unit| [&[][..], unit]).collect::<Vec<_>>()),
        };
        let events = Bench::new().push(true, payload);
        let Some(IngestEvent::Unit(unit)) = events.last() else { panic!("{events:?}") };
        assert_eq!(&unit.payload, &clean(&slices));
    }
}
