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
fn p11_target_duration_rules() {
    let mut checker = Checker::new();
    let long = playlist(10, 0, &[(2.6, ""), WHOLE]);
    assert!(ids(checker.media("a", &long)).contains(&"td-exceeded"));
    let changed = playlist(10, 0, &[WHOLE; 2]).replace("DURATION:2", "DURATION:3");
    assert!(ids(checker.media("a", &changed)).contains(&"td-changed"));
}

#[test]
fn p2_numbers_never_go_back() {
    let mut checker = Checker::new();
    checker.media("a", &playlist(10, 0, &[WHOLE; 6]));
    assert_eq!(
        ids(checker.media("a", &playlist(9, 0, &[WHOLE; 6]))),
        ["msn-decreased"]
    );
}

#[test]
fn p3_discontinuity_sequence_counts_what_leaves() {
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
fn p12_renditions_must_agree() {
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
fn p18_part_rules() {
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
