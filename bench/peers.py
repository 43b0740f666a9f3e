"""Starts our servers and those that they are compared with, and measures the CPU of any process tree.

Everything listens on 127.0.0.1 on free ports, is bounded in time by its caller, and ends by its own process id.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        todo += children.get(current, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process tree so far."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def wait_for_port(port: int, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on 127.0.0.1:{port} after {seconds} s")


@contextlib.contextmanager
def process(*command: str, **options):
    """A child that is ended by its own process id, with everything it started."""
    child = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.contextmanager
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="panocast-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def nginx_module(name: str) -> str:
    for root in ("/usr/lib/nginx/modules", "/usr/share/nginx/modules"):
        path = pathlib.Path(root) / name
        if path.exists():
            return str(path)
    raise SystemExit(f"cannot find nginx module {name}: install libnginx-mod-rtmp")


@contextlib.contextmanager
def nginx_rtmp(root: pathlib.Path):
    """nginx with libnginx-mod-rtmp making 2 s TS HLS: yields (process, RTMP port, HTTP port)."""
    rtmp, http = free_port(), free_port()
    (root / "hls").mkdir()
    config = root / "nginx.conf"
    config.write_text(f"""
load_module {nginx_module("ngx_rtmp_module.so")};
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log warn; user root;
events {{ worker_connections 1024; }}
rtmp {{ server {{ listen 127.0.0.1:{rtmp}; chunk_size 4096;
  application live {{ live on; hls on; hls_path {root}/hls; hls_fragment 2s; hls_playlist_length 60s; }} }} }}
http {{ access_log off; server {{ listen 127.0.0.1:{http}; root {root};
  location /hls {{ types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }} }} }} }}
""")
    with process("nginx", "-c", str(config), "-p", str(root)) as child:
        wait_for_port(rtmp)
        yield child, rtmp, http


class Ours(NamedTuple):
    """A running program of ours; `rtmp` is an origin's."""

    child: subprocess.Popen
    http: int
    admin: int
    rtmp: int = 0


@contextlib.contextmanager
def panocast_origin(binary: pathlib.Path, root: pathlib.Path, tables: str = "", record: bool = False):
    """An origin that passes through, its state in `root`; `tables` follow `[origin]` in its config."""
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
{tables}
""")
    with process(str(binary), "--config", str(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        wait_for_port(rtmp)
        yield Ours(child, http, admin, rtmp)


def recording_tables(root: pathlib.Path) -> str:
    """Where an origin that records keeps what, all in `root`."""
    return f"""
[origin.recorder]
spool = "{root}/spool"
[store]
ingest = "file://{root}/ingest"
[jobs]
queue = "sqlite://{root}/jobs"
"""


@contextlib.contextmanager
def panocast_edge(binary: pathlib.Path, root: pathlib.Path, upstream: int, prefix: tuple[str, ...] = ()):
    """An edge before the origin on port `upstream`; `prefix` comes before its command."""
    http, admin = free_port(), free_port()
    config = root / "edge.toml"
    config.write_text(f"""
[edge]
listen = "127.0.0.1:{http}"
admin_listen = "127.0.0.1:{admin}"
origins = ["http://127.0.0.1:{upstream}"]
[store]
egress = "file://{root}/egress"
[log]
level = "error"
""")
    with process(*prefix, str(binary), "--config", str(config)) as child:
        wait_for_port(http)
        yield Ours(child, http, admin)


def publisher(source: pathlib.Path, rtmp: int, stream: str):
    """Publishes a file in real time, over and over, as it is: a context."""
    return process("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(source), "-c", "copy", "-f", "flv",
                   f"rtmp://127.0.0.1:{rtmp}/live/{stream}")
