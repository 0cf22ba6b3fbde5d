"""What needs every process of the cluster to be new: `actors/core/levels.py`."""

from __future__ import annotations

from actors.core.errors import OverloadedError
from actors.core.terms import FULL_FROM_LEVEL
from api.services import Services

_RISING_S = 5.0  # until a cluster of which every process is new has risen to their level


def require_level(services: Services, level: int = FULL_FROM_LEVEL) -> None:
    """Raise OverloadedError while processes of an older version are about, which know nothing of it."""
    if services.cluster.level < level:
        raise OverloadedError("the cluster is being upgraded; this works once all of it is", None, _RISING_S)
