"""What a current FFmpeg makes of files: `side_data.py FILE …` prints one JSON object per file.

Debian's FFmpeg is older than its reader of Apple's boxes, so this one comes with the `av` package, whose own interface
leaves these facts out: its libraries are asked directly for the text that `ffmpeg -i` prints.
"""

import ctypes
import json
import os
import pathlib
import re
import sys

import av


def library(name: str) -> ctypes.CDLL:
    folder = pathlib.Path(av.__file__).parent.parent / "av.libs"
    return ctypes.CDLL(str(next(folder.glob(f"{name}-*.so*"))))


FORMAT, UTIL = library("libavformat"), library("libavutil")
AV_LOG_INFO = 32


def dump(path: str) -> str:
    """The lines about one file, as FFmpeg writes them to its log."""
    context = ctypes.c_void_p()
    opened = FORMAT.avformat_open_input(ctypes.byref(context), path.encode(), None, None)
    if opened < 0:
        raise SystemExit(f"cannot open {path}: FFmpeg error {opened}")
    read_end, write_end = os.pipe()
    kept = os.dup(2)
    os.dup2(write_end, 2)
    try:
        FORMAT.av_dump_format(context, 0, path.encode(), 0)
    finally:
        os.dup2(kept, 2)
        os.close(write_end)
        FORMAT.avformat_close_input(ctypes.byref(context))
    with os.fdopen(read_end) as log:
        return log.read()


def facts(text: str) -> dict[str, str]:
    """`spherical`, `stereo3d` and what else stands under "Side data"."""
    return dict(re.findall(r"^\s{6,}(\w[\w ]*?): (.*\S)", text, re.MULTILINE))


if __name__ == "__main__":
    # The package sends the log elsewhere.
    UTIL.av_log_set_callback(UTIL.av_log_default_callback)
    UTIL.av_log_set_level(AV_LOG_INFO)
    for file in sys.argv[1:]:
        print(json.dumps({"file": file, **facts(dump(file))}))
