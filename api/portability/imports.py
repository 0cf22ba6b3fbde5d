"""A CSV file of Mastodon's, brought in: row by row through the rules of the API, with what became of each.

    rows --50 at a time--> names found out --> each row carried out --> what failed, how far it is
                                               at last, to overwrite: what the file doesn't have is taken back

Rules of this file
- A row does what the operation would do, and is refused as that is: blocks, limits, who wants to be asked first.
- Each row can be done again, and is then as it was: who was interrupted sends the same file again.
- What is taken back is so at the end, and not at all where a row couldn't be done for want of a shard, or none could:
  whoever isn't known can't be told from whoever isn't in the file.
- Other servers' accounts, statuses and domains are nothing that is here: such rows fail, and say so.

Cost: two to four lane requests a row, 10 rows at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError, RookeryError
from api.portability.exports import FileOwner
from api.portability.import_rows import Carrier, carrier_of
from api.portability.sorts import ImportRow, Sort

BATCH: Final = 50  # rows whose names are found out at once, and after which it is told how far it is
AT_ONCE: Final = 10  # rows under way
MODES: Final = ("merge", "overwrite")
_TRANSIENT_FROM: Final = 500


class Failed(NamedTuple):
    """A row that wasn't carried out, and why."""

    line: int
    what: str
    error: str


class ImportProgress(NamedTuple):
    """How far an import is: rows done, whether well or not, of all."""

    done: int
    of: int


class Finished(NamedTuple):
    """What has become of all rows. removed: taken back since the file doesn't have it; kept_why: why nothing was."""

    imported: int
    failed: int
    removed: int
    kept_why: str = ""


Told = Failed | ImportProgress | Finished


def mode_of(name: str) -> str:
    """Return a mode; merge where none is said. Raises InvalidError."""
    if name and name not in MODES:
        raise InvalidError(f"mode must be merge or overwrite, not {name[:40]!r}", "mode")
    return name or MODES[0]


async def imported(owner: FileOwner, sort: Sort, rows: list[ImportRow], mode: str) -> AsyncIterator[Told]:
    """Carry an import out, and yield what becomes of it; `Finished` is the last."""
    carrier = carrier_of(owner, sort)
    failed, is_sure = 0, True
    for begin in range(0, len(rows), BATCH):
        batch = rows[begin : begin + BATCH]
        for row, error in await _outcomes(carrier, batch):
            if error is not None:
                failed += 1
                is_sure = is_sure and error.status < _TRANSIENT_FROM
                yield Failed(row.line, row.what[:200], error.message)
        yield ImportProgress(begin + len(batch), len(rows))
    removed, kept_why = 0, ""
    if mode == "overwrite":
        if is_sure and failed < len(rows):
            try:
                removed = await carrier.drop_others()
            except RookeryError as error:
                kept_why = f"not all was taken back: {error.message}"
        else:
            kept_why = "nothing was taken back: " + ("no row could be read" if is_sure else "a shard didn't answer")
    yield Finished(len(rows) - failed, failed, removed, kept_why)


async def _outcomes(carrier: Carrier, rows: list[ImportRow]) -> list[tuple[ImportRow, RookeryError | None]]:
    """Carry some rows out; return each with its refusal, None where there is none."""
    try:
        await carrier.look_up(rows)
    except RookeryError as error:
        return [(row, error) for row in rows]
    found: list[RookeryError | None] = []
    for at in range(0, len(rows), AT_ONCE):
        found += await asyncio.gather(*(_outcome(carrier, row) for row in rows[at : at + AT_ONCE]))
    return list(zip(rows, found, strict=True))


async def _outcome(carrier: Carrier, row: ImportRow) -> RookeryError | None:
    try:
        await carrier.carry_out(row)
    except RookeryError as error:
        return error
    return None


def told_as_json(told: Told) -> dict[str, Any]:
    """Return what is told as a client reads it."""
    if isinstance(told, Failed):
        return {"line": told.line, "row": told.what, "error": told.error}
    if isinstance(told, ImportProgress):
        return {"done": told.done, "of": told.of}
    return {"finished": True, "imported": told.imported, "failed": told.failed, "removed": told.removed,
            **({"message": told.kept_why} if told.kept_why else {})}  # fmt: skip
