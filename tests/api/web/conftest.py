"""What tests of the web client share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.services import Services


@pytest.fixture(scope="module", autouse=True)
def simulated_time() -> Iterator[None]:
    """Tokens are given by the time of the simulation: none has expired."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Services, "wall_ms", lambda _: 0)
        yield
