//! Each rule fires on what breaks it, and a correct broadcast breaks none.

use super::*;

fn playlist(msn: u64, discontinuity_sequence: u64, segments: &[(f64, &str)]) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{msn}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}\n#EXT-X-MAP:URI=\"i.mp4\"\n"
    );
    for (index, (duration, lead)) in segments.iter().enumerate() {
        let number = msn + index as u64;
        if !lead.is_empty() {
            text += &format!("{lead}\n");
        }
        let second = number * 2;
        let (minute, second) = (second / 60, second % 60);
        text += &format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:{minute:02}:{second:02}.000Z\n\
             #EXTINF:{duration:.3},\n{number}.m4s\n"
        );
    }
    text
}

fn ids(violations: Vec<Violation>) -> Vec<&'static str> {
    let mut ids: Vec<_> = violations
        .iter()
        .map(|violation| violation.rule.id())
        .collect();
    ids.dedup();
    ids
}

const WHOLE: (f64, &str) = (2.0, "");

#[test]
fn a_sliding_window_is_clean() {
    let mut checker = Checker::new();
    assert!(checker.media("a", &playlist(10, 0, &[WHOLE; 6])).is_empty());
    assert!(checker.media("a", &playlist(11, 0, &[WHOLE; 6])).is_empty());
    assert!(checker.media("b", &playlist(10, 0, &[WHOLE; 7])).is_empty());
    assert!(checker.across().is_empty());
}

#[test]
fn target_duration_rules() {
    let mut checker = Checker::new();
    let long = playlist(10, 0, &[(2.6, ""), WHOLE]);
    assert!(ids(checker.media("a", &long)).contains(&"td-exceeded"));
    let changed = playlist(10, 0, &[WHOLE; 2]).replace("DURATION:2", "DURATION:3");
    assert!(ids(checker.media("a", &changed)).contains(&"td-changed"));
}

#[test]
fn numbers_never_go_back() {
    let mut checker = Checker::new();
    checker.media("a", &playlist(10, 0, &[WHOLE; 6]));
    assert_eq!(
        ids(checker.media("a", &playlist(9, 0, &[WHOLE; 6]))),
        ["msn-decreased"]
    );
}

#[test]
fn discontinuity_sequence_counts_what_leaves() {
    let broken = (2.0, "#EXT-X-DISCONTINUITY");
    let mut checker = Checker::new();
    let before = playlist(10, 4, &[WHOLE, broken, WHOLE, WHOLE, WHOLE]);
    assert!(checker.media("a", &before).is_empty());
    let one_left = playlist(11, 4, &[broken, WHOLE, WHOLE, WHOLE]);
    assert!(checker.media("a", &one_left).is_empty());
    let both_left = playlist(12, 4, &[WHOLE; 4]);
    assert_eq!(
        ids(checker.clone().media("a", &both_left)),
        ["discontinuity-sequence"]
    );
    assert!(checker.media("a", &playlist(12, 5, &[WHOLE; 4])).is_empty());
}

#[test]
fn renditions_must_agree() {
    let mut checker = Checker::new();
    checker.media("source", &playlist(10, 0, &[WHOLE; 7]));
    checker.media(
        "b",
        &playlist(11, 0, &[(1.0, ""), WHOLE]).replace(":22.000Z", ":23.000Z"),
    );
    assert_eq!(ids(checker.across()), ["across-pdt", "across-duration"]);
    checker.media(
        "b",
        &playlist(12, 1, &[WHOLE; 2]).replace("DURATION:2", "DURATION:4"),
    );
    let found = ids(checker.across());
    assert!(found.contains(&"across-td") && found.contains(&"across-discontinuity"));
}

fn low_latency(open: &str, tail: &str) -> String {
    let head = playlist(10, 0, &[WHOLE; 4]);
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,HOLD-BACK=6.0,\
                   PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE";
    let date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:00:28.000Z\n";
    head.replace("#EXT-X-MEDIA-SEQUENCE", control) + date + open + tail
}

fn part(duration: f64, index: usize, rest: &str) -> String {
    format!("#EXT-X-PART:DURATION={duration},URI=\"14.{index}.m4s\"{rest}\n")
}

#[test]
fn part_rules() {
    let hint = |index| format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"14.{index}.m4s\"\n");
    let clean = part(0.5, 0, ",INDEPENDENT=YES") + &part(0.45, 1, "");
    let mut checker = Checker::new();
    assert!(
        checker
            .media("a", &low_latency(&clean, &hint(2)))
            .is_empty()
    );

    let found = |open: &str, tail: &str| ids(Checker::new().media("a", &low_latency(open, tail)));
    assert_eq!(found(&part(0.6, 0, ""), &hint(1)), ["part-long"]);
    assert_eq!(found(&part(0.2, 0, ""), &hint(1)), ["part-short"]);
    assert_eq!(found(&part(0.5, 0, ""), ""), ["hint-missing"]);
    assert_eq!(found(&part(0.5, 0, ""), &hint(0)), ["hint-wrong"]);

    let other = part(0.5, 0, ",INDEPENDENT=YES") + &part(0.5, 1, "") + &part(0.5, 2, "");
    assert_eq!(
        ids(checker.clone().media("a", &low_latency(&other, &hint(3)))),
        ["part-changed"]
    );
    let skipped_one = clean.clone() + &part(0.5, 3, "");
    assert_eq!(
        ids(checker.media("a", &low_latency(&skipped_one, &hint(4)))),
        ["hint-broken"]
    );
    let slow = low_latency(&clean, &hint(2)).replace("PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.0");
    assert_eq!(ids(Checker::new().media("a", &slow)), ["server-control"]);
}

#[test]
fn what_is_announced_after_the_last_segment_comes() {
    let tag = "#EXT-X-DISCONTINUITY\n";
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"14.0.m4s\"\n";
    let map_hint = "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"j.mp4\"\n";
    let ends = |ahead: &str| {
        let date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:00:28.000Z\n";
        low_latency("", &format!("{ahead}{hint}")).replace(date, "")
    };
    let came = |lead: &str| {
        let tail = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"14.1.m4s\"\n";
        let text = low_latency(&part(0.5, 0, ",INDEPENDENT=YES"), tail);
        let date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:00:28.000Z\n";
        text.replace(date, &format!("{lead}{date}"))
    };
    let found = |before: &str, now: &str| {
        let mut checker = Checker::new();
        assert_eq!(checker.media("a", before), []);
        ids(checker.media("a", now))
    };
    let map = "#EXT-X-MAP:URI=\"j.mp4\"\n";
    let both = format!("{tag}{map}");
    assert!(found(&ends(tag), &came(tag)).is_empty());
    assert!(found(&ends(&format!("{tag}{map_hint}")), &came(&both)).is_empty());
    assert!(found(&ends(""), &came("")).is_empty());
    assert_eq!(found(&ends(tag), &came("")), ["discontinuity-taken-back"]);
    assert_eq!(found(&ends(""), &came(tag)), ["discontinuity-unannounced"]);
    let other_map = found(&ends(&format!("{tag}{map_hint}")), &came(tag));
    assert_eq!(other_map, ["hint-broken"]);
}

/// Playlists, one after the other and each with its rendition, that break `rule`.
fn that_break(rule: Rule) -> Vec<(&'static str, String)> {
    let whole = playlist(10, 0, &[WHOLE; 6]);
    let next = playlist(11, 0, &[WHOLE; 6]);
    let broken = (2.0, "#EXT-X-DISCONTINUITY");
    let hint = |index| format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"14.{index}.m4s\"\n");
    let first = part(0.5, 0, ",INDEPENDENT=YES");
    let open = low_latency(&first, &hint(1));
    let on_a = |texts: &[&str]| -> Vec<(&'static str, String)> {
        texts.iter().map(|text| ("a", (*text).to_owned())).collect()
    };
    let across = |text: String| vec![("source", playlist(10, 0, &[WHOLE; 7])), ("b", text)];
    let closed = |parts: &str| {
        let text = low_latency(parts, "#EXTINF:2.000,\n14.m4s\n");
        text + &hint(9)
    };
    let ahead = |tag: &str| {
        let date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:00:28.000Z\n";
        low_latency("", &format!("{tag}{}", hint(0))).replace(date, "")
    };
    let tag = "#EXT-X-DISCONTINUITY\n";
    match rule {
        Rule::Syntax => on_a(&["hello"]),
        Rule::TargetMissing => on_a(&["#EXTM3U\n"]),
        Rule::TargetChanged => on_a(&[&whole, &next.replace("DURATION:2", "DURATION:3")]),
        Rule::TargetExceeded => on_a(&[&playlist(10, 0, &[(2.6, "")])]),
        Rule::Version => on_a(&[&whole.replace("VERSION:6", "VERSION:5")]),
        Rule::MsnDecreased => on_a(&[&next, &whole]),
        Rule::SegmentChanged => on_a(&[&whole, &next.replace("12.m4s", "x.m4s")]),
        Rule::DiscontinuitySequenceMissing => {
            let text = playlist(10, 0, &[WHOLE, broken]);
            on_a(&[&text.replace("#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-NO")])
        }
        Rule::DiscontinuitySequence => on_a(&[&whole, &playlist(11, 1, &[WHOLE; 6])]),
        Rule::DiscontinuityTakenBack => on_a(&[&ahead(tag), &open]),
        Rule::DiscontinuityUnannounced => {
            let date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:00:28";
            on_a(&[&ahead(""), &open.replace(date, &format!("{tag}{date}"))])
        }
        Rule::DateMissing => on_a(&[&open.replace("#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-NO")]),
        Rule::DateDrift => on_a(&[&whole.replace(":24.000Z", ":24.500Z")]),
        Rule::MapMissing => on_a(&[&whole.replace("#EXT-X-MAP", "#EXT-X-NO")]),
        Rule::WindowShort => on_a(&[&whole, &playlist(14, 0, &[WHOLE; 2])]),
        Rule::EndReopened => on_a(&[&format!("{whole}#EXT-X-ENDLIST\n"), &whole]),
        Rule::PartTargetMissing => on_a(&[&open.replace("#EXT-X-PART-INF", "#EXT-X-NO")]),
        Rule::PartTargetChanged => {
            on_a(&[&open, &open.replace("PART-TARGET=0.5", "PART-TARGET=0.6")])
        }
        Rule::PartLong => on_a(&[&low_latency(&part(0.6, 0, ""), &hint(1))]),
        Rule::PartShort => on_a(&[&low_latency(&part(0.2, 0, ""), &hint(1))]),
        Rule::PartSum => on_a(&[&closed(
            &(0..5).map(|i| part(0.5, i, "")).collect::<String>(),
        )]),
        Rule::PartSumShort => on_a(&[&closed(&first)]),
        Rule::PartGap => on_a(&[&closed(&part(0.5, 0, ",GAP=YES"))]),
        Rule::PartChanged => on_a(&[&open, &open.replace("14.0.m4s", "14.x.m4s")]),
        Rule::ServerControl => on_a(&[&open.replace("HOLD-BACK=6.0", "HOLD-BACK=5.0")]),
        Rule::HintMissing => on_a(&[&low_latency(&first, "")]),
        Rule::HintWrong => on_a(&[&low_latency(&first, &hint(0))]),
        Rule::HintBroken => {
            let skipped = first.clone() + &part(0.5, 2, "");
            on_a(&[&open, &low_latency(&skipped, &hint(3))])
        }
        Rule::ReportMissing => on_a(&[&open]),
        Rule::Skip => on_a(&[&format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n{}",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=9\n"
        )]),
        Rule::AcrossTarget => across(whole.replace("DURATION:2", "DURATION:3")),
        Rule::AcrossDate => across(playlist(10, 0, &[WHOLE]).replace(":20.000Z", ":21.000Z")),
        Rule::AcrossDuration => across(playlist(10, 0, &[(1.0, "")])),
        Rule::AcrossDiscontinuity => across(playlist(10, 1, &[WHOLE; 2])),
        Rule::MultivariantSyntax => on_a(&["hello\n"]),
        Rule::BandwidthMissing => on_a(&["#EXTM3U\n#EXT-X-STREAM-INF:CODECS=\"x\"\nv.m3u8\n"]),
        Rule::CodecsMissing => on_a(&["#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n"]),
        Rule::GroupUnknown => on_a(&["#EXTM3U\n#EXT-X-STREAM-INF:AUDIO=\"x\"\nv.m3u8\n"]),
        Rule::VariantsMissing => on_a(&["#EXTM3U\n"]),
    }
}

#[test]
fn every_rule_is_found_where_it_is_broken() {
    for rule in Rule::ALL {
        let mut checker = Checker::new();
        checker.expect_reports(["a".to_owned(), "other".to_owned()]);
        let mut found = Vec::new();
        for (name, text) in that_break(*rule) {
            found.extend(checker.media(name, &text));
            found.extend(check_multivariant(&text).1);
        }
        found.extend(checker.across());
        let among = found.iter().any(|violation| violation.rule == *rule);
        assert!(among, "{rule:?} is not among {:?}", ids(found));
    }
}

#[test]
fn reports_and_deltas() {
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"14.1.m4s\"\n";
    let text = low_latency(&part(0.5, 0, ""), hint);
    let mut checker = Checker::new();
    checker.expect_reports(["a".to_owned(), "b".to_owned()]);
    assert_eq!(ids(checker.media("a", &text)), ["report-missing"]);
    let report = "#EXT-X-RENDITION-REPORT:URI=\"../b/index.m3u8\",LAST-MSN=14,LAST-PART=0\n";
    assert!(checker.media("a", &(text.clone() + report)).is_empty());
    let delta = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:10\n\
                 #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=9\n";
    assert!(ids(Checker::new().media("a", delta)).contains(&"skip"));
}

#[test]
fn damage_is_a_syntax_violation() {
    for text in [
        "",
        "hello",
        "#EXTM3U\nuri",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x",
        "#EXTM3U\n#EXT-X-MAP:URI=\"x",
        // Found by fuzzing: numbers that go back within one playlist.
        "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-MEDIA-SEQUENCE:9",
        "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-DISCONTINUITY-SEQUENCE:9",
        "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-SKIP:SKIPPED-SEGMENTS=9",
    ] {
        assert_eq!(ids(Checker::new().media("a", text)), ["syntax"], "{text}");
    }
    assert!(
        Rule::ALL
            .iter()
            .map(|rule| rule.id())
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            == Rule::ALL.len()
    );
}

#[test]
fn transport_streams_need_neither_map_nor_dates() {
    let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n\
                #EXTINF:3.84,\n7.ts\n#EXTINF:4,\n8.ts?t=1\n";
    assert_eq!(Checker::new().media("a", text), []);
    let old = text.replace("VERSION:3", "VERSION:2");
    assert_eq!(ids(Checker::new().media("a", &old)), ["version"]);
    let fragmented = text.replace("7.ts", "7.m4s");
    assert_eq!(ids(Checker::new().media("a", &fragmented)), ["map-missing"]);
}

#[test]
fn multivariant_rules() {
    let good = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"A\",URI=\"a/index.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001f\",AUDIO=\"a\"\nv/index.m3u8\n";
    let (found, violations) = check_multivariant(good);
    assert_eq!(violations, []);
    assert_eq!(found.variants[0].number("BANDWIDTH"), Some(1000));
    assert_eq!(found.renditions[0].uri, "a/index.m3u8");
    assert!(Multivariant::is_likely(good) && !Multivariant::is_likely("#EXTM3U\n"));
    let faults = |text: &str| ids(check_multivariant(text).1);
    assert_eq!(
        faults(&good.replace("BANDWIDTH", "WIDTH")),
        ["bandwidth-missing"]
    );
    assert_eq!(faults(&good.replace("CODECS", "X")), ["codecs-missing"]);
    assert_eq!(
        faults(&good.replace("AUDIO=\"a\"", "AUDIO=\"b\"")),
        ["group-unknown"]
    );
    assert_eq!(faults("#EXTM3U\n"), ["variants-missing"]);
    assert_eq!(
        faults("hello\n"),
        ["multivariant-syntax", "variants-missing"]
    );
}

#[test]
fn every_rule_has_a_place_and_words() {
    for rule in Rule::ALL {
        assert!(
            !rule.section().is_empty() && !rule.words().starts_with(' '),
            "{rule:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(lines in proptest::collection::vec(line(), 0..20)) {
        let text = lines.join("\n");
        let mut checker = Checker::new();
        checker.media("a", &format!("#EXTM3U\n{text}"));
        checker.media("a", &text);
        checker.across();
    }
}

/// Lines that are almost tags.
fn line() -> impl proptest::strategy::Strategy<Value = String> {
    proptest::prop_oneof![
        "#EXT-X-(PART|MAP|SKIP|GAP|PART-INF|ENDLIST)[:A-Z=\",0-9-]{0,30}",
        "#EXT-X-(MEDIA-SEQUENCE|PROGRAM-DATE-TIME|PRELOAD-HINT):[A-Z=0-9:.-]{0,20}",
        "#EXTINF:[0-9.]{0,4},",
        "[a-z#]{0,5}"
    ]
}
