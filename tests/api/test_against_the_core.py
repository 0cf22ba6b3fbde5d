"""What the API is for, once more, with the real core in the place of the dicts: the two must agree on every shape."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.conftest import LiveServer, ServerThread
from tests.api.core_cluster import CoreCluster
from tests.api.test_happy_paths import *  # noqa: F403 - the same tests, collected here with this module's server
from tests.api.test_schema import schema, test_every_operation_keeps_to_its_documentation  # noqa: F401


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    core = CoreCluster()
    with ServerThread(fake=core) as live:
        live.fake = None
        yield live
    core.end_search()
