#!/usr/bin/env bash
# Python's m3u8 6.0.0 (PyPI): a multivariant playlist that goes through loads() and dumps() comes out with
# REQ-VIDEO-LAYOUT under another name and with its quotes doubled:
#   in   REQ-VIDEO-LAYOUT="CH-STEREO/PROJ-HEQU"
#   out  REQ-VIDEO_LAYOUT=""CH-STEREO/PROJ-HEQU""
# Neither the name nor the value is legal then (RFC 8216 4.2), and a headset no longer learns that the picture is spherical.
# For users: do not rewrite a 360° multivariant playlist with it. Panocast's own tools never do.
set -euo pipefail
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check m3u8==6.0.0
cat >"$work/in.m3u8" <<'M'
#EXTM3U
#EXT-X-VERSION:12
#EXT-X-STREAM-INF:BANDWIDTH=1000000,CODECS="avc1.640028",RESOLUTION=1920x960,REQ-VIDEO-LAYOUT="CH-STEREO/PROJ-HEQU"
v.m3u8
M
"$work/venv/bin/python" - "$work/in.m3u8" <<'P' | tee "$work/out.m3u8"
import sys
import m3u8
print(m3u8.loads(open(sys.argv[1]).read()).dumps())
P
if grep -qF 'REQ-VIDEO_LAYOUT=""CH-STEREO/PROJ-HEQU""' "$work/out.m3u8" && ! grep -q 'REQ-VIDEO-LAYOUT' "$work/out.m3u8"; then
    echo "as described: m3u8 6.0.0 writes REQ-VIDEO_LAYOUT with doubled quotes"
else
    echo "changed: m3u8 no longer does that" && exit 1
fi
