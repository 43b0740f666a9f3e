"""Edge cache hits: requests per second, CPU per gigabit and p99 of one core, against nginx proxy_cache and Varnish.

All three cache the same two objects (a 4 KiB playlist, a 1 MiB segment) of the same origin, are pinned to one core with
the load generator (wrk) on another, and take turns in short rounds, so that whatever else the machine does weighs on all
alike; the median round counts. CPU is the server's own (user + system, whole process tree), from the kernel. The herd rows
count what an origin sees when viewers ask for a new segment at once; nginx once with its lock and once as it is by default.
"""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import threading
import urllib.request

from peers import cpu_seconds, folder, free_port, panocast_edge, process, wait_for_port

ROUNDS = 9
SECONDS = 2
CONNECTIONS = 64
HERD = 500
OBJECTS = {"4 KiB": "/hls/bench/source/index.m3u8", "1 MiB": "/hls/bench/source/e1/1.m4s"}


def playlist() -> str:
    """4 KiB that every cache takes for a finished playlist, so that nobody fetches it again."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:1"]
    while len("\n".join(lines)) < 4050:
        lines += ["#EXTINF:2.00000,", f"e1/{len(lines)}.m4s"]
    return "\n".join([*lines, "#EXT-X-ENDLIST"]).ljust(4096, "\n")


@contextlib.contextmanager
def origin(root: pathlib.Path):
    """nginx with the objects as files; its log counts requests."""
    port = free_port()
    site = root / "site"
    for path, body in ((OBJECTS["4 KiB"], playlist().encode()), (OBJECTS["1 MiB"], bytes(1 << 20))):
        file = site / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    for index in range(2, 9):
        (site / f"hls/bench/source/e1/{index}.m4s").write_bytes(bytes(1 << 20))
    config = root / "origin.conf"
    config.write_text(f"""
daemon off; worker_processes 1; pid {root}/origin.pid; error_log {root}/origin-error.log warn; user root;
events {{ worker_connections 4096; }}
http {{ log_format plain "$request_uri"; access_log {root}/origin.log plain; keepalive_timeout 300s;
  server {{ listen 127.0.0.1:{port}; root {site}; types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s; }}
    add_header Cache-Control "public, max-age=3600"; }} }}
""")
    with process("nginx", "-c", str(config), "-p", str(root)) as child:
        wait_for_port(port)
        yield child, port


@contextlib.contextmanager
def nginx_cache(root: pathlib.Path, upstream: int, lock: str = "on"):
    """proxy_cache in memory, as a streaming operator sets it: lock on, sendfile on, no access log."""
    http = free_port()
    cache = pathlib.Path("/dev/shm") / f"{root.name}-{lock}"
    config = root / f"cache-{lock}.conf"
    config.write_text(f"""
daemon off; worker_processes 1; pid {root}/cache-{lock}.pid; error_log {root}/cache-error.log warn; user root;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_timeout 300s; keepalive_requests 1000000;
  open_file_cache max=1000 inactive=60s;
  proxy_cache_path {cache} levels=1:2 keys_zone=hls:10m max_size=1g inactive=1h use_temp_path=off;
  upstream origin {{ server 127.0.0.1:{upstream}; keepalive 32; }}
  server {{ listen 127.0.0.1:{http} backlog=4096; location / {{ proxy_pass http://origin; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_cache hls; proxy_cache_lock {lock}; proxy_cache_valid 200 1h;
    add_header X-Cache $upstream_cache_status; }} }} }}
""")
    with process("taskset", "-c", "0", "nginx", "-c", str(config), "-p", str(root)) as child:
        wait_for_port(http)
        try:
            yield child, http
        finally:
            subprocess.run(["rm", "-rf", str(cache)], check=False)


@contextlib.contextmanager
def varnish(root: pathlib.Path, upstream: int):
    http = free_port()
    with process("taskset", "-c", "0", "varnishd", "-F", "-n", str(root / "varnish"), "-a", f"127.0.0.1:{http}",
                 "-b", f"127.0.0.1:{upstream}", "-s", "malloc,512m", "-p", "thread_pools=1",
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        wait_for_port(http)
        yield child, http


def load(child, port: int, path: str) -> dict:
    before = cpu_seconds(child.pid)
    text = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "30s", "--latency",
         f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    cpu = cpu_seconds(child.pid) - before
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"errors under load:\n{text}")
    count = int(re.search(r"(\d+) requests in", text)[1])
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    p99_ms = float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), "cpu": cpu / count, "p99": p99_ms}


def get(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return len(answer.read())


def herd(port: int, path: str) -> None:
    """Everybody asks for what nobody has asked for before."""
    barrier = threading.Barrier(HERD)

    def viewer():
        barrier.wait()
        assert get(port, path) == 1 << 20

    threads = [threading.Thread(target=viewer) for _ in range(HERD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def row(what: str, ours: str, peer: str, ratio: float, budget: str) -> dict:
    return {"what": what, "ours": ours, "peer": peer, "ratio": ratio, "budget": budget}


def rows_of(size: str, bits: int, name: str, ours: list[dict], theirs: list[dict]) -> list[dict]:
    def median(rounds, key):
        return statistics.median(round_[key] for round_ in rounds)

    def ms_per_gigabit(rounds):
        return median(rounds, "cpu") * 1e3 / (bits / 1e9)

    # Rounds next to each other saw the same machine: the ratio is taken within each, then its median.
    rate = statistics.median(a["rate"] / b["rate"] for a, b in zip(ours, theirs, strict=True))
    cpu = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(ours, theirs, strict=True))
    p99 = statistics.median(a["p99"] / b["p99"] for a, b in zip(ours, theirs, strict=True))
    return [
        row(f"edge hit {size}, requests/s, one core", f"{median(ours, 'rate'):.0f}",
            f"{name} {median(theirs, 'rate'):.0f}", rate, ">= 1.0"),
        row(f"edge hit {size}, CPU per Gb", f"{ms_per_gigabit(ours):.1f} ms",
            f"{name} {ms_per_gigabit(theirs):.1f} ms", cpu, "<= 1.0"),
        row(f"edge hit {size}, p99", f"{median(ours, 'p99'):.2f} ms", f"{name} {median(theirs, 'p99'):.2f} ms",
            p99, "<= 1.0"),
    ]


def run(binaries: pathlib.Path, cache: pathlib.Path) -> list[dict]:
    rows = []
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}", flush=True)
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(folder())
        _, upstream = stack.enter_context(origin(root))
        ours = stack.enter_context(panocast_edge(binaries / "panocast-edge", root, upstream, ("taskset", "-c", "0")))
        servers = {
            "panocast": (ours.child, ours.http),
            "nginx": stack.enter_context(nginx_cache(root, upstream)),
            "varnish": stack.enter_context(varnish(root, upstream)),
        }
        for size, path in OBJECTS.items():
            bits = 8 * get(upstream, path)
            results = {name: [] for name in servers}
            for name, (child, port) in servers.items():
                get(port, path)
                load(child, port, path)  # warm
            for _ in range(ROUNDS):
                for name, (child, port) in servers.items():
                    results[name].append(load(child, port, path))
            for peer in ("nginx", "varnish"):
                rows += rows_of(size, bits, peer, results["panocast"], results[peer])
        servers["nginx, no lock"] = stack.enter_context(nginx_cache(root, upstream, "off"))
        seen = {}
        for index, (name, (_, port)) in enumerate(servers.items()):
            path = f"/hls/bench/source/e1/{index + 2}.m4s"
            herd(port, path)
            seen[name] = (root / "origin.log").read_text().split().count(path)
        for peer in ("nginx", "nginx, no lock", "varnish"):
            rows.append(row(f"upstream fetches of {HERD} viewers at once", str(seen["panocast"]),
                            f"{peer} {seen[peer]}", seen["panocast"] / max(seen[peer], 1), "<= 1.0"))
    return rows
