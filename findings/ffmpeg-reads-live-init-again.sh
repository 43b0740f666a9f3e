#!/usr/bin/env bash
# FFmpeg 5.1.9 (Debian 12; 8.1.2 and 9.0.2 alike): while it plays a *live* fMP4 playlist it fetches the init segment of
# EXT-X-MAP anew after every reload of the playlist and hands it to its demuxer, which may say "Found duplicated MOOV Atom.
# Skipped it". With EXT-X-ENDLIST the same files cost one fetch and no word.
# For users: ffmpeg, mpv and whatever is built on it ask an origin for one init segment a rendition and a target duration,
# and the warning is not about the stream.
set -euo pipefail
command -v ffmpeg >/dev/null || { echo "apt-get install ffmpeg (5.1.9 on Debian 12)" && exit 69; }
work=$(mktemp -d) && trap 'kill "${server:-0}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work" && mkdir www && ffmpeg -version | head -1
ffmpeg -v error -f lavfi -i testsrc2=s=320x160:r=30 -t 16 -c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p \
    -f hls -hls_time 1 -hls_list_size 0 -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 www/all.m3u8
cat >serve.py <<'P'
import http.server, os, time
began = time.monotonic()
lines = open("www/all.m3u8").read().splitlines()
at = [i for i, line in enumerate(lines) if line.startswith("#EXTINF")]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        if name == "live.m3u8":
            known = min(len(at), 4 + int(time.monotonic() - began))
            body = "\n".join(lines[:at[known - 1] + 2] + [""]).replace("#EXT-X-PLAYLIST-TYPE:EVENT", "").encode()
        else:
            body = open(os.path.join("www", name), "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], file=open("port", "w"), flush=True)
server.serve_forever()
P
python3 serve.py 2>access.log & server=$!
until [ -s port ]; do sleep 0.1; done
timeout 60 ffmpeg -v warning -re -i "http://127.0.0.1:$(cat port)/live.m3u8" -t 8 -f null - 2>live.said || true
live=$(grep -c 'GET /init.mp4' access.log) words=$(grep -c 'duplicated MOOV' live.said || true)
: >access.log
timeout 60 ffmpeg -v warning -i "http://127.0.0.1:$(cat port)/all.m3u8" -t 8 -f null - 2>vod.said || true
vod=$(grep -c 'GET /init.mp4' access.log)
echo "live: init segment fetched $live times in 8 s, $words warnings; with ENDLIST: $vod"
[ "$live" -ge 4 ] && [ "$words" -ge 1 ] && [ "$vod" = 1 ] && echo "as described" || { echo changed && exit 1; }
