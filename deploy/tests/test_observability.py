"""An alarm is worth waking somebody for only when it has a metric that exists and a page that helps."""

import json
import re
from pathlib import Path

import pytest
import templates

REPOSITORY = Path(__file__).resolve().parents[2]
RUNBOOKS = REPOSITORY / "docs/guide/runbooks"
HEADINGS = ["## Symptom", "## Cause", "## Check", "## Fix"]


def alarms():
    resources = templates.load("alarms")["Resources"]
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}


def queries(properties):
    """The (namespace, metric, dimensions) that an alarm looks at."""
    if "Metrics" not in properties:
        yield properties["Namespace"], properties["MetricName"], properties["Dimensions"]
    for query in properties.get("Metrics", []):
        if "MetricStat" in query:
            metric = query["MetricStat"]["Metric"]
            yield metric["Namespace"], metric["MetricName"], metric["Dimensions"]


def own_metrics():
    """Our own metrics in alarms and on the dashboard."""
    used = {m for p in alarms().values() for space, m, _ in queries(p) if space == "Panocast"}
    dashboard = (templates.FOLDER / "observability.yaml").read_text()
    return used | set(re.findall(r'\["Panocast", "(\w+)"', dashboard))


@pytest.mark.parametrize("name", alarms())
def test_an_alarm_says_what_is_wrong_and_where_to_look(name):
    properties = alarms()[name]
    match = re.fullmatch(r"(.+\.) Runbook: docs/guide/runbooks/([a-z-]+)\.md", properties["AlarmDescription"].strip())
    assert match, properties["AlarmDescription"]
    text = (RUNBOOKS / f"{match[2]}.md").read_text()
    places = [text.index(f"\n{heading}\n") for heading in HEADINGS]
    assert places == sorted(places), "symptom, cause, check, fix"
    assert properties["AlarmActions"] and properties["OKActions"]
    assert "TreatMissingData" in properties, "silence must mean something"


def test_every_runbook_belongs_to_an_alarm():
    named = {re.search(r"runbooks/([a-z-]+)", p["AlarmDescription"])[1] for p in alarms().values()}
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert named == pages
    index = (RUNBOOKS / "README.md").read_text()
    for page in pages:
        assert f"({page}.md)" in index, f"{page} is not listed"


def test_the_agent_ships_exactly_the_metrics_that_are_used():
    agent = json.loads((REPOSITORY / "deploy/node/agent.json").read_text())
    [declaration] = agent["logs"]["metrics_collected"]["prometheus"]["emf_processor"]["metric_declaration"]
    shipped = {selector.strip("^$") for selector in declaration["metric_selectors"]}
    assert shipped == own_metrics(), "each shipped metric costs money, each missing one is a dead alarm"
    dimensions = {tuple(d) for d in declaration["dimensions"]}
    for name, properties in alarms().items():
        for space, _, asked in queries(properties):
            if space == "Panocast":
                assert tuple(d["Name"] for d in asked) in dimensions, name


def test_programs_define_the_metrics_that_alarms_use():
    sources = [p for top in ("origin", "edge", "transcoder", "crates") for p in (REPOSITORY / top).rglob("src/**/*.rs")]
    text = "\n".join(path.read_text() for path in sources)
    assert {name for name in own_metrics() if f'"{name}"' not in text} == set()


def test_the_dashboard_is_valid_and_nothing_overlaps():
    body = templates.load("observability")["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    taken = set()
    for widget in json.loads(body)["widgets"]:
        assert widget["properties"]["title"]
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
