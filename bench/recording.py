"""Recording: what it adds to the CPU of four 16 Mb/s 4K publishers that are passed through.

Two origins take the same bytes at the same time from the same kind of publisher (`ffmpeg -re -c copy`); one of them
records into a folder. CPU is each origin's own (user + system), from the kernel; the recording one's includes its disk
writes as far as the kernel charges them to it.
"""

import contextlib
import pathlib
import time

from ingest import STREAMS, WARM_UP_SECONDS, source_file
from peers import cpu_seconds, folder, panocast_origin, publisher, recording_tables

MEASURE_SECONDS = 60


def recorded_bytes(root: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and "state" not in path.parts)


def run(binaries: pathlib.Path, cache: pathlib.Path) -> dict:
    source = source_file(cache)
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(folder())
        sides = []
        for name, record in (("recording", True), ("plain", False)):
            side = root / name
            side.mkdir()
            sides.append(stack.enter_context(
                panocast_origin(binaries / "panocast-origin", side, recording_tables(side), record)))
        for origin in sides:
            for index in range(STREAMS):
                stack.enter_context(publisher(source, origin.rtmp, f"bench{index}"))
        time.sleep(WARM_UP_SECONDS)
        before = [cpu_seconds(origin.child.pid) for origin in sides]
        time.sleep(MEASURE_SECONDS)
        after = [cpu_seconds(origin.child.pid) for origin in sides]
        wanted = STREAMS * 16e6 / 8 * MEASURE_SECONDS
        if recorded_bytes(root / "recording") < wanted * 0.9:
            raise SystemExit("the recording origin did not record everything during the recording bench")
    recording, plain = ((a - b) / MEASURE_SECONDS * 100 for a, b in zip(after, before))
    return {
        "what": f"recording {STREAMS} x 16 Mb/s 4K beside pass-through: CPU",
        "ours": f"{recording:.2f} % of a core",
        "peer": f"without recording {plain:.2f} %",
        "ratio": recording / plain,
        "budget": "<= 1.10",
    }
