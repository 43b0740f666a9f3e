"""Ladder: CPU and PSNR of 3840x1920 -> 1920/960/480, Panocast against two ffmpeg commands at the same bitrates.

- "reference": one ffmpeg process that scales every rung from the 4K picture (what the replaced system runs);
- "cascade": the best command we know, each rung scaled from the next larger one.

Same decoder and encoder, forced keyframes every 2 s, same bitrates; the commands use the preset veryfast, we the one an
origin uses by default. PSNR of each rung is measured against
the source scaled with Lanczos to the rung's size. A rung's CPU counts only if its PSNR is equal within 0.1 dB; the
difference is printed with the ratio.
"""

import json
import pathlib
import re
import resource
import subprocess

from peers import folder

RUNGS = [(1920, 960, 5800), (960, 480, 2300), (480, 240, 500)]
SECONDS = 20
RATE = 30
#: Of the commands.
PRESET = "veryfast"
ROUNDS = 3


def source_file(cache: pathlib.Path) -> pathlib.Path:
    """20 s of moving, detailed 3840x1920 at 30 fps: made once, kept in the cache folder."""
    path = cache / "ladder-4k.mp4"
    if not path.exists():
        print("making the ladder's 4K source file (once)", flush=True)
        picture = ("mandelbrot=s=1920x960:r=30:maxiter=512:end_scale=0.05,scale=3840:1920:flags=bilinear,"
                   "noise=alls=6:allf=t,format=yuv420p")
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-t", str(SECONDS), "-c:v",
                        "libx264", "-preset", "superfast", "-b:v", "16M", "-maxrate", "18M", "-bufsize", "32M", "-g",
                        "60", "-keyint_min", "60", "-sc_threshold", "0", "-bf", "2", "-f", "mp4",
                        str(path) + ".part"], check=True)
        pathlib.Path(str(path) + ".part").rename(path)
    return path


def timed(command: list[str]) -> tuple[float, str]:
    """CPU seconds of a finished child and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def encoder(label: str, kilobits: int, output: pathlib.Path) -> list[str]:
    return ["-map", label, "-c:v", "libx264", "-preset", PRESET, "-profile:v", "high", "-b:v", f"{kilobits}k",
            "-maxrate", f"{kilobits * 11 // 10}k", "-bufsize", f"{kilobits * 3 // 2}k", "-g", "9999", "-sc_threshold",
            "0", "-force_key_frames", "expr:gte(t,n_forced*2)", "-f", "mp4", str(output)]


def reference(source: pathlib.Path, root: pathlib.Path) -> list[str]:
    graph = "[0:v]split=3[a][b][c];" + ";".join(
        f"[{pad}]scale={w}:{h}[o{pad}]" for pad, (w, h, _) in zip("abc", RUNGS))
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-filter_complex", graph]
    for pad, (width, _, kilobits) in zip("abc", RUNGS):
        command += encoder(f"[o{pad}]", kilobits, root / f"reference-{width}.mp4")
    return command


def cascade(source: pathlib.Path, root: pathlib.Path) -> list[str]:
    graph = ("[0:v]scale=1920:960:flags=bicubic,split=2[o0][x];[x]scale=960:480:flags=bicubic,split=2[o1][y];"
             "[y]scale=480:240:flags=bicubic[o2]")
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-filter_complex", graph]
    for index, (width, _, kilobits) in enumerate(RUNGS):
        command += encoder(f"[o{index}]", kilobits, root / f"cascade-{width}.mp4")
    return command


def psnr(rung: pathlib.Path, source: pathlib.Path, width: int, height: int) -> float:
    """Picture by picture: a bare bitstream has no times, so both get the same ones, in whole ticks."""
    count = f"settb=1/{RATE},setpts=N"
    graph = f"[0:v]{count}[a];[1:v]{count},scale={width}:{height}:flags=lanczos[b];[a][b]psnr=shortest=1"
    done = subprocess.run(["ffmpeg", "-v", "info", "-i", str(rung), "-i", str(source), "-filter_complex", graph, "-f",
                           "null", "-"], capture_output=True, text=True, check=True)
    frames = int(re.findall(r"frame=\s*(\d+)", done.stderr)[-1])
    if frames != SECONDS * RATE:
        raise SystemExit(f"{rung.name} has {frames} frames, not {SECONDS * RATE}")
    return float(re.search(r"PSNR.*average:([0-9.]+)", done.stderr).group(1))


def kilobits(path: pathlib.Path) -> float:
    return path.stat().st_size * 8 / 1000 / SECONDS


def run(binaries: pathlib.Path, cache: pathlib.Path) -> list[dict]:
    source = source_file(cache)
    with folder() as root:
        bench = binaries / "examples" / "ladder_bench"
        ours_command = [str(bench), str(source), str(root)]
        ours_command += [f"{width}:{rate}" for width, _, rate in RUNGS]
        cpu = {"ours": [], "reference": [], "cascade": []}
        for _ in range(ROUNDS):
            seconds, said = timed(ours_command)
            cpu["ours"].append(seconds)
            cpu["reference"].append(timed(reference(source, root))[0])
            cpu["cascade"].append(timed(cascade(source, root))[0])
        median = {name: sorted(values)[ROUNDS // 2] for name, values in cpu.items()}
        for (width, _, _), name in zip(RUNGS, json.loads(said)["rungs"], strict=True):
            (root / f"{name}.h264").rename(root / f"ours-{width}.mp4")
        quality = {}
        for width, height, _ in RUNGS:
            for name in cpu:
                path = root / f"{name}-{width}.mp4"
                quality[name, width] = psnr(path, source, width, height)
                print(f"  {name:10} {width:5} px  {quality[name, width]:.2f} dB  {kilobits(path):.0f} kb/s", flush=True)
    rows = []
    for peer, budget in (("reference", "<= 0.75"), ("cascade", "<= 1.05")):
        worst = min(quality["ours", width] - quality[peer, width] for width, _, _ in RUNGS)
        rows.append({
            "what": f"ladder 3840x1920 -> 1920/960/480: CPU (worst rung {worst:+.2f} dB)",
            "ours": f"{median['ours']:.1f} CPU-s per {SECONDS} s",
            "peer": f"ffmpeg {peer} {median[peer]:.1f} CPU-s",
            "ratio": median["ours"] / median[peer],
            "budget": budget,
        })
    return rows
