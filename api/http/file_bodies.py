"""How large the body of a request may be: as the settings say, and larger where somebody brings a file in.

Rules of this file
- Larger ones are taken on the paths of imports alone, from who says by a header who he is: a token, which is looked at
  before the rest of the body comes (`body_wait.py`), or a browser's session.
- Files of media are larger still, and go to disk as they come (`uploads.py`).
- So all of them together stay within the bounds of `bodies.py`, and a stranger may send what he always may.

Cost: nothing for a body that the settings allow: nobody asks then.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from api.http.uploads import UPLOAD
from api.limits import HEAD_BYTES_MAX, IMPORT_BODY_BYTES_MAX

IMPORT_END: Final = "/import"  # of /{user_id}/import
PAGES: Final = frozenset(("/settings/import", "/settings/imports"))
_AUTHORIZATION, _COOKIE = b"authorization", b"cookie"


def body_bytes_max_of(scope: MutableMapping[str, Any], usual_bytes_max: int) -> int:
    """Return how many bytes the body of a request may have. usual_bytes_max: as the settings say."""
    upload = scope["state"].get(UPLOAD)
    if upload is not None:
        return max(usual_bytes_max, int(upload.bytes_max))
    path = str(scope["path"]).removesuffix("/")
    if scope["method"] != "POST" or not path.endswith((IMPORT_END, *PAGES)):
        return usual_bytes_max
    needed = _COOKIE if path in PAGES else _AUTHORIZATION
    is_said = any(name == needed for name, _ in scope["headers"])
    return max(usual_bytes_max, IMPORT_BODY_BYTES_MAX) if is_said else usual_bytes_max


def framed_bytes_max(scope: MutableMapping[str, Any], rest_bytes: int, usual_bytes_max: int) -> int:
    """Return how many bytes may come behind a head, with what frames the body. rest_bytes: that have come."""
    most = usual_bytes_max if rest_bytes <= usual_bytes_max else body_bytes_max_of(scope, usual_bytes_max)
    return 2 * most + HEAD_BYTES_MAX


def too_large(scope: MutableMapping[str, Any], has: str, bytes_max: int) -> str:
    """Return why a body is refused. has: how many bytes it has, in words."""
    hint = ""
    if str(scope["path"]).removesuffix("/").endswith(IMPORT_END) and bytes_max < IMPORT_BODY_BYTES_MAX:
        hint = f", {IMPORT_BODY_BYTES_MAX} with the token in the header Authorization"
    return f"the body has {has} bytes; at most {bytes_max} are read{hint}"
