"""Starts the simulated AWS once, and makes a release of small stand-in packages for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import simulated
from moto.server import ThreadedMotoServer

DEPLOY = Path(__file__).resolve().parent.parent
VENV_BIN = Path(os.sys.executable).parent


@pytest.fixture(scope="session")
def aws():
    """A simulated AWS; yields the function that makes clients."""
    simulated.teach_moto()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    # moto reads nested templates only from a host called localhost.
    simulated.Endpoint.url = f"http://localhost:{port}"
    yield simulated.client
    server.stop()


@pytest.fixture(scope="session")
def environment(aws, tmp_path_factory):
    """What a person has set when they run deploy/up: account, region, the AWS CLI on the path."""
    home = tmp_path_factory.mktemp("home")
    return {
        "PATH": f"{VENV_BIN}:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "AWS_ENDPOINT_URL": simulated.Endpoint.url,
        "AWS_REGION": simulated.REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_PAGER": "",
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Packages built from /bin/true by deploy/package itself, and a stand-in for Amazon's agent."""
    folder = tmp_path_factory.mktemp("release")
    binaries = folder / "bin"
    binaries.mkdir()
    for role in ("origin", "edge", "transcoder", "test-source"):
        shutil.copy("/bin/true", binaries / f"panocast-{role}")
    player = folder / "player"
    player.mkdir()
    (player / "index.html").write_text("<!doctype html><title>Panocast</title>\n")
    subprocess.run(
        [DEPLOY / "package", "--binaries", binaries, "--player", player, "--out", folder / "out"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    [out] = (folder / "out").iterdir()
    shutil.copy(next(out.glob("panocast-edge_*.deb")), out / f"amazon-cloudwatch-agent_{out.name}.deb")
    return out


def run(environment, command, *arguments):
    """Runs deploy/<command>; the caller looks at the result."""
    return subprocess.run(
        [DEPLOY / command, *arguments], env=environment, text=True, capture_output=True, timeout=300, check=False
    )
