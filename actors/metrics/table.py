"""The table of all figures, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.metrics.api_rows import API_FIGURES
from actors.metrics.figure import Figure, Source
from actors.metrics.process_rows import NODE_FIGURES, PROCESS_FIGURES
from actors.metrics.router_rows import ROUTER_FIGURES
from actors.metrics.shard_rows import SHARD_FIGURES

OF_SOURCE: Final[Mapping[Source, tuple[Figure, ...]]] = {
    "node": NODE_FIGURES, "api": API_FIGURES, "shard": SHARD_FIGURES, "router": ROUTER_FIGURES,
    "process": PROCESS_FIGURES,
}  # fmt: skip
FIGURES: Final[tuple[Figure, ...]] = tuple(figure for figures in OF_SOURCE.values() for figure in figures)
