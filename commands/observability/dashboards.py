"""Boards of Grafana, made of the table of panels.

Rules of this file
- Ray's own boards lie in the same folder of Grafana: uids begin with `rookery-`, titles with `Rookery`, and neither is
  there twice, or Grafana refuses all later imports.
- A board asks for its data source by a variable, as Ray's do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from commands.observability.panels import BOARDS, RATE, WIDE, Board, Panel, PanelRow

SCHEMA_VERSION: Final = 39
HEIGHT, STAT_HEIGHT = 8, 5
ZERO: Final = "or vector(0)"  # a counter of Ray's is there from its first increment on
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_FIGURE: Final = re.compile(r"@(\w+)")


def expression(text: str, prefix: str, rate: str = "$__rate_interval") -> str:
    """Return PromQL of a panel's text. prefix: of the figures' names; rate: the window of rates."""
    return _FIGURE.sub(rf"{prefix}\1", text).replace(RATE, rate)


def queries(panel: Panel, prefix: str, rate: str = "$__rate_interval") -> Iterator[tuple[str, str]]:
    """Return (legend, PromQL) of a panel."""
    for legend, text in panel.queries.items():
        asked = expression(text, prefix, rate)
        is_counted = "rate(" in text and "{{" not in legend and "quantile" not in text
        yield legend, f"{asked} {ZERO}" if is_counted else asked


def dashboards(prefix: str, ray_dashboard: str = "") -> dict[str, dict[str, Any]]:
    """Return the boards by their files' names. ray_dashboard: its address, "" for none."""
    return {f"rookery_{board.name}.json": _board(board, prefix, ray_dashboard) for board in BOARDS}


def _board(board: Board, prefix: str, ray_dashboard: str) -> dict[str, Any]:
    links: list[dict[str, Any]] = [
        {"type": "dashboards", "tags": ["rookery"], "title": "Rookery", "asDropdown": True, "keepTime": True}
    ]
    if ray_dashboard:
        links.append({"type": "link", "title": "Ray dashboard", "url": ray_dashboard, "targetBlank": True})
    return {
        "uid": f"rookery-{board.name}",
        "title": board.title,
        "tags": ["rookery"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "hide": 0}]},
        "annotations": {"list": list(_annotations(prefix))},
        "links": links,
        "panels": list(_panels(board.rows, prefix)),
    }


def _annotations(prefix: str) -> Iterator[Mapping[str, Any]]:
    for name, text, colour in (
        ("changes of the map", "changes(max(@router_map_epoch)[1m:10s]) > 0", "blue"),
        ("restarts", "time() - max by (process) (@process_start_time_seconds) < 15", "orange"),
    ):
        yield {
            "name": name, "datasource": _SOURCE, "enable": True, "expr": expression(text, prefix), "iconColor": colour,
        }  # fmt: skip


def _panels(rows: Iterable[PanelRow], prefix: str) -> Iterator[dict[str, Any]]:
    """Yield rows and panels with their places; those of a collapsed row lie in it."""
    number, top = 0, 0
    for row in rows:
        number += 1
        placed, left, line_top, line_height = [], 0, top + 1, 0
        heading = {
            "type": "row", "id": number, "title": row.title, "collapsed": not row.is_open,
            "gridPos": {"x": 0, "y": top, "w": WIDE, "h": 1},
        }  # fmt: skip
        for panel in row.panels:
            number += 1
            height = STAT_HEIGHT if panel.kind == "stat" else HEIGHT
            if left + panel.width > WIDE:
                left, line_top, line_height = 0, line_top + line_height, 0
            place = {"x": left, "y": line_top, "w": panel.width, "h": height}
            placed.append(_panel(panel, number, place, prefix))
            left, line_height = left + panel.width, max(line_height, height)
        if row.is_open:
            yield {**heading, "panels": []}
            yield from placed
            top = line_top + line_height
        else:
            yield {**heading, "panels": placed}
            top += 1


def _panel(panel: Panel, number: int, place: Mapping[str, int], prefix: str) -> dict[str, Any]:
    is_table, is_heat = panel.kind == "table", panel.kind == "heatmap"
    targets = [
        {
            "refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": asked, "legendFormat": legend,
            "instant": is_table, "range": not is_table,
            "format": "table" if is_table else "heatmap" if is_heat else "time_series",
        }
        for index, (legend, asked) in enumerate(queries(panel, prefix))
    ]  # fmt: skip
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": dict(place),
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "thresholds": _thresholds(panel)}, "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                   "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "none"},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}},
    "table": {"showHeader": True},
    "state-timeline": {"showValue": "never", "mergeValues": True},
}  # fmt: skip


def _thresholds(panel: Panel) -> dict[str, Any]:
    """Green, yellow, red; of panels whose small numbers are worrying the other way round."""
    bound, steps = panel.red_from, list[tuple[str, float | None]]()
    if bound is None:
        steps = [("green", None)]
    elif panel.below:
        steps = [("red", None), ("green", bound)]
    else:
        steps = [("green", None), *([("yellow", bound / 2)] if bound != 1 else []), ("red", bound)]
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]}
