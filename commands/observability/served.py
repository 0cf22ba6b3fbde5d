"""What `serve` keeps up to date for Prometheus and Grafana: the folder `observability` of its data.

Rules of this file
- One address a node and source: what answers there has the whole node.
- Ray's own list of its endpoints has one that never answers, and is there with its dashboard alone. Ours is of nodes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from actors.api_actor import metrics_are_shared
from cluster.client.connect import living_nodes
from commands.observability.scraping import Source
from commands.observability.written import DASHBOARDS, FOLDER, write_files, write_targets
from configs.sections import NODE_ADDRESS
from configs.settings import Settings

RAY_FOLDER_VARIABLE: Final = "RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR"
_ANYWHERE: Final = ("0.0.0.0", "::", NODE_ADDRESS)
_log = structlog.get_logger()


def source_of(settings: Settings) -> Source:
    """Return where an installation's figures are to be had: of the API, exact, or of Ray if they are off there."""
    return "api" if metrics_are_shared(settings) or settings.metrics.address is not None else "ray"


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


class ServedFiles:
    """The folder of one data folder. A disk that can't be written costs a line in the log, never the cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.folder = settings, settings.storage.data_dir.resolve() / FOLDER
        self._api_port = settings.server.port

    def tell_ray(self) -> None:
        """Have the Ray that is started next write its own boards beside ours, where Grafana finds all of them."""
        os.environ.setdefault(RAY_FOLDER_VARIABLE, str(self.folder / DASHBOARDS))

    def write(self, api_port: int, ray_dashboard: str) -> None:
        """Write all of it, once the cluster runs."""
        self._api_port = api_port
        try:
            write_files(self.folder, source_of(self._settings), ray_dashboard)
        except OSError as error:
            _log.warning("dashboards and alerts can't be written", folder=str(self.folder), reason=str(error))
        self.look()

    def look(self) -> None:
        """Write anew where figures are, if that has changed. Blocks. Raises RayError when the control store is away."""
        found = targets(self._settings, living_nodes(), self._api_port)
        try:
            write_targets(self.folder, found)
        except OSError as error:
            _log.warning("addresses of figures can't be written", folder=str(self.folder), reason=str(error))
