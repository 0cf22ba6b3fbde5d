"""Dates of Unix days, for renderers: no clock, and no year that would be too large."""

from __future__ import annotations

DAY_S = 86_400


def civil(day: int) -> tuple[int, int, int]:
    """Return (year, month, day of the month) for days since 1970, as `civil_from_days` of Hinnant's
    chrono-compatible algorithms."""
    z = day + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    return yoe + era * 400 + (month <= 2), month, doy - (153 * mp + 2) // 5 + 1
