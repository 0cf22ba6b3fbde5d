"""The pages on which somebody takes files along and brings them in, where Mastodon has them.

    /settings/export               what there is            /settings/exports/follows.csv ...   the files
    /settings/import               the form, and what became of a file; Mastodon's /settings/imports is the same

Rules of this file
- Only for who is signed in; anybody else is sent to sign in, and back.
- A file is brought in while its page is being sent: how far it is, and each row that failed, is there to be read at
  once. There are no scripts. Whoever goes away ends it, and may send the same file again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from markupsafe import escape
from starlette.responses import Response

from actors.core.errors import RookeryError
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.http.body import CSV
from api.levels import require_level
from api.links import host_of
from api.oauth.authorizing import SIGN_IN
from api.oauth.sessions import Visit
from api.oauth.templating import HTML, PAGE_HEADERS, page, redirect, text_round
from api.portability.archive import FILE, ZIP, archived
from api.portability.exports import FileOwner, exported
from api.portability.imports import MODES, Failed, ImportProgress, Told, imported, mode_of
from api.portability.long_work import LongAnswer
from api.portability.sorts import SORTS, ImportRow, Sort, rows_of, sort_of

EXPORT: Final = "/settings/export"
IMPORT: Final = "/settings/import"
IMPORTS: Final = "/settings/imports"
FILES: Final = {f"/settings/exports/{sort.name}.csv": sort for sort in SORTS.values()}
ARCHIVE: Final = f"/settings/exports/{FILE}"
NEXT: Final = frozenset((EXPORT, IMPORT, IMPORTS, ARCHIVE, *FILES))  # to which who has signed in may be sent back
_WORDS: Final = {
    "follows": "Whom you follow", "blocks": "Whom you block", "mutes": "Whom you mute", "lists": "Your lists",
    "bookmarks": "Your bookmarks", "domain_blocks": "Servers that you block",
}  # fmt: skip
_GROUPS: Final = ("form_import", "import")  # under which Mastodon's forms have their fields, now and once


async def show_exports(visit: Visit) -> Response:
    """Show which files there are."""
    if not visit.account_id:
        return _sign_in(visit)
    files = [(path, _WORDS[sort.name], sort.file_name) for path, sort in FILES.items()]
    files.append((ARCHIVE, "All that you have said (ActivityStreams)", FILE))
    return page("export", "Export", {"files": files, "import_path": IMPORT})


async def export_file(visit: Visit) -> Response:
    """One of them, or the archive."""
    if not visit.account_id:
        return _sign_in(visit)
    require_level(visit.services, MASTODON_FROM_LEVEL)
    if _path(visit) == ARCHIVE:
        return LongAnswer(visit.services.long_work, visit.account_id, archived(_owner(visit)), ZIP, FILE)
    sort = FILES[_path(visit)]
    return LongAnswer(
        visit.services.long_work, visit.account_id, exported(_owner(visit), sort), CSV, sort.file_name
    )  # fmt: skip


async def show_import(visit: Visit) -> Response:
    """Show the form."""
    if not visit.account_id:
        return _sign_in(visit)
    return _form(visit)


async def take_import(visit: Visit) -> Response:
    """Bring a file in, and tell how far it is."""
    visit.require_form(IMPORT)
    if not visit.account_id:
        return _sign_in(visit)
    require_level(visit.services, MASTODON_FROM_LEVEL)
    given = next((visit.params.inside(name) for name in _GROUPS if name in visit.params), visit.params)
    try:
        sort, mode = sort_of(given.text("type")), mode_of(given.text("mode"))
        rows = await asyncio.to_thread(rows_of, sort, given.text("data"))
    except RookeryError as error:
        return _form(visit, f"{error.message[:1].upper()}{error.message[1:]}.", error.status)
    answer = LongAnswer(visit.services.long_work, visit.account_id, _told(_owner(visit), sort, rows, mode), HTML)
    answer.headers.update(PAGE_HEADERS)
    return answer


async def _told(owner: FileOwner, sort: Sort, rows: list[ImportRow], mode: str) -> AsyncIterator[bytes]:
    head, tail = text_round("importing", "Import", {"words": _WORDS[sort.name], "count": len(rows)})
    yield head.encode()
    async for told in imported(owner, sort, rows, mode):
        yield f"<p>{escape(_sentence(told))}</p>\n".encode()
    yield tail.encode()


def _sentence(told: Told) -> str:
    if isinstance(told, Failed):
        return f"Line {told.line}, {told.what}: {told.error}."
    if isinstance(told, ImportProgress):
        return f"{told.done} of {told.of}"
    why = f" But {told.kept_why}." if told.kept_why else ""
    done = f"Finished: {told.imported} brought in, {told.failed} failed, {told.removed} taken back."
    return done + why


def _form(visit: Visit, alert: str = "", status: int = 200) -> Response:
    sorts = [(sort.alias, _WORDS[sort.name]) for sort in SORTS.values()]
    values = {"form_token": visit.form_token(IMPORT), "action": IMPORT, "sorts": sorts, "modes": MODES}
    return page("import", "Import", {**values, "export_path": EXPORT}, status, alert=alert)


def _sign_in(visit: Visit) -> Response:
    return redirect(f"{SIGN_IN}?next={_path(visit)}")


def _path(visit: Visit) -> str:
    return str(visit.scope["path"]).removesuffix("/")


def _owner(visit: Visit) -> FileOwner:
    return FileOwner(visit.services, visit.account_id, host_of(visit.services.origins.origin(visit.scope)))
