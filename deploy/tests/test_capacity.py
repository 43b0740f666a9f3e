"""The capacity formulas against numbers worked out by hand, and the guide against the formulas."""

import subprocess
import sys

import pytest
from conftest import DEPLOY

sys.path.insert(0, str(DEPLOY))
import capacity  # noqa: E402 (it is a script beside the tests' folder)

GUIDE = DEPLOY.parent / "docs/guide/capacity.md"


def test_a_viewer_asks_for_playlist_and_media_of_two_tracks():
    assert capacity.requests_per_viewer(low_latency=True) == 8, "two tracks, playlist and part, each half second"
    assert capacity.requests_per_viewer(low_latency=False) == 2


def test_bytes_are_bitrate_and_audio_and_overhead():
    plan = capacity.plan(1000, 5.87)
    assert plan.gbps == pytest.approx(1000 * 6.0 * 1.05 / 1000)
    assert plan.egress_tb == pytest.approx(6.3 / 8 * 3600 / 1000), "6.3 Gb/s for an hour"


def test_prices_fall_in_steps():
    tiers = ((10, 0.085), (50, 0.080), (float("inf"), 0.02))
    assert capacity.tiered(0, tiers) == 0
    assert capacity.tiered(10, tiers) == pytest.approx(850)
    assert capacity.tiered(12, tiers) == pytest.approx(850 + 160)
    assert capacity.tiered(60, tiers) == pytest.approx(850 + 3200 + 200)


def test_edges_carry_the_load_after_losing_some():
    assert capacity.edges_for(0, 0) == 2, "one may always go"
    for gbps in (0.5, 3, 77.7):
        edges = capacity.edges_for(gbps, 0)
        assert edges * capacity.EDGE_GBPS * (1 - capacity.EDGE_HEADROOM) >= gbps
        assert edges == 2 or (edges - 1) * capacity.EDGE_GBPS * (1 - capacity.EDGE_HEADROOM) < gbps
    assert capacity.edges_for(0, 140_000) == 10, "20,000 requests/s each, 30 % spare"


def test_without_a_cdn_edges_grow_with_viewers_and_with_one_they_hardly_do():
    alone = [capacity.plan(10**n, 5.8, cdn=False).edges for n in (4, 5, 6)]
    assert alone[1] == pytest.approx(10 * alone[0], rel=0.02) and alone[2] == pytest.approx(10 * alone[1], rel=0.01)
    behind = [capacity.plan(10**n, 5.8).edges for n in (4, 5, 6, 7)]
    assert len(set(behind)) == 1
    assert capacity.plan(10**6, 5.8, shield=True).edges == 2


def test_more_of_anything_never_costs_less():
    base = capacity.plan(10_000, 5.8)
    for more in (
        capacity.plan(10_001, 5.8),
        capacity.plan(10_000, 5.9),
        capacity.plan(10_000, 5.8, hours=1.1),
        capacity.plan(10_000, 5.8, streams=20),
    ):
        assert more.dollars > base.dollars
    assert capacity.plan(10_000, 5.8, low_latency=False).dollars < base.dollars


def test_the_guide_shows_what_the_formulas_say():
    text = GUIDE.read_text()
    assert capacity.rewritten(text) == text, "run deploy/capacity.py --write docs/guide/capacity.md"


def test_one_question_gets_one_answer():
    script = DEPLOY / "capacity.py"
    asked = subprocess.run(
        [sys.executable, script, "--viewers", "1000"], text=True, capture_output=True, check=True
    )
    assert "EdgeMinSize=" in asked.stdout and "8,000 requests/s" in asked.stdout
    wrong = subprocess.run([sys.executable, script, "--viewers", "0"], text=True, capture_output=True, check=False)
    assert wrong.returncode == 1 and "above 0" in wrong.stderr
