"""What `serve` keeps up to date for Prometheus and Grafana: the folder `observability` of its data."""

from __future__ import annotations

import os
from typing import Final

import structlog

from cluster.client.connect import living_nodes
from commands.observability.scraping import source_of, targets
from commands.observability.written import DASHBOARDS, FOLDER, write_files, write_targets
from configs.settings import Settings

RAY_FOLDER_VARIABLE: Final = "RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR"
_log = structlog.get_logger()


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
