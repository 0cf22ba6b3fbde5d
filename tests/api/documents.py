"""/openapi.json as tests need it before a server runs, to make their cases of: each is made once a process, in 0.2 s.

Rules of this file
- Several modules share what it returns, and change nothing in it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from api.app import create_app
from api.settings import ApiSettings
from tests.api.conftest import CHEAP_PASSWORDS
from tests.api.fake_cluster import FakeCluster


@cache
def document_of(**settings: Any) -> dict[str, Any]:
    """Return the document of a worker with some settings."""
    return create_app(FakeCluster(), ApiSettings.from_mapping({"passwords": CHEAP_PASSWORDS, **settings})).openapi()
