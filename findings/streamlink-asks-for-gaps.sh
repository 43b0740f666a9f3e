#!/usr/bin/env bash
# streamlink 8.6.3 (PyPI): does not know EXT-X-GAP. A segment that the playlist says is missing (RFC 8216bis 4.4.4.7: clients
# should not try to load it) is asked for four times, each answered 404, then skipped; the exit status is 0.
# For users: a server sees four 404s a gap, a rendition and a viewer, which are no fault of it; alarms on 404s must leave
# them out.
set -euo pipefail
work=$(mktemp -d) && trap 'kill "${server:-0}" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check streamlink==8.6.3
cd "$work" && mkdir www
for n in 0 2; do head -c 188000 /dev/zero | tr '\0' 'G' >www/$n.ts; done
printf '#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXT-X-GAP\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n#EXT-X-ENDLIST\n' >www/v.m3u8
cat >serve.py <<'P'
import functools, http.server
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="www")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_address[1], file=open("port", "w"), flush=True)
server.serve_forever()
P
python3 serve.py 2>access.log & server=$!
until [ -s port ]; do sleep 0.1; done
status=0
timeout 120 venv/bin/streamlink "hls://http://127.0.0.1:$(cat port)/v.m3u8" best -O >out.ts 2>said || status=$?
cat said | tail -3
asked=$(grep -c 'GET /1.ts' access.log || true) bytes=$(stat -c %s out.ts)
echo "streamlink 8.6.3: the gap was asked for $asked times, exit status $status, $bytes bytes written"
[ "$asked" = 4 ] && [ $status = 0 ] && [ "$bytes" = 376000 ] && echo "as described" || { echo changed && exit 1; }
