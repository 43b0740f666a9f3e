"""VOD: CPU and PSNR of a 4K recording's full ladder against the replaced system's script, and how two workers share one.

- "script": the replaced system's own two steps: one ffmpeg process that scales all eight rungs from the 4K picture and
  encodes them with the presets, profiles and bitrates it used, then one that cuts each into segments. What only that
  system's ffmpeg understood (`-async`, `-vsync -1`) is left out; it costs no time.
- Ours is `panocast vod` with the default ladder. Where the recording's own bytes are fit to be sent they are the top rung.

PSNR of each rung is measured against the source scaled with Lanczos to the rung's size, picture by picture. The budget
counts only if no rung of ours is worse by more than 0.1 dB; the smallest difference is printed with the ratio, and
docs/images/vod.svg shows them all. At 426 and 854 pixels the script fits the picture by a row of black, which costs it
several dB that say nothing of its encoder.

Two workers are counted by CPU, not by the clock: on a machine with few cores one worker already uses all of them.
"""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.request

from ladder import timed
from peers import cpu_seconds, folder, free_port, panocast_origin, process, recording_tables

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 10
# Width, height, video kb/s, profile, level, preset, audio kb/s: the script's eight rungs.
RUNGS = [
    (320, 180, 110, "baseline", "3.0", "veryfast", 64),
    (426, 240, 250, "baseline", "3.0", "veryfast", 64),
    (640, 360, 500, "baseline", "3.0", "veryfast", 96),
    (854, 480, 1080, "baseline", "3.0", "veryfast", 96),
    (1280, 720, 2136, "baseline", "3.1", "veryfast", 128),
    (1920, 1080, 3980, "main", "4.0", "veryfast", 128),
    (2560, 1440, 7952, "main", "4.1", "ultrafast", 192),
    (3840, 2160, 16450, "high", "5.1", "ultrafast", 320),
]
SHARED_SECONDS = 120
WORKERS_MAX_SECONDS = 1200


# Detailed video that moves as a camera's do; and some that are quickly made, where only the work matters.
DETAILED = ("mandelbrot=s=1920x1080:r=30:maxiter=512:end_scale=0.05,scale=3840:2160:flags=bilinear,"
            "noise=alls=6:allf=t,format=yuv420p")
QUICK = "testsrc2=s=1280x640:r=30,noise=alls=6:allf=t,format=yuv420p"


def made(cache: pathlib.Path, name: str, picture: str, seconds: int, rate: str) -> pathlib.Path:
    """A recording of a picture and a tone: made once, kept in the cache folder."""
    path = cache / name
    if not path.exists():
        print(f"making {name} (once)", flush=True)
        part = path.with_suffix(f".part{path.suffix}")
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i",
                        "sine=f=440:r=48000", "-t", str(seconds), "-c:v", "libx264", "-preset", "superfast", "-b:v", rate,
                        "-maxrate", rate, "-bufsize", rate, "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-bf",
                        "2", "-c:a", "aac", "-b:a", "128k", str(part)], check=True)
        part.rename(path)
    return path


def script(source: pathlib.Path, root: pathlib.Path) -> float:
    """CPU seconds of the script's encode and of its segmenting."""
    encode = ["ffmpeg", "-v", "error", "-y", "-i", str(source)]
    for width, height, rate, profile, level, preset, audio in RUNGS:
        factor = f"min({width}/iw\\,{height}/ih)"
        fit = (f"scale=iw*{factor}:ih*{factor},"
               f"pad={width}:{height}:({width}-iw*{factor})/2:({height}-ih*{factor})/2")
        encode += ["-movflags", "faststart", "-keyint_min", "30", "-x264opts", "keyint=30:min-keyint=30:no-scenecut", "-g",
                   "30", "-filter:v", fit, "-r:v", "30", "-s", f"{width}x{height}", "-b:v", f"{rate}k", "-c:v", "libx264",
                   "-pix_fmt", "yuv420p", "-profile:v", profile, "-level", level, "-preset", preset, "-c:a", "aac", "-ac",
                   "2", "-ar", "48000", "-b:a", f"{audio}k", str(root / f"script-{height}.mp4")]
    encode += ["-vn", "-c:a", "aac", "-ac", "2", "-ar", "48000", "-b:a", "64k", str(root / "script.aac")]
    seconds, _ = timed(encode)
    for name in [f"script-{height}.mp4" for _, height, *_ in RUNGS] + ["script.aac"]:
        stem = name.split(".")[0]
        annex_b = ["-bsf:v", "h264_mp4toannexb"] if name.endswith("mp4") else []
        seconds += timed(["ffmpeg", "-v", "error", "-y", "-i", str(root / name), "-codec", "copy", "-map", "0", "-f",
                          "segment", "-segment_list", str(root / f"{stem}-list.m3u8"), "-segment_time", "10", *annex_b,
                          str(root / f"{stem}-{'a' if not annex_b else 'v'}-%05d.ts")])[0]
    return seconds


def ours(binary: pathlib.Path, source: pathlib.Path, out: pathlib.Path) -> tuple[float, pathlib.Path]:
    """CPU seconds of `panocast vod`, and the asset's folder."""
    seconds, said = timed([str(binary), "vod", str(source), "--out", str(out)])
    return seconds, pathlib.Path(said.strip().splitlines()[-1]).parent


def psnr(rung: pathlib.Path, source: pathlib.Path, width: int, height: int) -> float:
    # Counted, not timed: times rounded in two time bases would pair a picture with its neighbour.
    graph = (f"[0:v]settb=1/30,setpts=N[a];[1:v]settb=1/30,setpts=N,scale={width}:{height}:flags=lanczos[r];[a][r]psnr")
    done = subprocess.run(["ffmpeg", "-v", "info", "-i", str(rung), "-i", str(source), "-filter_complex", graph, "-f",
                           "null", "-"], capture_output=True, text=True, check=True)
    return float(re.search(r"PSNR.*average:([0-9.]+|inf)", done.stderr).group(1))


def rate_of(path: pathlib.Path) -> float:
    """kb/s of a rung: a file, or the segments beside a playlist."""
    files = [path] if path.suffix == ".mp4" else path.parent.glob("*.m4s")
    return sum(file.stat().st_size for file in files) * 8 / 1000 / SECONDS


def ladder_row(binaries: pathlib.Path, source: pathlib.Path) -> dict:
    with folder() as root:
        theirs = script(source, root)
        cpu, asset = ours(binaries / "panocast", source, root / "ours")
        points = []
        for width, height, *_, audio in RUNGS:
            copy = asset / f"{height}p" / "index.m3u8"
            rung = copy if copy.exists() else asset / "source" / "index.m3u8"
            # Nothing was lost where the rung is the source.
            mine = None if rung.parent.name == "source" else psnr(rung, source, width, height)
            other = root / f"script-{height}.mp4"
            points.append({"width": width, "ours": mine, "script": psnr(other, source, width, height),
                           "ours_rate": rate_of(rung), "script_rate": rate_of(other) - audio})
            known = "own bytes" if mine is None else f"{mine:.2f} dB"
            print(f"  {width:5} px  ours {known} {rate_of(rung):.0f} kb/s   script "
                  f"{points[-1]['script']:.2f} dB {points[-1]['script_rate']:.0f} kb/s", flush=True)
    (ROOT / "docs/images/vod.svg").write_text(plot(cpu, theirs, points))
    worst = min(point["ours"] - point["script"] for point in points if point["ours"] is not None)
    return {
        "what": f"VOD of a 4K recording, full ladder: CPU (worst rung {worst:+.2f} dB)",
        "ours": f"{cpu:.1f} CPU-s per {SECONDS} s",
        "peer": f"the script {theirs:.1f} CPU-s",
        "ratio": cpu / theirs,
        "budget": "<= 0.70",
    }


def plot(cpu: float, theirs: float, points: list[dict]) -> str:
    """Left: CPU of both. Right: PSNR of every rung, with the bitrate each really used."""
    blue, grey = "#2563eb", "#9ca3af"
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 380" font-family="sans-serif" font-size="12" '
           'role="img" aria-label="CPU and PSNR of a 4K recording\'s ladder, Panocast and the replaced script">',
           '<rect width="880" height="380" fill="#fff"/>',
           f'<text x="20" y="28" font-size="15">CPU seconds for {SECONDS} s of 3840x2160</text>',
           '<text x="330" y="28" font-size="15">PSNR of each rung, dB, and its bitrate, kb/s</text>']
    for x, name, value, colour in ((60, "script", theirs, grey), (170, "Panocast", cpu, blue)):
        height = 260 * value / max(theirs, cpu)
        out.append(f'<rect x="{x}" y="{330 - height:.1f}" width="70" height="{height:.1f}" fill="{colour}"/>'
                   f'<text x="{x + 35}" y="{322 - height:.1f}" text-anchor="middle">{value:.0f}</text>'
                   f'<text x="{x + 35}" y="350" text-anchor="middle">{name}</text>')
    known = [point[side] for point in points for side in ("ours", "script") if point[side] is not None]
    low, high = min(known) - 1, max(known) + 1
    place = lambda index, value: (360 + index * 64, 330 - 260 * (value - low) / (high - low))
    for side, colour, below in (("script", grey, 16), ("ours", blue, -8)):
        spots = [(index, point) for index, point in enumerate(points) if point[side] is not None]
        line = " ".join("{:.1f},{:.1f}".format(*place(index, point[side])) for index, point in spots)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for index, point in spots:
            x, y = place(index, point[side])
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/><text x="{x:.1f}" y="{y + below:.1f}" '
                       f'font-size="10" fill="{colour}" text-anchor="middle">{point[side]:.1f} · {point[side + "_rate"]:.0f}</text>')
    for index, point in enumerate(points):
        out.append(f'<text x="{360 + index * 64}" y="350" text-anchor="middle">{point["width"]}</text>')
        if point["ours"] is None:
            out.append(f'<text x="{360 + index * 64}" y="60" fill="{blue}" text-anchor="middle">own bytes</text>')
    return "\n".join([*out, "</svg>", ""])


def recorded(binaries: pathlib.Path, source: pathlib.Path, root: pathlib.Path) -> None:
    """A real recording of `source` in root/ingest, and its event in root/jobs, made by the origin."""
    at_once = '[origin.publish]\nreconnect_window = "0s"\n'
    tables = at_once + recording_tables(root)
    with panocast_origin(binaries / "panocast-origin", root, tables, record=True) as origin:
        subprocess.run(["ffmpeg", "-v", "error", "-readrate", "20", "-i", str(source), "-c", "copy", "-f", "flv",
                        f"rtmp://127.0.0.1:{origin.rtmp}/live/bench"], check=True)
        wait(lambda: any((root / "ingest/recordings").rglob("*.mp4")) and not json.load(
            urllib.request.urlopen(f"http://127.0.0.1:{origin.admin}/api/recordings")), "the recording was not stored")


def wait(done, complaint: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(complaint)
        time.sleep(0.1)


def workers(binary: pathlib.Path, root: pathlib.Path, name: str, count: int) -> tuple[list[float], float]:
    """CPU seconds of each of `count` workers that make the asset together, and how long it took."""
    for path in root.glob("jobs*"):
        shutil.copy(path, root / path.name.replace("jobs", f"{name}-queue", 1))
    done = root / f"{name}/vod/index.json"
    with contextlib.ExitStack() as stack:
        began, children = time.monotonic(), []
        for index in range(count):
            config = root / f"{name}-{index}.toml"
            config.write_text(f"""
[transcoder]
admin_listen = "127.0.0.1:{free_port()}"
slots = 1
[store]
ingest = "file://{root}/ingest"
egress = "file://{root}/{name}"
[jobs]
queue = "sqlite://{root}/{name}-queue"
""")
            children.append(stack.enter_context(process(str(binary), "--config", str(config), stdout=subprocess.DEVNULL,
                                                        stderr=subprocess.DEVNULL)))
        wait(done.exists, "the workers did not finish", WORKERS_MAX_SECONDS)
        return [cpu_seconds(child.pid) for child in children], time.monotonic() - began


def sharing_row(binaries: pathlib.Path, source: pathlib.Path) -> dict:
    with folder() as root:
        recorded(binaries, source, root)
        worker = binaries / "panocast-transcoder"
        [alone], alone_seconds = workers(worker, root, "one", 1)
        both, both_seconds = workers(worker, root, "two", 2)
    print(f"  one worker {alone:.1f} CPU-s in {alone_seconds:.0f} s; two {both[0]:.1f} and {both[1]:.1f} CPU-s in "
          f"{both_seconds:.0f} s", flush=True)
    return {
        "what": "two workers on one asset: CPU of the busier one",
        "ours": f"{max(both):.1f} CPU-s",
        "peer": f"one worker alone {alone:.1f} CPU-s",
        "ratio": max(both) / alone,
        "budget": "<= 0.60",
    }


def run(binaries: pathlib.Path, cache: pathlib.Path) -> list[dict]:
    source = made(cache, f"vod-4k-{SECONDS}.mp4", DETAILED, SECONDS, "16M")
    shared = made(cache, f"vod-shared-{SHARED_SECONDS}.mp4", QUICK, SHARED_SECONDS, "3M")
    return [ladder_row(binaries, source), sharing_row(binaries, shared)]
