"""Blocked playlist requests: how soon after a part thousands of waiting viewers are answered, and what each one costs.

    python bench/blocked.py [FOLDER WITH THE PROGRAMS]      alone; bench/run.py calls run()

5,000 viewers on connections of their own ask for a part that is still to come, as low-latency players do after each part.
The kernel stamps each answer when it arrives (SO_TIMESTAMPNS), so the times are the server's and do not depend on how fast
this program reads them; it sleeps while the server answers. A round's zero is its first answer. Memory is the server's
resident set: what one more waiting request adds to a connection that is open already, and beside it the two together.
Measured on the origin alone and on an edge in front of it, everything on two cores.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import socket
import struct
import subprocess
import sys
import time
import urllib.request

from peers import Ours, folder, panocast_edge, panocast_origin, publisher

WAITERS = 5_000
ROUNDS = 12
BUDGET_MS = 50
BUDGET_KIB = 8
#: Parts ahead of the newest that viewers ask for: two seconds for this program to send everybody's request.
AHEAD = 4
SO_TIMESTAMPNS = 35
STREAM = "/hls/bench/source"


def clip(cache: pathlib.Path) -> pathlib.Path:
    """A small picture at 25 a second: the work shall be the viewers, not the media."""
    path = cache / "small.flv"
    if not path.exists():
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x160:r=25", "-f", "lavfi",
             "-i", "sine=f=440:r=48000", "-t", "20", "-c:v", "libx264", "-preset", "superfast", "-g", "50",
             "-keyint_min", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", "-f", "flv",
             str(path) + ".part"], check=True)
        pathlib.Path(str(path) + ".part").rename(path)
    return path


def resident_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def until(what: str, probe, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if (found := probe()) is not None:
                return found
        time.sleep(0.05)
    raise SystemExit(f"waited {seconds} s in vain until {what}")


class Viewer:
    """One connection, as a browser keeps it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.host = f"127.0.0.1:{port}"

    def ask(self, path: str) -> None:
        head = (f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36\r\n"
                "Origin: http://player.example\r\nReferer: http://player.example/\r\n\r\n")
        self.socket.sendall(head.encode())

    def answered(self) -> tuple[bytes, int]:
        """The status line and when it arrived, in ns since 1970; reads the whole answer."""
        data, ancillary, _, _ = self.socket.recvmsg(64 << 10, 64)
        at = next((s * 10**9 + ns for level, kind, value in ancillary if (level, kind) == (1, SO_TIMESTAMPNS)
                   for s, ns in [struct.unpack("qq", value)]), None)
        if at is None:
            raise SystemExit("the kernel stamped no answer: this bench needs SO_TIMESTAMPNS")
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        while len(body) < length:
            body += self.socket.recv(64 << 10)
        return head.split(b"\r\n", 1)[0], at


def next_part(port: int) -> tuple[int, int]:
    """The part that the newest playlist hints at."""
    hint = re.search(r'TYPE=PART,URI="[^/]+/(\d+)\.(\d+)\.m4s"', text(f"http://127.0.0.1:{port}{STREAM}/index.m3u8"))
    return int(hint[1]), int(hint[2])


def coming(port: int) -> tuple[int, int]:
    """A part some way ahead, early in a segment: segments have four parts here."""
    def probe():
        msn, part = next_part(port)
        return (msn + 1, part) if part < 2 else None
    return until("a segment begins", probe)


def gauge(url: str, name: str) -> float:
    return float(re.search(rf"^{name} (\S+)$", text(url), re.M)[1])


def measure(server: Ours, waiting: str) -> dict:
    """`waiting`: the gauge of requests that wait."""
    pid, port, metrics = server.child.pid, server.http, f"http://127.0.0.1:{server.admin}/metrics"
    until("the playlist is there", lambda: next_part(port))
    before = resident_kib(pid)
    viewers = []
    for _ in range(WAITERS):
        viewer = Viewer(port)
        viewer.ask(f"{STREAM}/index.m3u8")
        viewer.answered()
        viewers.append(viewer)
    idle = resident_kib(pid)
    times_ms, blocked = [], []
    for _ in range(ROUNDS):
        msn, part = coming(port)
        for viewer in viewers:
            viewer.ask(f"{STREAM}/index.m3u8?_HLS_msn={msn}&_HLS_part={part}")
        asked = time.time_ns()
        until("everybody waits", lambda: gauge(metrics, waiting) >= WAITERS or None, 5)
        blocked.append(resident_kib(pid))
        # Nobody reads while the server answers: on two cores a reader would take time from it.
        until("nobody waits", lambda: gauge(metrics, waiting) < WAITERS or None, 10)
        time.sleep(0.5)
        answers = [viewer.answered() for viewer in viewers]
        wrong = collections.Counter(status for status, _ in answers if b" 200 " not in status)
        if wrong:
            raise SystemExit(f"not all waiting viewers got their playlist: {wrong}")
        first = min(at for _, at in answers)
        if first < asked:
            raise SystemExit("the part came before everybody had asked for it: the machine is too busy to measure")
        times_ms += [(at - first) / 1e6 for _, at in answers]
    times_ms.sort()
    return {
        "p50_ms": times_ms[len(times_ms) // 2],
        "p99_ms": times_ms[len(times_ms) * 99 // 100],
        "max_ms": times_ms[-1],
        "viewer_kib": (max(blocked) - before) / WAITERS,
        "waiting_kib": (max(blocked) - idle) / WAITERS,
    }


def run(binaries: pathlib.Path, cache: pathlib.Path) -> list[dict]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(folder())
        quiet = '[log]\nlevel = "error"'
        origin = stack.enter_context(panocast_origin(binaries / "panocast-origin", root, quiet))
        stack.enter_context(publisher(clip(cache), origin.rtmp, "bench"))
        edge = stack.enter_context(panocast_edge(binaries / "panocast-edge", root, origin.http))
        for name, server, waiting in (("origin", origin, "origin_blocked_requests"), ("edge", edge, "edge_waiting_requests")):
            load = os.getloadavg()[0]
            found = measure(server, waiting)
            print(f"blocked, {name}, load {load:.1f} at the start: {json.dumps(found)}", flush=True)
            what = f"{WAITERS} blocked playlist requests on the {name}"
            rows += [
                {"what": f"{what}: p99 after the part", "ours": f"{found['p99_ms']:.1f} ms",
                 "peer": f"budget {BUDGET_MS} ms", "ratio": found["p99_ms"] / BUDGET_MS, "budget": "<= 1.0"},
                {"what": f"{what}: memory of one that waits",
                 "ours": f"{found['waiting_kib']:.1f} KiB (with its connection {found['viewer_kib']:.1f} KiB)",
                 "peer": f"budget {BUDGET_KIB} KiB", "ratio": found["waiting_kib"] / BUDGET_KIB, "budget": "<= 1.0"},
            ]
    return rows


if __name__ == "__main__":
    target = os.environ.get("CARGO_TARGET_DIR", str(pathlib.Path.home() / ".cache/panocast/target"))
    programs = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(target) / "release"
    kept = pathlib.Path.home() / ".cache/panocast/bench"
    kept.mkdir(parents=True, exist_ok=True)
    for line in run(programs, kept):
        print(line)
