"""Units and packages: hardened, complete, reproducible, and refused when somebody changed them on the way."""

import json
import os
import re
import subprocess
import tomllib

import pytest
import templates
import yaml
from conftest import DEPLOY

UNITS = ("origin", "edge", "transcoder", "test-source", "panocast")
# Seconds within which a role is done with an interruption; systemd must wait longer.
DRAIN_SECONDS_MAX = 120


def output(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def unit(role):
    return output(DEPLOY / "systemd/unit", role)


@pytest.mark.parametrize("role", UNITS)
def test_units_are_valid_and_hardened(role, tmp_path):
    path = tmp_path / f"panocast-{role}.service"
    # The program is not installed here; all else is checked as it is.
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit(role), flags=re.M))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], text=True, capture_output=True, check=False
    )
    complaints = [line for line in checked.stderr.splitlines() if path.name in line]
    assert checked.returncode == 0 and not complaints, checked.stderr
    rating = output("systemd-analyze", "security", "--offline=yes", path)
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", rating)[1])
    assert exposure < 2, rating


@pytest.mark.parametrize("role", UNITS)
def test_units_tell_systemd_and_have_time_to_drain(role):
    text = unit(role)
    # Only what others connect to is ever "ready"; the test source would wait for its own word until systemd gives up.
    kind = "exec" if role == "test-source" else "notify"
    assert f"\nType={kind}\n" in text and "\nRestart=on-failure\n" in text
    stop = int(re.search(r"^TimeoutStopSec=(\d+)", text, re.M)[1])
    assert stop > DRAIN_SECONDS_MAX or role == "test-source"


def test_a_deadline_in_user_data_is_below_systemds():
    for role in templates.ROLES:
        for deadline in re.findall(r'deadline = "(\d+)s"', templates.user_data(role)):
            assert int(deadline) < DRAIN_SECONDS_MAX


def test_a_package_has_what_its_role_needs_and_nothing_of_the_others(release):
    contents = {}
    for role in ("origin", "edge", "transcoder", "test-source"):
        [path] = release.glob(f"panocast-{role}_*.deb")
        listing = output("dpkg-deb", "--contents", path)
        contents[role] = listing
        assert f"./usr/bin/panocast-{role}\n" in listing
        assert f"./usr/lib/systemd/system/panocast-{role}.service\n" in listing
        assert re.search(rf"-rw-r----- root/root .*\./etc/panocast/{role}\.toml\n", listing), "may hold secrets"
        assert f"/etc/panocast/{role}.toml" in output("dpkg-deb", "--info", path, "conffiles")
        depends = output("dpkg-deb", "--field", path, "Depends")
        assert "libc6" in depends and "systemd" in depends
    assert "/player/index.html" in contents["edge"] and "player" not in contents["origin"]
    sums = (release / "SHA256SUMS").read_text()
    assert len(sums.splitlines()) == 4


def test_an_edge_package_needs_no_ffmpeg(release):
    [path] = release.glob("panocast-edge_*.deb")
    assert "libav" not in output("dpkg-deb", "--field", path, "Depends")


def test_the_same_sources_give_the_same_bytes(release, tmp_path):
    binaries, player = release.parents[1] / "bin", release.parents[1] / "player"
    epoch = output("git", "-C", DEPLOY, "log", "-1", "--format=%ct").strip()
    sums = []
    for folder in ("one", "two"):
        subprocess.run(
            [DEPLOY / "package", "--binaries", binaries, "--player", player, "--out", tmp_path / folder, "edge"],
            env=os.environ | {"SOURCE_DATE_EPOCH": epoch},
            check=True,
            capture_output=True,
        )
        sums.append((next((tmp_path / folder).iterdir()) / "SHA256SUMS").read_text())
    assert sums[0] == sums[1]


class Node:
    """A machine at its first start: user data runs for real, with stand-ins for the programs that would change it."""

    def __init__(self, folder, release, role):
        self.folder = folder
        self.release = folder / "bucket"
        self.release.mkdir()
        for path in release.iterdir():
            (self.release / path.name).write_bytes(path.read_bytes())
        [package] = release.glob(f"panocast-{role}_*.deb")
        _, version, architecture = package.stem.split("_")
        text = re.sub(r"^\s+", "", templates.user_data(role), flags=re.M)
        names = {"ReleaseVersion": version, "Architecture": architecture, "Name": "panocast", "IsPrimary": "true"}
        names["ReleaseChecksum"] = self.seal()
        text = re.sub(r"\$\{([\w:]+)\}", lambda match: names.get(match[1], match[1].rsplit(":", 1)[-1]), text)
        text = text.replace("/etc/panocast", str(folder / "etc")).replace("/usr/lib/panocast", str(folder / "lib"))
        (folder / "user-data").write_text(text)
        (folder / "etc").mkdir()
        (folder / "lib" / role).mkdir(parents=True)
        self.program("bin/apt-get", 'echo "apt-get $*" >>"$LOG"')
        self.program("bin/cloud-init", "echo i-0123456789abcdef0")
        self.program(f"lib/{role}/start-node", 'echo "start $*" >>"$LOG"')
        self.program(
            "bin/aws",
            'echo "aws $*" >>"$LOG"\n'
            'case "$1 $2" in\n'
            '"s3 cp") shift 5; cp "$BUCKET/${1##*/}" "$2" ;;\n'
            '"ssm get-parameter") echo "value-of-${*##*/}" ;;\n'
            "esac",
        )

    def seal(self):
        """Writes SHA256SUMS as deploy/up does; its own checksum goes into the stack."""
        sums = output("sh", "-c", "sha256sum -- *.deb >SHA256SUMS && sha256sum SHA256SUMS", cwd=self.release)
        return sums.split()[0]

    def program(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def boot(self):
        log = self.folder / "log"
        environment = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "LOG": str(log),
            "BUCKET": str(self.release),
            "TMPDIR": str(self.folder),
        }
        result = subprocess.run(
            ["sh", self.folder / "user-data"], env=environment, text=True, capture_output=True, check=False
        )
        return result, log.read_text()


@pytest.mark.parametrize("role", templates.ROLES)
def test_a_node_installs_configures_and_starts(release, tmp_path, role):
    node = Node(tmp_path, release, role)
    result, log = node.boot()
    assert result.returncode == 0, result.stderr
    order = [line.split()[0] for line in log.splitlines() if "install -y ./" in line or line.startswith("start ")]
    assert order == ["apt-get", "start"], log
    config = (tmp_path / "etc" / f"{role}.toml").read_text()
    assert f"[{role}" in config
    if role == "origin":
        assert 'peer_secret = "value-of-peer-secret"' in config and '"*" = "value-of-publish-key"' in config
    if role != "transcoder":
        assert "--status SUCCESS" in log and "FAILURE" not in log


@pytest.mark.parametrize("role", templates.ROLES)
@pytest.mark.parametrize("attack", ["changed", "added", "relisted"])
def test_a_node_installs_nothing_that_was_not_released(release, tmp_path, role, attack):
    node = Node(tmp_path, release, role)
    [package] = node.release.glob(f"panocast-{role}_*.deb")
    if attack == "changed":
        package.write_bytes(package.read_bytes() + b"x")
    elif attack == "added":
        sums = node.release / "SHA256SUMS"
        kept = [line for line in sums.read_text().splitlines() if package.name not in line]
        sums.write_text("\n".join(kept) + "\n")
    else:
        package.write_bytes(package.read_bytes() + b"x")
        node.seal()
    result, log = node.boot()
    assert result.returncode != 0
    assert "./" not in log, "nothing was installed"
    if role != "transcoder":
        assert "--status FAILURE" in log, "CloudFormation hears at once"


def test_the_test_source_publishes_to_both_origins(tmp_path):
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\ncat "$2"\n')
    program.chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin",
        "PANOCAST_PROGRAM": str(program),
        "PANOCAST_TARGETS": "rtmp://10.20.0.4:1935/live/test rtmp://10.20.16.4:1935/live/test",
        "PANOCAST_PUBLISH_KEY": "secret",
    }
    config = tomllib.loads(output(DEPLOY / "containers/test-source-entry", env=environment))
    assert config["test-source"]["targets"] == [
        "rtmp://10.20.0.4:1935/live/test?key=secret",
        "rtmp://10.20.16.4:1935/live/test?key=secret",
    ]


def test_containers_run_the_packages():
    for role in ("origin", "edge", "transcoder", "test-source"):
        text = (DEPLOY / f"containers/{role}.Containerfile").read_text()
        assert f"panocast-{role}_*.deb" in text and "\nUSER panocast\n" in text


@pytest.mark.parametrize(("role", "port"), [("origin", 9090), ("edge", 9091), ("transcoder", 9092)])
def test_a_node_ships_logs_and_metrics_then_starts(release, tmp_path, role, port):
    [package] = release.glob(f"panocast-{role}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    for name in ("bin/systemctl", "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>"{tmp_path}/log"\n')
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "PANOCAST_ROOT": str(tmp_path)}
    start = tmp_path / f"usr/lib/panocast/{role}/start-node"
    subprocess.run([start, role, f"{role}-x", "/panocast/a", "a", "eu-central-1"], env=environment, check=True)
    agent = json.loads((tmp_path / "etc/panocast/agent.json").read_text())
    [file] = agent["logs"]["logs_collected"]["files"]["collect_list"]
    assert file["log_group_name"] == f"/panocast/a/{role}" and "@" not in json.dumps(agent)
    [scrape] = yaml.safe_load((tmp_path / "etc/panocast/prometheus.yaml").read_text())["scrape_configs"]
    [target] = scrape["static_configs"]
    assert target == {"targets": [f"127.0.0.1:{port}"], "labels": {"Deployment": "a", "Role": f"{role}-x"}}
    assert (tmp_path / "etc/panocast/environment").read_text() == "AWS_REGION=eu-central-1\n"
    log = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()]
    assert log == ["systemctl", "amazon-cloudwatch-agent-ctl", "systemctl"]
