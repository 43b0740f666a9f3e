"""Sample configs: they parse, every key is explained, and the one for everything is the sum of the others."""

import re
import tomllib

import pytest
import templates
from conftest import DEPLOY

FILES = ("origin", "edge", "transcoder", "test-source", "panocast")


def text(name):
    return (DEPLOY / "config" / f"{name}.toml").read_text()


@pytest.mark.parametrize("name", FILES)
def test_every_key_stands_under_a_comment(name):
    tomllib.loads(text(name))
    blocks = re.split(r"\n\s*\n", text(name))
    for block in blocks:
        lines = block.splitlines()
        for number, line in enumerate(lines):
            if re.match(r"(# )?[a-z_]+ = ", line):
                # A comment may cover a few keys that belong together, such as yaw, pitch and roll.
                assert any(above.startswith("# ") for above in lines[:number]) or "[[" in block, line
        assert all(len(line) <= 125 for line in lines)


@pytest.mark.parametrize("name", FILES)
def test_what_is_commented_out_parses_as_well(name):
    enabled = re.sub(r"^# (?=\[?\[?[a-z][\w.-]*\]?\]?( = .+)?$)", "", text(name), flags=re.M)
    enabled = re.sub(r"^# (ladder = \[\]|record = false)$", r"\1", enabled, flags=re.M)
    assert len(str(tomllib.loads(enabled))) > len(str(tomllib.loads(text(name))))


def test_one_file_for_everything_says_the_same():
    together = tomllib.loads(text("panocast"))
    for name in FILES[:-1]:
        for section, keys in tomllib.loads(text(name)).items():
            assert together[section] | keys == together[section], f"{section} of {name}.toml"


@pytest.mark.parametrize("role", templates.ROLES)
def test_user_data_sets_only_keys_that_the_sample_explains(role):
    script = templates.user_data(role)
    [written] = re.findall(r"toml <<END\n(.*?)\n\s*END\n", script, re.S)
    written = re.sub(r"^\s+", "", written, flags=re.M)
    written = re.sub(r'"\$\([^)]*\)"', '"secret"', written).replace("${IsPrimary}", "true")
    for section, keys in flat(tomllib.loads(written)):
        place = re.search(rf"^(# )?\[{re.escape(section)}\]$(.*?)(?=^(# )?\[|\Z)", text(role), re.M | re.S)
        assert place, f"[{section}] is not in {role}.toml"
        for key in keys:
            assert re.search(rf"^(# )?{key} = ", place[2], re.M), f"{section}.{key} is not in {role}.toml"


def flat(table, path=""):
    """Every section with its plain keys."""
    plain = [k for k, v in table.items() if not (isinstance(v, dict) and k not in ("keys",))]
    if plain:
        yield path, plain
    for key, value in table.items():
        if key not in plain:
            yield from flat(value, f"{path}.{key}".strip("."))
