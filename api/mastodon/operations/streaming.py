"""Streams, as far as they are described: they are opened elsewhere (`api/streaming/opening.py`).

Who comes here has asked in a way in which there is no stream, such as with a body, or behind a request that isn't
answered yet, and is told so. `health` alone is answered here.
"""

from __future__ import annotations

from typing import Final

from actors.core.errors import MalformedError
from api.mastodon.call import Answer, Call
from api.mastodon.table import Operation, Run
from api.streaming.channels import HEALTH, NAME_AT, ROOT

TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
UNUSUAL: Final = "a stream is a GET of HTTP/1.1 without a body, and the first of its connection that isn't answered"
_SAID: Final = {
    "user": "What happens on your home timeline, and your notifications.",
    "user:notification": "Your notifications.",
    "public": "What is said in public.",
    "public:local": "What is said in public here.",
    "public:remote": "What is said in public elsewhere: nothing.",
    "hashtag": "What is said in public with a hashtag.",
    "hashtag:local": "What is said in public here with a hashtag.",
    "list": "What happens on the timeline of one of your lists.",
    "direct": "Your conversations.",
}
_SCOPES: Final = {"user": "read:statuses", "user:notification": "read:notifications"}


async def health(call: Call) -> Answer:
    """Whether streams are served."""
    return Answer(b"OK", headers=((b"cache-control", b"private, no-store"),), kind=TEXT)


def _refused(said: str) -> Run:
    async def run(call: Call) -> Answer:
        raise MalformedError(UNUSUAL)

    run.__doc__ = f"{said} Server-sent events."
    return run


async def web_socket(call: Call) -> Answer:
    """All of these over one WebSocket: `{"type": "subscribe", "stream": "user"}`."""
    raise MalformedError(UNUSUAL)


OPERATIONS: Final = (
    Operation("GET", HEALTH, "", "Text", health),
    Operation("GET", ROOT, "", "Text", web_socket),
    *(
        Operation("GET", path, "" if name not in _SCOPES and name not in ("list", "direct") else
                  _SCOPES.get(name, "read:statuses"), "Text", _refused(_SAID[name]))
        for path, name in NAME_AT.items()
    ),
)  # fmt: skip
