#!/usr/bin/env bash
# m3u8-rs 6.0.1 (crates.io): everything behind the last segment of a low-latency playlist is lost. EXT-X-PART lines of the
# unfinished segment, EXT-X-PRELOAD-HINT and EXT-X-RENDITION-REPORT are in no field, not in `unknown_tags` either, and are
# not written back; EXTINF passes through f32 (123.456789 becomes 123.45679).
# For users: m3u8-rs is a good reader of segments and a bad judge of a low-latency edge; Panocast renders and checks its
# playlists with code of its own and reads with m3u8-rs only where segments are meant.
set -euo pipefail
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src" && cd "$work"
cat >Cargo.toml <<'T'
[package]
name = "look"
version = "0.0.0"
edition = "2021"
[dependencies]
m3u8-rs = "=6.0.1"
T
cat >src/main.rs <<'R'
fn main() {
    let text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:124\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
        #EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:123.456789,\n7.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"8.0.m4s\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1.m4s\"\n#EXT-X-RENDITION-REPORT:URI=\"../a.m3u8\",LAST-MSN=8\n";
    let (_, playlist) = m3u8_rs::parse_media_playlist(text.as_bytes()).expect("valid");
    println!("unknown tags of the playlist: {}", playlist.unknown_tags.len());
    let mut out = Vec::new();
    playlist.write_to(&mut out).expect("memory");
    print!("{}", String::from_utf8_lossy(&out));
}
R
cargo run -q >out.txt && cat out.txt
if grep -q 'unknown tags of the playlist: 0' out.txt && grep -q '^7.m4s' out.txt && grep -q '123.45679' out.txt \
    && ! grep -qE 'EXT-X-PART:|PRELOAD-HINT|RENDITION-REPORT' out.txt; then
    echo "as described: m3u8-rs 6.0.1 drops parts, hint and report behind the last segment"
else
    echo "changed" && exit 1
fi
