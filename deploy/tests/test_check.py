"""deploy/check against sites that are as they should be, and against those that are not."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import DEPLOY

PAGE = "<!doctype html><title>Panocast</title>"
MULTIVARIANT = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\ntest/source/index.m3u8\n"


@pytest.fixture
def site():
    """A site whose answers a test writes: path to text, or to a list of texts that are given one after the other."""
    answers = {
        "/": PAGE,
        "/hls/test.m3u8": MULTIVARIANT,
        "/hls/test/source/index.m3u8": ["#EXTM3U\n#EXTINF:2,\ne/7.m4s\n", "#EXTM3U\n#EXTINF:2,\ne/8.m4s\n"],
        "/hls/test/source/e/8.m4s": "x" * 1234,
    }

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            text = answers.get(self.path)
            if isinstance(text, list):
                text = text.pop(0) if len(text) > 1 else text[0]
            self.send_response(404 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_):
            """A test has no use for it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answers, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def check(url):
    return subprocess.run(
        [DEPLOY / "check", "--site", url], text=True, capture_output=True, timeout=60, check=False
    )


def test_r16_the_test_pattern_is_fetched_down_to_a_segment(site):
    _, url = site
    done = check(url)
    assert done.returncode == 0, done.stderr
    assert f"{url}/?url=/hls/test.m3u8" in done.stdout and "1234 bytes" in done.stdout


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("/", None, "status 404"),
        ("/", "nginx", "something else answers"),
        ("/hls/test.m3u8", None, "no-ingest.md"),
        ("/hls/test.m3u8", "#EXTM3U\n", "lists no rendition"),
        ("/hls/test/source/e/8.m4s", None, "8.m4s: status 404"),
    ],
)
def test_r16_what_is_wrong_is_said(site, path, text, says):
    answers, url = site
    answers[path] = text
    done = check(url)
    assert done.returncode == 1 and says in done.stderr, done.stderr


def test_a_site_that_is_not_there_is_named():
    done = check("http://127.0.0.1:1")
    assert done.returncode == 1 and "cannot reach http://127.0.0.1:1/" in done.stderr
