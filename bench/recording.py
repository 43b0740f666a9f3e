"""Recording: what it adds to the CPU of four 16 Mb/s 4K publishers that are passed through.

Two origins take the same bytes at the same time from the same kind of publisher (`ffmpeg -re -c copy`); one of them
records into a folder. CPU is each origin's own (user + system), from the kernel; the recording one's includes its disk
writes as far as the kernel charges them to it.
"""

import contextlib
import pathlib
import subprocess
import time

from ingest import STREAMS, WARM_UP_SECONDS, source_file
from peers import cpu_seconds, folder, free_port, process, wait_for_port

MEASURE_SECONDS = 60


@contextlib.contextmanager
def origin(binary: pathlib.Path, root: pathlib.Path, record: bool):
    root.mkdir()
    rtmp, http, admin = free_port(), free_port(), free_port()
    config = root / "origin.toml"
    config.write_text(f"""
[origin]
rtmp_listen = "127.0.0.1:{rtmp}"
http_listen = "127.0.0.1:{http}"
admin_listen = "127.0.0.1:{admin}"
record = {"true" if record else "false"}
state = "{root}/state"
ladder = []
[origin.recorder]
spool = "{root}/spool"
[store]
ingest = "file://{root}/ingest"
[jobs]
queue = "sqlite://{root}/jobs"
""")
    with process(str(binary), "--config", str(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        wait_for_port(rtmp)
        yield child, rtmp


def recorded_bytes(root: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and "state" not in path.parts)


def run(binaries: pathlib.Path, cache: pathlib.Path) -> dict:
    source = source_file(cache)
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(folder())
        sides = [stack.enter_context(origin(binaries / "panocast-origin", root / name, record))
                 for name, record in (("recording", True), ("plain", False))]
        for _, port in sides:
            for index in range(STREAMS):
                stack.enter_context(process(
                    "ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(source), "-c", "copy", "-f", "flv",
                    f"rtmp://127.0.0.1:{port}/live/bench{index}"))
        time.sleep(WARM_UP_SECONDS)
        before = [cpu_seconds(child.pid) for child, _ in sides]
        time.sleep(MEASURE_SECONDS)
        after = [cpu_seconds(child.pid) for child, _ in sides]
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
