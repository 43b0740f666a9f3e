"""The templates by themselves: lint, size, and what a person sees who gives a wrong parameter."""

import subprocess
from pathlib import Path

import pytest
import templates
from conftest import VENV_BIN

RIGHT = {
    "ReleaseBucket": "panocast-release-1",
    "ReleaseVersion": "0.1.0",
    "ReleaseChecksum": "0" * 64,
    "FrontSecret": "a" * 40,
}
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0000-4000-8000-0123456789ab"
WRONG = [
    ({"Name": "Panocast!"}, "lower-case letters"),
    ({"ReleaseBucket": "s3://bucket"}, "without s3://"),
    ({"ReleaseChecksum": "deadbeef"}, "64 lower-case hexadecimal digits"),
    ({"Architecture": "x86_64"}, "arm64 (Graviton) or amd64"),
    ({"NetworkPrefix": "8.8"}, "private network, such as 10.20"),
    ({"PublisherCidr": "203.0.113.7"}, "IPv4 network such as 203.0.113.0/24"),
    ({"PublisherCidr": "300.1.1.0/24"}, "IPv4 network"),
    ({"OriginInstanceTypes": "c7g.2xlarge, c6g.2xlarge"}, "four instance types separated by commas"),
    ({"OriginsOnDemand": "1"}, "none, primary or both"),
    ({"EdgeMinSize": "1"}, "must be 2 to 1000"),
    ({"EdgeOnDemandPercentage": "150"}, "0 to 100 percent"),
    ({"TranscoderMaxSize": "many"}, "must be 1 to 500"),
    ({"RecordingDays": "0"}, "1 to 3650 days"),
    ({"FrontSecret": "short"}, "32 to 64 letters and digits"),
    ({"OriginShieldRegion": "Frankfurt"}, "region such as eu-central-1"),
    ({"DomainName": "https://live.example.org", "CertificateArn": CERTIFICATE}, "host name such as"),
    ({"CertificateArn": CERTIFICATE.replace("us-east-1", "eu-central-1"), "DomainName": "a.example.org"}, "in us-east-1"),
    ({"DomainName": "live.example.org"}, "DomainName needs CertificateArn"),
    ({"CertificateArn": CERTIFICATE}, "CertificateArn needs DomainName"),
    ({"ShellCidr": "203.0.113.7/32"}, "ShellCidr needs KeyName"),
    ({"AlarmEmail": "nobody"}, "email address"),
    ({"LogDays": "8"}, "one of 1, 3, 5"),
    ({"TestSourceStream": "a/b"}, "letters, digits, underscores and hyphens"),
    ({"Edges": "7"}, "do not exist in the template: Edges"),
]


def test_r16_cfn_lint_finds_nothing():
    files = sorted(str(path) for path in templates.FOLDER.glob("*.yaml"))
    linted = subprocess.run([VENV_BIN / "cfn-lint", *files], text=True, capture_output=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("name", templates.names())
def test_a_concern_is_small_and_described(name):
    lines = (templates.FOLDER / f"{name}.yaml").read_text().splitlines()
    # The parent is long because it is the list of everything a person may choose.
    assert len(lines) < (600 if name == "panocast" else 300), "split it by concern"
    assert max(map(len, lines)) <= 140
    assert templates.load(name)["Description"].startswith("Panocast") or name == "origin"


def test_r16_no_image_or_account_is_pinned():
    for path in templates.FOLDER.glob("*.yaml"):
        text = path.read_text()
        assert "ami-" not in text and "123456789012" not in text, path


def test_every_choice_is_explained_and_grouped():
    parent = templates.load("panocast")
    groups = parent["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(p for group in groups for p in group["Parameters"]) == sorted(parent["Parameters"])
    for name, slot in parent["Parameters"].items():
        assert slot.get("Description"), name
        constrained = {"AllowedPattern", "AllowedValues", "MinValue"} & slot.keys()
        assert constrained or slot["Type"].startswith("AWS::SSM"), f"{name} takes anything"
        assert not constrained or slot.get("ConstraintDescription", "").startswith("must be"), name


def test_a_parent_hands_every_child_what_it_takes():
    for name, child in templates.load("panocast")["Resources"].items():
        properties = child["Properties"]
        takes = templates.load(Path(properties["TemplateURL"]).stem)["Parameters"]
        assert sorted(takes) == sorted(properties["Parameters"]), name


def test_right_parameters_pass():
    parent = templates.load("panocast")
    assert templates.complaints(parent, RIGHT) == []
    own = {"DomainName": "live.example.org", "CertificateArn": CERTIFICATE, "OriginShieldRegion": "eu-central-1"}
    assert templates.complaints(parent, RIGHT | own) == []


@pytest.mark.parametrize(("given", "says"), WRONG)
def test_a_wrong_parameter_fails_before_anything_is_made(given, says):
    [complaint] = templates.complaints(templates.load("panocast"), RIGHT | given)
    assert says in complaint


def test_what_has_no_default_is_asked_for():
    assert len(templates.complaints(templates.load("panocast"), {})) == 4
