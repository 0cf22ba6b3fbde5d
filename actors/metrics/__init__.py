"""What processes count and measure: one table, from which `/metrics`, Ray's metrics and docs/operations.md are made.

    figure.py    a row of the table; counters, histograms; what a process tells another of its own (a snapshot)
    table.py     the rows of all sources: shard_rows.py, api_rows.py, router_rows.py, process_rows.py
    counted.py   what a shard replica counts, as hot code increments it
    process.py   what every process knows of itself
    text.py      snapshots as the text that Prometheus scrapes
    ray_export.py   the same to Ray's metrics
    page.py      the table of docs/operations.md

Ray is imported by `ray_export.py` alone, so that everything else runs and is tested without it.
"""

from actors.metrics.counted import ShardMetrics
from actors.metrics.figure import Histogram

__all__ = ["Histogram", "ShardMetrics"]
