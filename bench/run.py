"""Runs every comparison in one go on this machine and writes docs/ref/benchmarks.md.

    python bench/run.py [ingest ladder edge …]      without names: all

Each row is a ratio against a peer measured in the same run: absolute times say more about the machine than about us.
"""

import datetime
import os
import pathlib
import platform
import subprocess
import sys

import blocked
import edge
import ingest
import ladder
import recording
import vod

SUITES = {"ingest": ingest.run, "recording": recording.run, "ladder": ladder.run, "edge": edge.run, "blocked": blocked.run,
          "vod": vod.run}
ROOT = pathlib.Path(__file__).resolve().parent.parent


def machine() -> str:
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                 platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split()[2]
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, FFmpeg {version}"


def table(rows: list[dict]) -> str:
    lines = ["| what | ours | peer | ratio | budget | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        sign, bound = row["budget"].split()
        met = row["ratio"] <= float(bound) if sign == "<=" else row["ratio"] >= float(bound)
        lines.append(f"| {row['what']} | {row['ours']} | {row['peer']} | {row['ratio']:.2f} | {row['budget']} | "
                     f"{'yes' if met else 'no'} |")
    return "\n".join(lines)


def main() -> None:
    names = sys.argv[1:] or list(SUITES)
    target = os.environ.get("CARGO_TARGET_DIR", str(pathlib.Path.home() / ".cache/panocast/target"))
    cache = pathlib.Path(os.environ.get("PANOCAST_BENCH_CACHE", pathlib.Path.home() / ".cache/panocast/bench"))
    cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in names:
        print(f"bench: {name} …", flush=True)
        result = SUITES[name](pathlib.Path(target) / "release", cache)
        rows += result if isinstance(result, list) else [result]
        print(table(rows), flush=True)
    if names == list(SUITES):
        page = (ROOT / "docs/ref/benchmarks.md")
        page.write_text(f"""# Benchmarks

Written by `make bench` on {datetime.date.today().isoformat()}: {machine()}. Both sides of a row ran in the same run on the
same machine; a ratio is ours divided by the peer's. How each is measured is said at the top of its file in `bench/`.

{table(rows)}
""")
        print(f"written to {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
