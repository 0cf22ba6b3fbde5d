"""Boards for Grafana: places, names, figures; read back by Grafana's own models. Prometheus' files; the command."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import ray
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from typer.testing import CliRunner, Result

from actors.metrics.table import FIGURES
from commands.observability import served
from commands.observability.dashboards import dashboards, expression
from commands.observability.panels import BOARDS, WIDE
from commands.observability.rules import rules
from commands.observability.scraping import PREFIXES, prometheus
from commands.observability.served import RAY_FOLDER_VARIABLE, ServedFiles, source_of, targets
from commands.observability.written import grafana_address, write_files, write_targets, yaml_text
from configs.settings import load_settings
from run_cluster import app

# Ray's dashboard makes its boards of these, and writes them into the same folder.
OF_RAY = sorted((Path(ray.__file__).parent / "dashboard/modules/metrics/dashboards").glob("*_base.json"))


@pytest.fixture(scope="module", params=PREFIXES)
def prefix(request) -> str:
    return PREFIXES[request.param]


def lost(written: Any, read: Any, where: str = "") -> Iterator[str]:
    """Yield what of a value isn't in another one."""
    if isinstance(written, dict):
        for key, inner in written.items():
            yield from lost(inner, read[key], f"{where}.{key}") if key in read else [f"{where}.{key}"]
    elif isinstance(written, list):
        assert len(written) == len(read), where
        for one, other in zip(written, read, strict=True):
            yield from lost(one, other, f"{where}[]")
    elif written != read:
        yield f"{where}: {written!r}, not {read!r}"


def all_panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def test_grafanas_models_know_every_member(prefix):
    register_default_plugins()
    for name, board in dashboards(prefix, "http://127.0.0.1:8265").items():
        written = json.loads(json.dumps(board))
        read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(json.loads(json.dumps(board)))))
        assert list(lost(written, read)) == [], name


def test_ids_titles_and_places_do_not_clash(prefix):
    boards = list(dashboards(prefix).values())
    of_ray = [json.loads(path.read_text()) for path in OF_RAY]
    assert len(of_ray) >= 8
    for member in ("uid", "title"):
        found = [board[member] for board in (*boards, *of_ray)]
        assert len(set(found)) == len(found)
    assert all(board["uid"].startswith("rookery-") for board in boards)
    assert all(board["title"].startswith("Rookery ") for board in boards)
    for board in boards:
        ids = [panel["id"] for panel in all_panels(board)]
        assert len(set(ids)) == len(ids)
        for row in [board["panels"], *(panel["panels"] for panel in board["panels"] if panel.get("panels"))]:
            for one, other in combinations([panel["gridPos"] for panel in row], 2):
                apart = (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                         or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])  # fmt: skip
                assert apart, (board["title"], one, other)
            assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= WIDE for panel in row)


def test_every_panel_says_what_it_shows_and_nothing_is_there_twice():
    for board in BOARDS:
        panels = [panel for row in board.rows for panel in row.panels]
        assert all(panel.says.endswith(".") for panel in panels)
        places = [(row.title, panel.title) for row in board.rows for panel in row.panels]
        assert len(set(places)) == len(places)


def test_every_figure_of_a_board_and_of_an_alert_is_declared(prefix):
    declared = {figure.name: figure for figure in FIGURES}
    texts = [target["expr"] for board in dashboards(prefix).values() for panel in all_panels(board)
             for target in panel.get("targets", [])]  # fmt: skip
    texts += [note["expr"] for board in dashboards(prefix).values() for note in board["annotations"]["list"]]
    texts += [rule["expr"] for rule in rules(prefix, "")["groups"][0]["rules"]]
    assert not any("@" in text for text in texts)
    for text in texts:
        for name in re.findall(rf"\b{prefix}(\w+)", text):
            base = name if name in declared else re.sub(r"_(bucket|count|sum)$", "", name)
            assert base in declared, name
            figure = declared[base]
            assert figure.source != "node", f"Ray isn't told {name}"
            assert (figure.kind == "histogram") == (base != name), f"{name} in {text}"
            if figure.kind == "counter":
                assert re.search(rf"(rate|increase)\({prefix}{name}\b", text), f"a counter is taken as it is: {text}"
            elif figure.kind == "gauge":
                assert not re.search(rf"(rate|increase)\({prefix}{name}\b", text), f"a gauge has no rate: {text}"


def test_expressions_are_made_of_names_without_prefix():
    assert expression("sum(rate(@requests_total[$rate]))", "ray_rookery_", "1m") == (
        "sum(rate(ray_rookery_requests_total[1m]))"
    )


# ---- prometheus.yml and lists of addresses ------------------------------------------------------------------------

NODES = [
    {"NodeManagerAddress": "10.0.0.2", "MetricsExportPort": 7001, "Resources": {"CPU": 4.0}},
    {"NodeManagerAddress": "10.0.0.1", "MetricsExportPort": 7000, "Resources": {}},
]


@pytest.mark.parametrize(
    ("sets", "of_api", "source"),
    [
        ({}, ["127.0.0.1:8123"], "api"),
        ({"metrics.http": "off"}, [], "ray"),
        ({"server.host": "0.0.0.0", "limits.address_logins_per_min": 120}, [], "ray"),
        (
            {"server.host": "0.0.0.0", "limits.address_logins_per_min": 120, "metrics.http": "shared"},
            ["10.0.0.2:8123"],
            "api",
        ),
        ({"metrics.http": "127.0.0.1:9464"}, ["127.0.0.1:9464"], "api"),
    ],
)
def test_a_node_is_scraped_where_its_figures_are(sets, of_api, source):
    settings = load_settings("test", overrides={"auth.mode": "token", **sets}, environ={})
    found = targets(settings, NODES, 8123)
    assert [each for group in found["api"] for each in group["targets"]] == of_api
    assert found["ray"] == [{"targets": ["10.0.0.1:7000", "10.0.0.2:7001"]}]
    assert source_of(settings) == source


def test_figures_that_ray_is_not_told_are_not_scraped_there():
    settings = load_settings("test", overrides={"metrics.ray_export": False}, environ={})
    assert targets(settings, NODES, 8123)["ray"] == []


def test_a_list_of_addresses_is_written_when_it_changes(tmp_path):
    write_targets(tmp_path, {"api": [{"targets": ["a:1"]}], "ray": []})
    path = tmp_path / "targets-api.json"
    first = path.stat().st_ino
    write_targets(tmp_path, {"api": [{"targets": ["a:1"]}], "ray": []})
    assert path.stat().st_ino == first
    write_targets(tmp_path, {"api": [{"targets": ["b:1"]}], "ray": []})
    assert json.loads(path.read_text()) == [{"targets": ["b:1"]}]


def test_ray_is_told_where_our_boards_lie_unless_somebody_has_told_it(tmp_path, monkeypatch):
    files = ServedFiles(load_settings("test", overrides={"storage.data_dir": tmp_path}, environ={}))
    monkeypatch.delenv(RAY_FOLDER_VARIABLE, raising=False)
    files.tell_ray()
    assert os.environ[RAY_FOLDER_VARIABLE] == str(tmp_path.resolve() / "observability" / "dashboards")
    monkeypatch.setenv(RAY_FOLDER_VARIABLE, "/elsewhere")
    files.tell_ray()
    assert os.environ[RAY_FOLDER_VARIABLE] == "/elsewhere"


def test_a_folder_that_cannot_be_written_costs_the_cluster_nothing(tmp_path, monkeypatch):
    (tmp_path / "observability").write_text("in the way")
    monkeypatch.setattr(served, "living_nodes", lambda: NODES)
    files = ServedFiles(load_settings("test", overrides={"storage.data_dir": tmp_path}, environ={}))
    files.write(8123, "")
    (tmp_path / "observability").unlink()
    files.write(8123, "http://127.0.0.1:8265")
    assert json.loads((files.folder / "targets-api.json").read_text()) == [{"targets": ["127.0.0.1:8123"]}]
    assert "http://127.0.0.1:8265" in (files.folder / "dashboards" / "rookery_overview.json").read_text()


def test_yaml_is_what_it_was_made_of():
    import yaml  # Ray's

    for value in (
        prometheus("rules.yml"),
        rules("rookery_", "http://localhost:3000"),
        {"a": [], "b": {}, "c": [1, [2]]},
    ):
        assert yaml.safe_load(yaml_text(value)) == value


def test_grafana_is_where_ray_is_told(monkeypatch):
    for name in ("RAY_GRAFANA_IFRAME_HOST", "RAY_GRAFANA_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert grafana_address() == "http://localhost:3000"
    monkeypatch.setenv("RAY_GRAFANA_HOST", "http://graphs:3000/")
    assert grafana_address() == "http://graphs:3000"
    monkeypatch.setenv("RAY_GRAFANA_HOST", "DISABLED")
    assert grafana_address() == ""
    assert "dashboard_url" not in rules("rookery_", "")["groups"][0]["rules"][0]["annotations"]


# ---- the command --------------------------------------------------------------------------------------------------


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["dashboards", *args])


def test_the_command_writes_what_serve_writes_and_leaves_other_files(tmp_path):
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "theirs.json").write_text("{}")
    done = run(str(tmp_path), "--source", "ray")
    assert done.exit_code == 0, done.stderr
    expected = write_files(tmp_path / "again", "ray")
    assert [Path(line).relative_to(tmp_path) for line in done.stdout.split()] == [
        path.relative_to(tmp_path / "again") for path in expected
    ]
    assert all((tmp_path / path.relative_to(tmp_path / "again")).read_text() == path.read_text() for path in expected)
    assert "ray_rookery_router_shard_served" in (tmp_path / "rules.yml").read_text()
    assert (tmp_path / "dashboards" / "theirs.json").exists()


def test_the_command_says_what_would_be_right(tmp_path):
    done = run(str(tmp_path), "--source", "grafana")
    assert (done.exit_code, "must be one of: api, ray" in done.stderr) == (2, True), done.stderr
    (tmp_path / "file").write_text("")
    done = run(str(tmp_path / "file"))
    assert (done.exit_code, "can't be written" in done.stderr) == (1, True), done.stderr
