"""Reads single values out of query strings, paths and bodies; each refusal names the field and the value.

Rules of this file
- A value that can't be read (no number, wrong type, given twice) is `MalformedError` (400); a value that can be read
  but is outside what is allowed, or that is missing, is `InvalidError` (422).
- Ids come in as decimal strings or JSON integers, 1..2**63-1, and go out as decimal strings. All numbers are read by
  `parse_whole`; a number in a query that is given without a value (`count=`) is refused, not taken for absent.
- A query parameter given twice is refused rather than one of the two picked.

Costs: a query string of one or two plain parameters takes about 1 us; only one with `%` is decoded piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from api.limits import FORM_FIELD_COUNT_MAX, QUERY_BYTES_MAX

Values = Mapping[str, Any]
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}
_VALUE_SHOWN_CHARS_MAX = 40  # of a refused value, in the message


@dataclass(frozen=True, slots=True)
class Page:
    """A window of a timeline; 0 stands for "not given"."""

    max_id: int
    since_id: int
    min_id: int
    count: int


def shown(value: Any) -> str:
    """Return a value as a message may show it: quoted, cut, printable."""
    text = ascii(value) if isinstance(value, str) else type(value).__name__ if value is not None else "null"
    if isinstance(value, (int, float)):
        text = repr(value) if abs(value) < 1 << 70 else "a number that large"
    return text if len(text) <= _VALUE_SHOWN_CHARS_MAX else text[:_VALUE_SHOWN_CHARS_MAX] + "..."


def parse_whole(value: Any, field: str, least: int, most: int) -> int:
    """Return a whole number, least..most, from a text or a JSON integer. Raises MalformedError or InvalidError.

    Every number that a client sends is read here, whichever route and whichever way it takes.
    """
    number = whole_number(value, most)
    if number is None:
        wanted = 'a decimal id such as "42"' if most == ID_MAX else f"a whole number from {least} to {most}"
        raise MalformedError(f"{field} must be {wanted}, not {shown(value)}", field)
    if not least <= number <= most:
        raise InvalidError(f"{field} must be from {least} to {most}, not {shown(value)}", field)
    return number


def parse_id(value: Any, field: str, least: int = 1) -> int:
    """Return an id, least..2**63-1. Raises MalformedError or InvalidError."""
    return parse_whole(value, field, least, ID_MAX)


def required_id(values: Values, field: str) -> int:
    """Return an id that must be there. Raises InvalidError when it isn't."""
    value = values.get(field)
    if value is None or value == "":
        raise InvalidError(f'{field} is required: a decimal id such as "42"', field)
    return parse_id(value, field)


def optional_id(values: Values, field: str, least: int = 1) -> int:
    """Return an id, or 0 when it isn't given (absent or null)."""
    value = values.get(field)
    return 0 if value is None else parse_id(value, field, least)


def parse_count(values: Values, default: int, count_max: int) -> int:
    """Return `count`, 1..count_max, or the default when it isn't given."""
    value = values.get("count")
    return default if value is None else parse_whole(value, "count", 1, count_max)


def parse_flag(values: Values, field: str) -> bool:
    """Return a switch from a text or a JSON boolean, False when it isn't given. Raises MalformedError."""
    value = values.get(field)
    if value is None or isinstance(value, bool):
        return bool(value)
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise MalformedError(f'{field} must be "true" or "false", not {shown(value)}', field)
    return flag


def parse_page(values: Values, default: int, count_max: int) -> Page:
    """Return the window that the query asks for."""
    if "max_id" not in values and "since_id" not in values and "min_id" not in values:
        return Page(0, 0, 0, parse_count(values, default, count_max))
    return Page(
        optional_id(values, "max_id"),
        optional_id(values, "since_id", least=0),
        optional_id(values, "min_id", least=0),
        parse_count(values, default, count_max),
    )


def parse_query(raw: bytes) -> dict[str, str]:
    """Return the parameters of a query string. Raises MalformedError: too long, not UTF-8, given twice."""
    if not raw:
        return {}
    check_query_size(raw)
    values: dict[str, str] = {}
    for name, value in split_pairs(raw, "the query string"):
        if name in values:
            raise MalformedError(f"{shown(name)} is given twice", name if name.isidentifier() else None)
        values[name] = value
    return values


def check_query_size(raw: bytes) -> None:
    """Raise MalformedError for a query string that is too long, or has too many parameters, to be looked at."""
    if len(raw) > QUERY_BYTES_MAX:
        raise MalformedError(f"the query string has {len(raw)} bytes; at most {QUERY_BYTES_MAX} are read")
    _check_count(raw, "the query string")


def _check_count(raw: bytes, where: str) -> None:
    count = raw.count(b"&") + 1
    if count > FORM_FIELD_COUNT_MAX:
        raise MalformedError(f"{where} has {count} parameters; at most {FORM_FIELD_COUNT_MAX} are read")


def split_pairs(raw: bytes, where: str) -> list[tuple[str, str]]:
    """Return the name-value pairs of URL-encoded bytes. Raises MalformedError when they aren't UTF-8."""
    _check_count(raw, where)
    if b"%" not in raw and raw.isascii():
        plain = raw.replace(b"+", b" ").decode().split("&")
        return [(name, value) for name, _, value in [piece.partition("=") for piece in plain if piece]]
    pairs = []
    for piece in raw.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((_decode(name, where), _decode(value, where)))
    return pairs


def _decode(piece: bytes, where: str) -> str:
    try:
        return unquote_to_bytes(piece.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{where} is not UTF-8: {error.reason}") from error
