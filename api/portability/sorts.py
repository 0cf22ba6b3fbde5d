"""The CSV files of Mastodon: which there are, what is in their columns, and how one that somebody sends is read.

    follows   Account address,Show boosts,Notify on new posts,Languages     true/false; languages "en, de"
    blocks    an address a line              mutes      Account address,Hide notifications
    lists     title,address                  bookmarks  the URI of a status a line         domain_blocks  a name a line

Rules of this file
- What is written has Mastodon's columns and headers, and an address is NAME@HOST of this very server.
- What is read may be of any Mastodon: with a byte order mark, CRLF, quoted fields, headers or none, columns in any
  order by their headers, an `@` before the address. A column that isn't there says nothing, as in Mastodon.
- A file is read whole before anything is done: one that is no CSV, or of another sort, changes nothing.

Cost: 1 us a row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError, MalformedError, TooLargeError
from api.params import shown

ROWS_MAX: Final = 20_000  # of one import, Mastodon's number
_ADDRESS: Final = "Account address"
_FALSE: Final = frozenset(("false", "f", "0", "off"))


class Sort(NamedTuple):
    """One sort of file. header: what is written first, () for nothing; columns: by header, what a row says."""

    name: str
    file_name: str
    alias: str
    header: tuple[str, ...]
    columns: tuple[str, ...]


SORTS: Final = {
    sort.name: sort
    for sort in (
        Sort(
            "follows", "following_accounts.csv", "following",
            (_ADDRESS, "Show boosts", "Notify on new posts", "Languages"), (_ADDRESS,),
        ),
        Sort("blocks", "blocked_accounts.csv", "blocking", (), (_ADDRESS,)),
        Sort("mutes", "muted_accounts.csv", "muting", (_ADDRESS, "Hide notifications"), (_ADDRESS,)),
        Sort("lists", "lists.csv", "lists", (), ("List name", _ADDRESS)),
        Sort("bookmarks", "bookmarks.csv", "bookmarks", (), ("#uri",)),
        Sort("domain_blocks", "blocked_domains.csv", "domain_blocking", (), ("#domain",)),
    )
}  # fmt: skip
_FIRST_HEADERS: Final = frozenset(sort.columns[0] for sort in SORTS.values())


class ImportRow(NamedTuple):
    """A row of a file that is imported. line: its number, from 1 on; what: the address, URI or domain.

    reposts, notify, notices: None where the file says nothing; languages: likewise; title: of a list.
    """

    line: int
    what: str
    reposts: bool | None = None
    notify: bool | None = None
    languages: list[str] | None = None
    notices: bool | None = None
    title: str = ""


def sort_of(name: str) -> Sort:
    """Return a sort by its name, or by Mastodon's of an import. Raises InvalidError."""
    for sort in SORTS.values():
        if name in (sort.name, sort.alias):
            return sort
    raise InvalidError(f"type must be one of {', '.join(SORTS)}, not {shown(name)}", "type")


def written(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return rows as CSV. A switch is true or false, and what isn't said an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_field(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _field(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def rows_of(sort: Sort, text: str) -> list[ImportRow]:
    """Return what a file says. Raises MalformedError for no CSV, InvalidError for another sort's, TooLargeError."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    found: list[ImportRow] = []
    columns: list[str] | None = None
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if columns is None:
                columns = _columns_of(sort, fields)
                if columns[0] == fields[0].strip():
                    continue
            if len(found) == ROWS_MAX:
                raise TooLargeError(f"a file may have {ROWS_MAX} rows; send it in parts", "data")
            found.append(_row(reader.line_num, dict(zip(columns, fields, strict=False))))
    except csv.Error as error:
        raise MalformedError(f"line {reader.line_num} of the file is no CSV: {error}", "data") from error
    if not found:
        raise InvalidError("the file has no rows", "data")
    return found


def _columns_of(sort: Sort, first: list[str]) -> list[str]:
    """Return what the columns are, by the first row: its headers, or those of the sort."""
    headers = [field.strip() for field in first]
    if headers[0] not in _FIRST_HEADERS:
        return list(sort.columns)
    if headers[0] != sort.columns[0] or not set(sort.columns) <= set(headers):
        raise InvalidError(f"a file of {sort.name} has the column {', '.join(sort.columns)}, not {headers[0]}", "data")
    return headers


def _row(line: int, fields: dict[str, str]) -> ImportRow:
    what = fields.get(_ADDRESS, fields.get("#uri", fields.get("#domain", ""))).strip()
    languages = fields.get("Languages", "").strip()
    return ImportRow(
        line, what, _switch(fields.get("Show boosts")), _switch(fields.get("Notify on new posts")),
        [code.strip() for code in languages.split(",")] if languages else None,
        _switch(fields.get("Hide notifications")), fields.get("List name", "").strip(),
    )  # fmt: skip


def _switch(field: str | None) -> bool | None:
    said = (field or "").strip().lower()
    return None if not said else said not in _FALSE
