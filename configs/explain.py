"""Say what a setting expects, and print values without their secrets.

Rules of this file
- Words for operators: "a whole number from 1 to 1024", never the name of a Python type or of a validator.
- A value of a field that is marked secret goes through `mask` before it is printed anywhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

# redis://user:PASSWORD@host: up to the last @, since a password may hold an unescaped / or @.
_USERINFO = re.compile(r"(://[^:@/]*:).*@")
_QUERY = re.compile(r"([?&]password=)[^&]*", re.IGNORECASE)
_MASKED = r"\g<1>***"


def mask_url(url: str) -> str:
    """Return a URL with its password replaced by ***."""
    return _QUERY.sub(_MASKED, _USERINFO.sub(_MASKED + "@", url))


def mask(field: FieldInfo, value: Any) -> Any:
    """Return a value fit to be printed: unchanged, or without its password if the field is marked secret."""
    extra = field.json_schema_extra
    if not (isinstance(extra, dict) and extra.get("secret")):
        return value
    if extra["secret"] == "wholly":
        return "***" if value else value
    return mask_url(value) if isinstance(value, str) else "***"


def shown(value: Any) -> str:
    """Return a value as it would be written in a profile, text without quotes unless it is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        value = ",".join(map(str, value))
    if isinstance(value, str | Path):
        return str(value) if str(value).strip() else f'"{value}"'
    return str(value)


def nearest(text: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the closest known text, or nothing."""
    guess = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {guess[0]}?" if guess else ""


def expectation(name: str, field: FieldInfo, value: Any) -> tuple[str, str]:
    """Return what a field must be, and a fix: the nearest choice, or its default as an example."""
    choices = [str(choice) for choice in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []
    close = difflib.get_close_matches(str(value).lower(), choices, n=1)
    if close:
        return f"must be {_expected(field, choices)}", f"did you mean {name}={close[0]}?"
    return f"must be {_expected(field, choices)}", f"for example {name}={shown(mask(field, field.default))}"


def _expected(field: FieldInfo, choices: list[str]) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "expected" in extra:
        return str(extra["expected"])
    if choices:
        return "one of " + ", ".join(choices)
    if field.annotation is bool:
        return "true or false"
    if field.annotation in (int, float):
        return ("a whole number" if field.annotation is int else "a number") + _bounds(field)
    return "the path of a folder" if field.annotation is Path else "text"


def _bounds(field: FieldInfo) -> str:
    low = next((limit.ge for limit in field.metadata if hasattr(limit, "ge")), None)
    high = next((limit.le for limit in field.metadata if hasattr(limit, "le")), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""
