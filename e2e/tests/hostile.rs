//! Two hundred connections that mean no good, while somebody publishes and somebody watches.

use std::net::SocketAddr;

use e2e::{Origin, PATIENCE, peer::Ffmpeg, until, viewer};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SETTINGS: &str = "record = false\nladder = []\n";

/// Of each kind; there are five.
const EACH: usize = 40;

/// What allocators keep after a storm without leaking: a heap arena per core and its fragments.
const SLACK_KIB: u64 = 24 << 10;

/// One of the ways to be a bad peer.
#[derive(Clone, Copy, Debug)]
enum Way {
    Garbage,
    HalfOpen,
    Oversized,
    Nested,
    Interleaved,
}

impl Way {
    const ALL: [Way; 5] = [
        Way::Garbage,
        Way::HalfOpen,
        Way::Oversized,
        Way::Nested,
        Way::Interleaved,
    ];

    /// What is sent; all but the first two after a proper handshake.
    fn bytes(self, index: usize) -> Vec<u8> {
        let noise = |seed: usize, count: usize| -> Vec<u8> {
            let mut state = seed as u32 | 1;
            let step = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..count).map(step).collect()
        };
        match self {
            // Never the version that an RTMP connection starts with.
            Way::Garbage => [vec![b'G'], noise(index, 64 << 10)].concat(),
            Way::HalfOpen => [vec![3], noise(index, index * 30)].concat(),
            // A video message that claims 16 MiB, after a chunk size that would take it in one.
            Way::Oversized => {
                let chunk_size = chunk(2, 1, 4, &[0x7f, 0xff, 0xff, 0xff]);
                [chunk_size, chunk(6, 9, 0xff_ffff, &noise(index, 60 << 10))].concat()
            }
            // "connect" with objects in objects in objects.
            Way::Nested => {
                let mut body = b"\x02\x00\x07connect\x00\x3f\xf0\0\0\0\0\0\0".to_vec();
                body.extend(std::iter::repeat_n(*b"\x03\x00\x01a", 20_000).flatten());
                chunked(3, 20, &body)
            }
            // A first chunk on each of many chunk streams, none of them ever finished.
            Way::Interleaved => {
                let chunks = |id| chunk(id, 9, 1 << 20, &noise(usize::from(id), 128));
                (3..64).flat_map(|id| chunks(id).repeat(20)).collect()
            }
        }
    }

    fn shakes_hands(self) -> bool {
        !matches!(self, Way::Garbage | Way::HalfOpen)
    }
}

/// A chunk with a full header whose message claims `length` bytes.
fn chunk(id: u8, kind: u8, length: u32, payload: &[u8]) -> Vec<u8> {
    let length = length.to_be_bytes();
    let head = [
        id, 0, 0, 0, length[1], length[2], length[3], kind, 1, 0, 0, 0,
    ];
    [&head, payload].concat()
}

/// A message in chunks of the default 128 bytes.
fn chunked(id: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut pieces = body.chunks(128);
    let first = pieces.next().unwrap_or_default();
    let mut bytes = chunk(id, kind, body.len() as u32, first);
    for piece in pieces {
        bytes.push(0xc0 | id);
        bytes.extend(piece);
    }
    bytes
}

/// Misbehaves until the origin has had enough.
async fn attack(address: SocketAddr, way: Way, index: usize) {
    let mut socket = TcpStream::connect(address)
        .await
        .expect("the origin listens");
    // It may be cut off at any byte.
    let _ = misbehave(&mut socket, way, index).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "{way:?} {index} is still connected");
}

async fn misbehave(socket: &mut TcpStream, way: Way, index: usize) -> std::io::Result<()> {
    if way.shakes_hands() {
        let hello = [vec![3], vec![0; 1536]].concat();
        socket.write_all(&hello).await?;
        let mut answer = vec![0; 1 + 2 * 1536];
        socket.read_exact(&mut answer).await?;
        socket.write_all(&answer[1..1537]).await?;
    }
    socket.write_all(&way.bytes(index)).await
}

async fn storm(origin: &Origin) {
    let address = SocketAddr::from(([127, 0, 0, 1], origin.rtmp));
    let mut attacks = tokio::task::JoinSet::new();
    for index in 0..EACH {
        for way in Way::ALL {
            attacks.spawn(attack(address, way, index));
        }
    }
    // Meanwhile viewers are served.
    while !attacks.is_empty() {
        let answer = origin.get("/hls/foo/source/index.m3u8").await;
        assert_eq!(answer.status, StatusCode::OK);
        attacks
            .join_next()
            .await
            .expect("not empty")
            .expect("an attack ends");
    }
    let metric = format!("http://127.0.0.1:{}/metrics", origin.admin);
    until("only the publisher is connected", PATIENCE, async || {
        let text = e2e::get(&metric).await?.text();
        text.lines()
            .any(|line| line == "origin_rtmp_connections 1")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_hundred_bad_peers_cost_nobody_but_themselves() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let _publisher =
        Ffmpeg::default().publish(folder.path(), "publisher", &origin.publish_url("foo"));
    origin.text_when("/hls/foo.m3u8", |_| true).await;
    let before = origin.resident_kib();

    storm(&origin).await;

    let after = origin.resident_kib();
    assert!(
        after < before + SLACK_KIB,
        "{after} KiB after, {before} KiB before"
    );
    let refusals = origin.log_lines(&["bad input"]);
    assert_eq!(refusals.len(), EACH * Way::ALL.len(), "{refusals:#?}");
    let mut reasons: Vec<&str> = refusals
        .iter()
        .filter_map(|line| Some(line.split_once("reason=")?.1))
        .collect();
    assert_eq!(reasons.len(), refusals.len(), "each has its reason");
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), Way::ALL.len(), "{reasons:#?}");
    origin.assert_healthy().await;
    let video = viewer::fetch(&origin, "foo", "source").await;
    viewer::assert_tiles("video", &video);
    assert!(
        video.segments.iter().all(|segment| !segment.discontinuity),
        "{}",
        video.text
    );
}
