"""Ingest and package: CPU of four 16 Mb/s 4K publishers, Panocast pass-through against nginx-rtmp making 2 s TS HLS.

Both servers take the same bytes at the same time from the same kind of publisher (`ffmpeg -re -c copy`), so whatever
else the machine does weighs on both alike. CPU is the servers' own (user + system, whole process tree), from the kernel.
"""

import contextlib
import pathlib
import subprocess
import time

from peers import cpu_seconds, folder, nginx_rtmp, panocast_origin, publisher

STREAMS = 4
WARM_UP_SECONDS = 8
MEASURE_SECONDS = 30


def source_file(cache: pathlib.Path) -> pathlib.Path:
    """20 s of 3840x1920 at 16 Mb/s with AAC, GOP 2 s: made once, kept in the cache folder."""
    path = cache / "4k-16m.flv"
    if not path.exists():
        print("making the 4K source file (once)", flush=True)
        rate = ["-b:v", "16M", "-minrate", "16M", "-maxrate", "16M", "-bufsize", "16M", "-x264-params", "nal-hrd=cbr"]
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=3840x1920:r=30", "-f", "lavfi",
             "-i", "sine=f=440:r=48000", "-t", "20", "-c:v", "libx264", "-preset", "superfast", "-g", "60",
             "-keyint_min", "60", "-sc_threshold", "0", "-bf", "2", *rate, "-pix_fmt", "yuv420p", "-c:a", "aac",
             "-b:a", "128k", "-f", "flv", str(path) + ".part"], check=True)
        pathlib.Path(str(path) + ".part").rename(path)
    return path


def run(binaries: pathlib.Path, cache: pathlib.Path) -> dict:
    source = source_file(cache)
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(folder())
        peer, peer_rtmp, _ = stack.enter_context(nginx_rtmp(root))
        ours = stack.enter_context(panocast_origin(binaries / "panocast-origin", root))
        for port in (ours.rtmp, peer_rtmp):
            for index in range(STREAMS):
                stack.enter_context(publisher(source, port, f"bench{index}"))
        time.sleep(WARM_UP_SECONDS)
        before = cpu_seconds(ours.child.pid), cpu_seconds(peer.pid)
        time.sleep(MEASURE_SECONDS)
        after = cpu_seconds(ours.child.pid), cpu_seconds(peer.pid)
        listing = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{ours.http}/hls/bench0/source/index.m3u8"],
                                 capture_output=True, text=True)
        if "#EXTINF" not in listing.stdout:
            raise SystemExit("the origin served no playlist during the ingest bench")
    ours_share, peer_share = ((a - b) / MEASURE_SECONDS * 100 for a, b in zip(after, before))
    return {
        "what": f"ingest + package, {STREAMS} x 16 Mb/s 4K pass-through: CPU",
        "ours": f"{ours_share:.2f} % of a core",
        "peer": f"nginx-rtmp {peer_share:.2f} %",
        "ratio": ours_share / peer_share,
        "budget": "<= 0.75",
    }
