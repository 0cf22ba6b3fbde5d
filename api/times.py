"""Times that clients send: in the form in which answers have them, or as RFC 3339.

    Wed Sep 05 00:37:15 +0000 2012        2012-09-05T00:37:15Z        2012-09-05T02:37:15.250+02:00

Rules of this file
- A time without a zone is refused rather than guessed at, and so is a weekday that isn't the date's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from actors.core.errors import InvalidError, MalformedError
from actors.core.render import created_at
from api.params import Values, shown

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_OWN: Final = re.compile(
    rf"[A-Z][a-z]{{2}} ({'|'.join(_MONTHS)}) (\d\d) (\d\d):(\d\d):(\d\d) \+0000 (\d{{4}})", re.ASCII
)
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # of what datetime reads
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def clean_time(values: Values, field: str) -> int:
    """Return a time in Unix ms; 0 if none is given (absent, null or empty). Raises MalformedError or InvalidError."""
    value = values.get(field)
    if value is None or value == "":
        return 0
    if not isinstance(value, str):
        raise MalformedError(f"{field} must be a text, not {shown(value)}", field)
    ms = _ms_of(value)
    if ms is None:
        wanted = 'a time such as "Wed Sep 05 00:37:15 +0000 2012" or "2012-09-05T00:37:15Z"'
        raise InvalidError(f"{field} must be {wanted}, not {shown(value)}", field)
    if ms <= 0:
        raise InvalidError(f"{field} must be a time that is still to come, not {shown(value)}", field)
    return ms


def _ms_of(text: str) -> int | None:
    own = _OWN.fullmatch(text)
    try:
        if own is not None:
            month, day, hour, minute, second, year = own.groups()
            at = datetime(
                int(year), 1 + _MONTHS.index(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC
            )
        elif _RFC_3339.fullmatch(text):
            at = datetime.fromisoformat(text.upper())
        else:
            return None
    except ValueError:  # a month without that day, an hour that no day has
        return None
    elapsed = at - _EPOCH
    ms = (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
    return ms if own is None or created_at(ms) == text else None
