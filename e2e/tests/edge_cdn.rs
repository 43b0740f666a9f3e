//! nginx as a content delivery network in front of two edges: part by part through it, each object
//! asked of the edges once, each lifetime as the origin meant it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::Duration,
};

use e2e::{
    Answer, Origin, PATIENCE, Process,
    audience::{Audience, Manner, assert_content},
    edge::Edge,
    free_port,
    peer::Ffmpeg,
    until,
};
use http::StatusCode;

const SETTINGS: &str = "record = false\nladder = []\n";

const AUDIENCE: [(Manner, usize); 2] = [(Manner::Plain, 20), (Manner::LowLatency, 40)];

/// One segment: what a viewer may miss at most.
const SEGMENT: Duration = Duration::from_secs(2);

/// nginx as a delivery network would be set: lifetimes as the edges say, one fetch per object
/// however many ask, the delivery directives in the key and nothing else of the query.
fn network(folder: &Path, edges: [u16; 2]) -> (Process, u16) {
    let port = free_port();
    let (root, [one, other]) = (folder.display(), edges);
    let config = folder.join("network.conf");
    let text = format!(
        "daemon off; worker_processes 1; pid {root}/network.pid; error_log {root}/error.log warn;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ log_format line '$upstream_cache_status $status $request_uri'; access_log {root}/access.log line;\n\
         client_body_temp_path {root}/body; proxy_temp_path {root}/temporary; fastcgi_temp_path {root}/f;\n\
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; proxy_cache_path {root}/cache keys_zone=all:10m;\n\
         upstream edges {{ server 127.0.0.1:{one}; server 127.0.0.1:{other}; keepalive 32; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://edges; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_cache all; proxy_cache_lock on; proxy_cache_lock_timeout 15s;\n\
         proxy_cache_lock_age 15s; proxy_cache_key \"$uri|$arg__HLS_msn|$arg__HLS_part|$arg__HLS_skip\";\n\
         add_header X-Network $upstream_cache_status; }} }} }}\n"
    );
    std::fs::write(&config, text).expect("config is written");
    let mut command = Command::new("nginx");
    command
        .args(["-p", &root.to_string()])
        .arg("-c")
        .arg(&config);
    (Process::start(folder, "network", &mut command), port)
}

async fn ask(port: u16, path: &str) -> Answer {
    let url = format!("http://127.0.0.1:{port}{path}");
    until("the network answers", PATIENCE, async || {
        e2e::get(&url).await
    })
    .await
}

/// Where the playlist of this text can be asked for next, blocked.
fn directives(text: &str) -> String {
    let media = hls::check::parse_media(text).expect("a playlist");
    let last = media.last_msn().expect("a segment");
    let (msn, part) = match &media.open {
        Some(open) => (open.msn, open.parts.len()),
        None => (last + 1, 0),
    };
    format!("?_HLS_msn={msn}&_HLS_part={part}")
}

/// A line for each request: how the network came by the answer, its status, its URL.
fn access_log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("access.log")).expect("nginx logs")
}

/// What was answered 200, by URL: how the network came by it each time.
fn answered(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let log = access_log(folder);
    let mut answers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in log.lines() {
        if let [how, "200", url] = line.split(' ').collect::<Vec<_>>()[..] {
            answers
                .entry(url.to_owned())
                .or_default()
                .push(how.to_owned());
        }
    }
    answers
}

/// Requests of one kind that both edges answered in one of these ways.
async fn at_edges(edges: &[Edge], kind: &str, ways: &[&str]) -> f64 {
    let mut sum = 0.0;
    for edge in edges {
        for way in ways {
            let line = format!("edge_responses_total{{cache=\"{way}\",kind=\"{kind}\"}}");
            sum += edge.metric(&line).await;
        }
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn low_latency_through_a_network_and_two_edges() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let _encoder = Ffmpeg::default().publish(folder.path(), "encoder", &origin.publish_url("foo"));
    origin.text_when("/hls/foo.m3u8", |_| true).await;
    let edges = [
        Edge::start(folder.path(), "one", &[origin.http], "").await,
        Edge::start(folder.path(), "other", &[origin.http], "").await,
    ];
    let (_network, port) = network(folder.path(), [edges[0].http, edges[1].http]);
    let playlist = "/hls/foo/source/index.m3u8";
    let first = ask(port, playlist).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());

    let audience = Audience::start(&format!("http://127.0.0.1:{port}{playlist}"), &AUDIENCE);
    audience.all_go_on(6).await;
    assert_content(&audience.end().await, SEGMENT);

    each_object_once(folder.path(), &edges).await;
    lifetimes(port, playlist).await;
}

/// Whatever never changes, and every blocked playlist, was asked of the edges once and then came
/// from the network, for everybody.
async fn each_object_once(folder: &Path, edges: &[Edge]) {
    let answers = answered(folder);
    let lasting = |url: &&String| url.contains("_HLS_msn") || url.ends_with(".m4s");
    let mut hits = 0;
    for url in answers.keys().filter(lasting) {
        let ways = &answers[url];
        let misses = ways.iter().filter(|way| *way != "HIT").count();
        assert_eq!(misses, 1, "{url}: {ways:?}");
        hits += ways.len() - misses;
    }
    let media: BTreeSet<_> = answers.keys().filter(|url| url.ends_with(".m4s")).collect();
    let asked = at_edges(edges, "media", &["miss", "hit", "coalesced"]).await;
    // The log has those too whose last viewer left in the middle; an edge counts what it has sent
    // to the end.
    let log = access_log(folder);
    let urls = log.lines().filter_map(|line| line.split(' ').nth(2));
    let all: BTreeSet<_> = urls.filter(|url| url.ends_with(".m4s")).collect();
    assert!(asked <= all.len() as f64, "{asked} for {all:#?}");
    assert_eq!(
        at_edges(edges, "media", &["miss"]).await,
        asked,
        "no edge was asked twice"
    );
    let blocked = answers
        .keys()
        .filter(|url| url.contains("_HLS_msn"))
        .count();
    assert!(
        media.len() > 20 && blocked > 15,
        "{} and {blocked}",
        media.len()
    );
    // Of all that was asked for, next to nothing got as far as an edge.
    let lasting = media.len() + blocked;
    assert!(hits > 10 * lasting, "{hits} hits of {lasting} objects");
}

/// A cache behind ours is told how long it may keep what, and how old it is already.
async fn lifetimes(port: u16, playlist: &str) {
    let text = ask(port, playlist).await.text();
    let blocked = format!("{playlist}{}", directives(&text));
    let segment = text
        .lines()
        .rfind(|line| line.ends_with(".m4s"))
        .expect("a segment");
    let segment = format!("/hls/foo/source/{segment}");
    for (path, lifetime) in [
        (playlist, "max-age=1"),
        (&blocked, "max-age=1"),
        (&segment, "max-age=31536000, immutable"),
    ] {
        let answer = ask(port, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        let said = answer.header("cache-control");
        assert!(said.contains(lifetime), "{path}: {said}");
        assert!(
            answer.header("age").parse::<u32>().is_ok(),
            "{path} has an age"
        );
        assert!(
            matches!(answer.header("x-served-by"), "one" | "other"),
            "{path}"
        );
    }
    let again = ask(port, &segment).await;
    assert_eq!(again.header("x-network"), "HIT");
    // A player's own parameters make no other object of it.
    let reported = ask(port, &format!("{segment}?CMCD=sid%3D%22a%22&session=7")).await;
    assert_eq!(reported.header("x-network"), "HIT");
    assert_eq!(reported.body, again.body);
}
