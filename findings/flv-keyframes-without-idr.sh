#!/usr/bin/env bash
# FFmpeg 5.1.9 (Debian 12) with libx264: with open GOP or intra refresh the FLV muxer flags a tag as a keyframe every GOP,
# but only the first of them holds an IDR picture (NAL unit type 5); the others hold a recovery point SEI and a type 1 slice.
# An ingest server that believes the flag cuts segments that no player can start with: HLS wants each segment that says so
# to begin with an IDR (RFC 8216 3.1, CMAF 7.5.2), and browsers refuse to append the first one.
# For users: turn open GOP and intra refresh off in the encoder; a server has to look into the slice, not at the flag.
set -euo pipefail
command -v ffmpeg >/dev/null || { echo "apt-get install ffmpeg (5.1.9 on Debian 12)" && exit 69; }
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
ffmpeg -version | head -1
make_one() { # NAME X264-PARAMETERS
    ffmpeg -v error -f lavfi -i testsrc2=s=320x160:r=30 -t 12 -c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv420p \
        -g 60 -x264-params "$2" "$work/$1.flv"
}
make_one open-gop open-gop=1:bframes=3:keyint=60:min-keyint=60:scenecut=0:b-adapt=0
make_one intra-refresh intra-refresh=1:keyint=60:bframes=0
python3 - "$work" <<'P'
import sys

ok = True
for name in ("open-gop", "intra-refresh"):
    data = open(f"{sys.argv[1]}/{name}.flv", "rb").read()
    at, flagged, idr, recovery = 13, 0, 0, 0
    while at + 11 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1:at + 4], "big")
        body = data[at + 11:at + 11 + size]
        at += size + 15
        if kind != 9 or body[0] >> 4 != 1 or body[1] != 1:
            continue
        flagged += 1
        types, p = [], 5
        while p + 4 < len(body):
            length = int.from_bytes(body[p:p + 4], "big")
            types.append(body[p + 4] & 31)
            p += 4 + length
        idr += 5 in types
        recovery += 5 not in types and 6 in types and 1 in types
    print(f"{name}: {flagged} tags flagged as keyframes, {idr} with an IDR, {recovery} with a recovery point instead")
    ok = ok and flagged >= 5 and idr == 1 and recovery == flagged - 1
print("as described" if ok else "changed")
sys.exit(not ok)
P
