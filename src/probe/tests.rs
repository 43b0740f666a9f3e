//! A scripted low-latency server with one fault at a time: the probe names it, and nothing else.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use service::http::{Body, Peer, Request, Response, Server, gzip, serve};
use tokio::net::TcpListener;

use super::{Options, Report, run};

/// The first state shown: this segment is open.
const FIRST: u64 = 1_000;

/// Segments listed; the target duration is one second.
const LISTED: u64 = 10;

/// Something done wrong on purpose.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// The playlist's text, with the open segment's number, is changed.
    Text(fn(&str, u64) -> String),
    /// The multivariant playlist's text is changed.
    Multivariant(fn(&str) -> String),
    /// An answer is changed, by its path.
    Answer(fn(&str, &mut Response)),
    /// Blocking requests are answered with what there was two parts ago.
    Unblocked,
    /// Blocking requests for the far future are answered.
    Patient,
    /// Nothing ever comes.
    Still,
    /// One part less than before, every other time.
    Backwards,
}

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,\
    HOLD-BACK=3.0,PART-HOLD-BACK=1.5\n\
    #EXT-X-PART-INF:PART-TARGET=0.500\n";

fn date(msn: u64) -> String {
    let second = msn - 900;
    format!(
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-01T12:{:02}:{:02}.000Z\n",
        second / 60,
        second % 60
    )
}

fn part(msn: u64, index: u64) -> String {
    let lead = if index == 0 { ",INDEPENDENT=YES" } else { "" };
    format!("#EXT-X-PART:DURATION=0.500,URI=\"{msn}.{index}.m4s\"{lead}\n")
}

/// The playlist while `parts` (0 or 1) of segment `open` are listed.
fn playlist(open: u64, parts: u64, skip: bool, other: &str) -> String {
    let first = open - LISTED;
    let mut text =
        format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n");
    let listed = if skip { first + 3 } else { first };
    text += if skip {
        "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n"
    } else {
        "#EXT-X-MAP:URI=\"init.mp4\"\n"
    };
    for msn in listed..open {
        text += &date(msn);
        if msn + 3 > open {
            text += &(part(msn, 0) + &part(msn, 1));
        }
        text += &format!("#EXTINF:1.000,\n{msn}.m4s\n");
    }
    if parts > 0 {
        text += &(date(open) + &part(open, 0));
    }
    text += &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{open}.{parts}.m4s\"\n");
    text + &format!("#EXT-X-RENDITION-REPORT:URI=\"../{other}/index.m3u8\",LAST-MSN={open}\n")
}

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:6\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"A\",URI=\"audio/index.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=20000,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"audio\"\n\
    video/index.m3u8\n";

struct Script {
    fault: Fault,
    plain: AtomicU64,
}

impl Script {
    fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path().to_owned();
        let mut response = if path == "/live.m3u8" {
            let change: fn(&str) -> String = match self.fault {
                Fault::Multivariant(change) => change,
                _ => str::to_owned,
            };
            text(&change(MULTIVARIANT))
        } else if path.ends_with("/index.m3u8") {
            self.media(&path, request.uri().query().unwrap_or_default())
        } else {
            let mut media = Response::new(Body::full(vec![0; 1000]));
            common(
                &mut media,
                "video/mp4",
                "public, max-age=31536000, immutable",
            );
            media
        };
        if let Fault::Answer(change) = self.fault {
            change(&path, &mut response);
        }
        response
    }

    fn media(&self, path: &str, query: &str) -> Response {
        let number = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then(|| value.parse::<u64>().ok())?)
        };
        let asked = number("_HLS_msn");
        if asked.is_some_and(|msn| msn > FIRST + 500) && !matches!(self.fault, Fault::Patient) {
            return service::http::text(StatusCode::BAD_REQUEST, "cannot wait");
        }
        // Half-second steps: what was asked for has just come.
        let asked =
            asked.map(|msn| msn.min(FIRST + 500) * 2 + number("_HLS_part").unwrap_or(1) + 1);
        let mut step = asked.unwrap_or(FIRST * 2 + self.plain.load(Ordering::Relaxed));
        match self.fault {
            Fault::Still => step = FIRST * 2,
            Fault::Unblocked if asked.is_some() => step -= 2,
            Fault::Backwards if self.plain.fetch_add(1, Ordering::Relaxed) % 2 == 1 => step -= 3,
            _ => {}
        }
        let other = if path.contains("audio") {
            "video"
        } else {
            "audio"
        };
        let skip = query.contains("_HLS_skip=YES");
        let open = step / 2;
        let told = playlist(open, step % 2, skip, other);
        match self.fault {
            Fault::Text(change) => text(&change(&told, open)),
            _ => text(&told),
        }
    }
}

fn text(words: &str) -> Response {
    let packed = gzip(words.as_bytes()).expect("worth packing");
    let mut response = Response::new(Body::full(packed));
    common(&mut response, "application/vnd.apple.mpegurl", "max-age=1");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn common(response: &mut Response, kind: &'static str, lifetime: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
}

async fn probe(fault: Fault, options: Options) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/live.m3u8", listener.local_addr().expect("bound"));
    let script = Arc::new(Script {
        fault,
        plain: AtomicU64::new(0),
    });
    let handle = move |request: Request, _: Peer| {
        let script = Arc::clone(&script);
        async move { script.answer(&request) }
    };
    let (_signal, watch) = service::drain::channel();
    let server = tokio::spawn(serve(listener, Server::default(), handle, watch));
    let report = run(&url, options).await.expect("the stream can be watched");
    server.abort();
    report
}

const QUICK: Options = Options {
    duration: Duration::from_millis(300),
    low_latency: true,
    media: true,
};

fn rules(report: &Report) -> BTreeSet<&'static str> {
    report
        .findings()
        .iter()
        .map(|finding| finding.rule)
        .collect()
}

/// Exactly `rule` is found.
async fn finds(rule: &str, fault: Fault) {
    let report = probe(fault, QUICK).await;
    assert_eq!(rules(&report), BTreeSet::from([rule]), "{report}");
}

/// `rule` is found among what follows from it.
async fn finds_among(rule: &str, fault: Fault) {
    let report = probe(fault, QUICK).await;
    assert!(rules(&report).contains(rule), "{rule}: {report}");
}

#[tokio::test]
async fn a_sound_stream_has_no_findings() {
    let report = probe(Fault::None, QUICK).await;
    assert_eq!(rules(&report), BTreeSet::new(), "{report}");
    assert_eq!(report.exit_code(), 0);
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    let renditions = json["renditions"].as_array().expect("a list");
    assert_eq!(renditions.len(), 2);
    for one in renditions {
        assert!(
            one["reloads"].as_u64() > Some(3) && one["low_latency"] == true,
            "{one}"
        );
        assert!(one["media_fetched"].as_u64() > Some(3), "{one}");
        assert_eq!(one["part_target"], 0.5);
    }
    assert_eq!(renditions[0]["name"], "video");
    assert_eq!(renditions[0]["peak_bps"], 8000);
}

#[tokio::test]
async fn planted_faults_of_text_are_named() {
    use Fault::Text;
    finds_among("syntax", Text(|text, _| text.replace("#EXTM3U", "#EXTM4U"))).await;
    finds(
        "td-missing",
        Text(|text, _| text.replace("#EXT-X-TARGETDURATION:1\n", "")),
    )
    .await;
    finds_among(
        "td-changed",
        Text(|text, open| text.replace("TION:1\n", &format!("TION:{}\n", 1 + open % 2))),
    )
    .await;
    finds_among(
        "td-exceeded",
        Text(|text, _| text.replace("EXTINF:1.0", "EXTINF:1.6")),
    )
    .await;
    finds(
        "version",
        Text(|text, _| text.replace("VERSION:9", "VERSION:5")),
    )
    .await;
    finds_among(
        "segment-changed",
        Text(|text, open| text.replace(".m4s\n#", &format!(".m4s?{open}\n#"))),
    )
    .await;
    finds_among(
        "discontinuity-sequence",
        Text(|text, open| text.replace("SEQUENCE:0", &format!("SEQUENCE:{}", open % 2))),
    )
    .await;
    finds_among(
        "pdt-missing",
        Text(|text, _| text.replace("#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-NO")),
    )
    .await;
    finds_among(
        "pdt-drift",
        Text(|text, _| text.replace("5.000Z", "5.500Z")),
    )
    .await;
    finds_among(
        "map-missing",
        Text(|text, _| text.replace("#EXT-X-MAP", "#EXT-X-NO")),
    )
    .await;
    finds(
        "part-target-missing",
        Text(|text, _| text.replace("#EXT-X-PART-INF", "#EXT-X-NO")),
    )
    .await;
    finds_among(
        "part-target-changed",
        Text(|text, open| {
            text.replace(
                "TARGET=0.500",
                if open % 2 == 0 {
                    "TARGET=0.500"
                } else {
                    "TARGET=0.501"
                },
            )
        }),
    )
    .await;
    finds_among(
        "part-long",
        Text(|text, _| text.replace("DURATION=0.500", "DURATION=0.600")),
    )
    .await;
    finds_among(
        "part-short",
        // Independent ones may be short.
        Text(|text, _| {
            let short = text.replace("DURATION=0.500", "DURATION=0.200");
            short.replace(",INDEPENDENT=YES", "")
        }),
    )
    .await;
    finds_among(
        "part-sum-short",
        Text(|text, _| text.replace("DURATION=0.500", "DURATION=0.450")),
    )
    .await;
    finds_among(
        "part-sum",
        Text(|text, _| text.replace("EXTINF:1.0", "EXTINF:0.9")),
    )
    .await;
    finds(
        "server-control",
        Text(|text, _| text.replace("HOLD-BACK=3.0", "HOLD-BACK=2.0")),
    )
    .await;
    finds(
        "hint-missing",
        Text(|text, _| text.replace("#EXT-X-PRELOAD-HINT", "#EXT-X-NO")),
    )
    .await;
    finds_among(
        "hint-broken",
        Text(|text, _| text.replace("PART,URI=\"", "PART,URI=\"x")),
    )
    .await;
    finds(
        "report-missing",
        Text(|text, _| text.replace("#EXT-X-RENDITION-REPORT", "#EXT-X-NO")),
    )
    .await;
    finds_among(
        "skip",
        Text(|text, _| text.replace("SEGMENTS=3", "SEGMENTS=30")),
    )
    .await;
    finds_among(
        "hint-wrong",
        Text(|text, open| {
            if open == FIRST + 2 {
                format!("{text}#EXT-X-ENDLIST\n")
            } else {
                text.to_owned()
            }
        }),
    )
    .await;
}

#[tokio::test]
async fn planted_faults_of_delivery_are_named() {
    use Fault::{Answer, Backwards, Multivariant, Patient, Still, Unblocked};
    finds_among("msn-decreased", Backwards).await;
    finds_among("block-ignored", Unblocked).await;
    finds("block-too-far", Patient).await;
    finds(
        "bandwidth-missing",
        Multivariant(|text| text.replace("BANDWIDTH=20000,", "")),
    )
    .await;
    finds(
        "codecs-missing",
        Multivariant(|text| text.replace("CODECS", "X-CODECS")),
    )
    .await;
    finds(
        "group-unknown",
        Multivariant(|text| text.replace("ID=\"audio\"", "ID=\"b\"")),
    )
    .await;
    finds(
        "bandwidth-exceeded",
        Multivariant(|text| text.replace("=20000", "=5000")),
    )
    .await;
    let status: fn(&str, &mut Response) = |path, response| {
        if path.ends_with("0.m4s") && path.matches('.').count() == 1 {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
    };
    finds("http-status", Answer(status)).await;
    let hint: fn(&str, &mut Response) = |path, response| {
        if path.ends_with(".1.m4s") {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
    };
    finds("hint-failed", Answer(hint)).await;
    for (rule, name, value) in [
        ("http-content-type", "content-type", "text/plain"),
        ("http-cors", "access-control-allow-origin", ""),
        ("http-cache-control", "cache-control", ""),
    ] {
        let report = probe(Answer(header_fault(name, value)), QUICK).await;
        assert!(rules(&report).contains(rule), "{rule}: {report}");
    }
    let long = Options {
        low_latency: false,
        ..QUICK
    };
    let kept = probe(Answer(header_fault("cache-control", "max-age=60")), long).await;
    assert!(rules(&kept).contains("http-cache-long"), "{kept}");
    let patient = Options {
        duration: Duration::from_secs(2),
        low_latency: false,
        media: false,
    };
    let still = probe(Still, patient).await;
    assert_eq!(rules(&still), BTreeSet::from(["stale"]), "{still}");
    assert_eq!(still.exit_code(), 1);
}

fn header_fault(name: &str, value: &str) -> fn(&str, &mut Response) {
    fn set(response: &mut Response, name: &'static str, value: &'static str) {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    match (name, value) {
        ("content-type", _) => |_, response| set(response, "content-type", "text/plain"),
        ("access-control-allow-origin", _) => {
            |_, response| drop(response.headers_mut().remove("access-control-allow-origin"))
        }
        ("cache-control", "") => |_, response| drop(response.headers_mut().remove("cache-control")),
        _ => |_, response| set(response, "cache-control", "max-age=60"),
    }
}

#[tokio::test]
async fn what_cannot_be_watched_is_an_error_with_a_reason() {
    assert!(run("hello", QUICK).await.is_err());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = run(&format!("http://{address}/x.m3u8"), QUICK)
        .await
        .expect_err("nobody is there");
    assert!(format!("{error:#}").contains("cannot fetch"), "{error:#}");
}
