"""What Prometheus needs to find a cluster's figures: prometheus.yml, and the lists of addresses that it watches.

    serve --every node that lives--> targets-api.json, targets-ray.json <--watched-- prometheus.yml

Rules of this file
- One address a node and source: what answers there has the whole node.
- Ray's own list of its endpoints has one that never answers, and is there with its dashboard alone. Ours is of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from actors.api_actor import metrics_are_shared
from configs.sections import NODE_ADDRESS
from configs.settings import Settings

Source = Literal["api", "ray"]
PREFIXES: Final[Mapping[Source, str]] = {"api": "rookery_", "ray": "ray_rookery_"}
SCRAPE_S: Final = 10
TARGETS: Final[Mapping[Source, str]] = {"api": "targets-api.json", "ray": "targets-ray.json"}
_JOBS: Final[Mapping[Source, str]] = {"api": "rookery", "ray": "ray"}
_ANYWHERE: Final = ("0.0.0.0", "::", NODE_ADDRESS)


def source_of(settings: Settings) -> Source:
    """Return where an installation's figures are to be had: of the API, exact, or of Ray if they are off there."""
    return "api" if metrics_are_shared(settings) or settings.metrics.address is not None else "ray"


def prometheus(rules_file: str, step_s: int = SCRAPE_S) -> dict[str, Any]:
    """Return prometheus.yml. step_s: between scrapes, and between looks at the rules."""
    return {
        "global": {
            "scrape_interval": f"{step_s}s",
            "scrape_timeout": f"{step_s}s",
            "evaluation_interval": f"{step_s}s",
        },
        "rule_files": [rules_file],
        "scrape_configs": [
            {"job_name": job, "file_sd_configs": [{"files": [TARGETS[source]]}]} for source, job in _JOBS.items()
        ],
    }


def targets(settings: Settings, nodes: Iterable[Mapping[str, Any]], api_port: int) -> dict[Source, list[Any]]:
    """Return what is to be scraped. nodes: Ray's description of those that live; api_port: the API's."""
    of_api, of_ray = [], []
    for node in nodes:
        address = str(node["NodeManagerAddress"])
        if settings.metrics.ray_export:
            of_ray.append(_joined(address, int(node["MetricsExportPort"])))
        if node["Resources"].get("CPU", 0) <= 0:
            continue  # such a node has no API worker
        if (own := settings.metrics.address) is not None:
            of_api.append(_joined(address if own[0] in _ANYWHERE else own[0], own[1]))
        elif metrics_are_shared(settings):
            host = settings.server.host
            of_api.append(_joined(address if host in _ANYWHERE else host, api_port))
    return {"api": _group(of_api), "ray": _group(of_ray)}


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _group(addresses: Iterable[str]) -> list[Any]:
    """In the form of Prometheus' discovery by files. A node that is there twice is scraped once."""
    found = sorted(set(addresses))
    return [{"targets": found}] if found else []
