"""Where statuses stand in JSON that shards have joined, found without a parse: their names, and their `filtered`.

    {"id":"8",...,"url":".../8","edited_at":null,...                          a status begins: its name ends with `/8`
        "quote":{"state":"accepted","quoted_status":{...,"filtered":[]}},     one that it quotes, whole
        ..."reblog":{...,"filtered":[]},"favourited":...                      or one that it reblogs, whole
    ,"filtered":[]}                                                           a status ends

Rules of this file
- It knows what `actors/core/renderers/mastodon.py` writes, and nothing else is given to it: one status each, joined and
  completed (`statuses.py`), of which `filtered` is still empty. `tests/api/mastodon/test_status_bytes.py` compares it
  with a parse.
- What it looks for has quotation marks, which in a text are escaped: nobody's words are taken for it.
- A name is the end of the URL, with the whole id, and, of a status that was edited, the time of the last edit: what is
  known by it stays true.

Costs: a name 0.4 us; a plain status with what is said of it 0.3 us, one that holds another one 5 us.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Final, NamedTuple

HEAD_BYTES: Final = 150  # at least, of a status before its name ends
_BEGUN: Final = b'","edited_at":'  # behind the URL, which ends with the id
_BEGUN_BYTES: Final = len(_BEGUN)
_NAME_BYTES: Final = 20  # of the URL's end: at least a slash and an id, of 19 digits at most
_TIME_BYTES: Final = len('"2026-11-30T16:36:52.108Z"')
_QUOTATION_MARK: Final = ord('"')  # with which a time begins, where one that was never edited has `null`
_FILTERED: Final = b'"filtered":['
_END: Final = b"]}"
AFTER_RESULTS: Final = len(_END)  # bytes of a status behind what is said of it
_END_OF_QUOTED: Final = b"]}}"
_END_OF_REBLOGGED: Final = b']},"favourited":'


class StatusPage(NamedTuple):
    """A JSON array of statuses. places: where each begins in it."""

    body: bytes
    places: list[int]

    @classmethod
    def of(cls, statuses: list[bytes]) -> StatusPage:
        """Return an array of statuses, each of which stands for itself."""
        places = [*accumulate((1 + len(status) for status in statuses), initial=1)]
        return cls(b"[%b]" % b",".join(statuses), places[:-1])

    @property
    def statuses(self) -> list[bytes]:
        """Each of them."""
        behind = [*self.places[1:], len(self.body)]  # of what is behind the comma, or the bracket
        return [self.body[begin : end - 1] for begin, end in zip(self.places, behind, strict=False)]


def name_of(body: bytes, begin: int = 0) -> bytes:
    """Return the name of the status that begins there."""
    at = body.find(_BEGUN, begin + HEAD_BYTES)
    if body[at + _BEGUN_BYTES] == _QUOTATION_MARK:
        return _name_before(body, at)
    return body[at - _NAME_BYTES : at]  # as nearly always: a call less


def names_in(status: bytes) -> list[bytes]:
    """Return the names of a status and of all that it holds, in the order in which they begin. O(its length)."""
    names, at = [], status.find(_BEGUN)
    while at >= 0:
        names.append(_name_before(status, at))
        at = status.find(_BEGUN, at + _BEGUN_BYTES)
    return names


def _name_before(body: bytes, at: int) -> bytes:
    """Return the name of the status whose URL ends there."""
    edited = at + _BEGUN_BYTES
    if body[edited] != _QUOTATION_MARK:
        return body[at - _NAME_BYTES : at]
    return body[at - _NAME_BYTES : at] + body[edited : edited + _TIME_BYTES]


def with_result(status: bytes, result: bytes) -> bytes:
    """Return a status that holds no other one with what filters say. result: the inside of a JSON array."""
    return b"%b%b%b" % (status[:-AFTER_RESULTS], result, _END)


def with_results(status: bytes, results: Mapping[int, bytes]) -> bytes:
    """As `with_result`, whatever it holds. results: by place among `names_in`.

    A reblog says what is said of that which it reblogs; a status that is quoted says nothing. Statuses end in the other
    order than they begin.
    """
    parts = status.split(_BEGUN)
    begun, said, ended = list[int](), [parts[0]], b""
    for place, part in enumerate(parts[1:]):
        begun.append(place)
        first, *rest = part.split(_FILTERED)
        said += _BEGUN, first
        before = first
        for behind in rest:
            own = results.get(begun.pop(), b"")
            ended = ended if before.startswith(_END_OF_REBLOGGED) else own
            said += _FILTERED, b"" if behind.startswith(_END_OF_QUOTED) else ended, behind
            before = behind
    return b"".join(said)
