#!/usr/bin/env bash
# hls-parser 0.16.1 (npm): a low-latency media playlist with EXT-X-MAP and an unfinished last segment, parsed and written
# again, gains a line that was not there, before the parts of the unfinished segment:
#   #EXT-X-KEY:METHOD=undefined,URI="init.mp4"
# A player that obeys takes the live edge for encrypted by a method that does not exist.
# For users: do not put it between an origin and a player of low-latency playlists.
set -euo pipefail
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cd "$work" && npm install --silent --no-audit --no-fund hls-parser@0.16.1 >/dev/null
cat >in.m3u8 <<'M'
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.0,
7.m4s
#EXT-X-PART:DURATION=0.5,URI="8.0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="8.1.m4s"
M
node -e '
const HLS = require("hls-parser");
console.log(HLS.stringify(HLS.parse(require("fs").readFileSync("in.m3u8", "utf8"))));
' | tee out.m3u8
if grep -qF '#EXT-X-KEY:METHOD=undefined' out.m3u8; then
    echo "as described: hls-parser 0.16.1 writes EXT-X-KEY:METHOD=undefined for a clear playlist"
else
    echo "changed: hls-parser no longer does that" && exit 1
fi
