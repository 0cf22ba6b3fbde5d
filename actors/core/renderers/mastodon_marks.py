"""Marks in pieces of statuses: where whoever answers a client puts what is made when it is read, polls and quotes.

    in a piece   ..."poll":<tab>{"id":"1",...,"emojis":[]},"quote":<tab>{"state":"accepted","quoted_status_id":"2"}...
    answered     ..."poll":{"id":"1",...,"emojis":[]},"quote":{"state":"accepted","quoted_status":{...}}...

Rules of this file
- The tab before the object marks it: JSON allows one there, our own has none elsewhere, and in texts it is escaped. So
  an answer without marks is known by one search for a byte.
- Where nobody replaces it, what stands there is a Poll, a ShallowQuote, all the same.

Costs: 1 us to find none in a page of 35 KB; 1 us a mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_TAB: Final = b"\t"
_POLL: Final = b'"poll":\t{"id":"'
_POLL_END: Final = b'"emojis":[]}'  # in an option's title its quotation marks would be escaped
_QUOTE: Final = b'"quote":\t{"state":"accepted","quoted_status_id":"'
_QUOTE_END: Final = b"}"


class Mark(NamedTuple):
    """One mark: body[begin:end], tab and all, is what tweet_id's poll, or the status of that id, takes the place of."""

    tweet_id: int
    begin: int
    end: int


def poll_mark(poll: bytes) -> bytes:
    """Return the JSON of a poll as a member of a piece."""
    return b',"poll":\t' + poll


def quote_mark(quoted: int) -> bytes:
    """Return a quote as a member of a piece."""
    return b',%b%d"%b' % (_QUOTE, quoted, _QUOTE_END)


def has_marks(body: bytes) -> bool:
    """Whether an answer may hold something that is to be replaced."""
    return _TAB in body


def polls_in(body: bytes) -> list[Mark]:
    """Return the polls of an answer."""
    return [*_marks_in(body, _POLL, _POLL_END)] if _TAB in body else []


def quotes_in(body: bytes) -> list[Mark]:
    """Return the quotes of an answer."""
    return [*_marks_in(body, _QUOTE, _QUOTE_END)] if _TAB in body else []


def unmarked(body: bytes) -> bytes:
    """Return an answer with what stands there, and no marks."""
    return body.replace(_TAB, b"")


def replaced(body: bytes, marks: list[Mark], shown: Mapping[int, bytes | None]) -> bytes:
    """Return an answer with others in the places of marks; where there is none, what stands there, unmarked."""
    parts, at = list[bytes](), 0
    for tweet_id, begin, end in marks:
        now = shown.get(tweet_id)
        parts += body[at:begin], body[begin + len(_TAB) : end] if now is None else now
        at = end
    return b"".join([*parts, body[at:]])


def _marks_in(body: bytes, beginning: bytes, ending: bytes) -> Iterator[Mark]:
    tab_at, at = beginning.index(_TAB), body.find(beginning)
    while at >= 0:
        id_at = at + len(beginning)
        end = body.index(ending, id_at) + len(ending)
        yield Mark(int(body[id_at : body.index(b'"', id_at)]), at + tab_at, end)
        at = body.find(beginning, end)
