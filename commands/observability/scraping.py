"""What Prometheus needs to find a cluster's figures: prometheus.yml, and the lists of addresses that it watches.

serve --every node that lives--> targets-api.json, targets-ray.json <--watched-- prometheus.yml
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

Source = Literal["api", "ray"]
PREFIXES: Final[Mapping[Source, str]] = {"api": "rookery_", "ray": "ray_rookery_"}
SCRAPE_S: Final = 10
TARGETS: Final[Mapping[Source, str]] = {"api": "targets-api.json", "ray": "targets-ray.json"}
_JOBS: Final[Mapping[Source, str]] = {"api": "rookery", "ray": "ray"}


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
