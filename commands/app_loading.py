"""Apps that are known from elsewhere: made with the credentials that their clients have, and tokens that are theirs.

Rules of this file
- An app is what `POST /api/v1/apps` would make of the same values; secrets are kept as hashes only.
- A token of an account that names an app is for the app's scopes; any other one is for everything.
- Loading the same again changes nothing. An app that is there with other facts is a conflict.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from actors.core import scopes
from actors.core.errors import InvalidError, NotFoundError, RookeryError
from actors.core.features.apps import App, read_app
from actors.core.ids import bucket_of_thing, thing_of_name
from actors.core.limits import APP_CLIENT_ID_BYTES_MAX, APP_REDIRECT_URIS_MAX
from api.access.auth import parse_token
from api.oauth.redirects import check_redirect
from cluster.client.cluster_client import ClusterClient
from commands.input_files import ImportedAccount, read_json_list
from commands.loading import Loaded, OnCount, chunks

AT_ONCE: Final = 64  # requests under way
_FIELDS: Final = ("client_id", "client_secret", "name", "redirect_uris", "scopes", "website")


@dataclass(frozen=True, slots=True)
class ImportedApp:
    """One entry of an apps file. scopes: a mask."""

    client_id: str
    client_secret: str
    name: str
    redirect_uris: tuple[str, ...]
    scopes: int
    website: str = ""


def read_apps(path: Path) -> list[ImportedApp]:
    """Read a JSON list of `{client_id, client_secret, name, redirect_uris, scopes?, website?}`.

    Raises InvalidError that names the entry.
    """
    entries = read_json_list(path, "apps")
    found: dict[str, ImportedApp] = {}
    for index, entry in enumerate(entries):
        try:
            app = _app(entry)
        except RookeryError as error:
            raise InvalidError(f"{path}, app {index}: {error.message}") from error
        if app.client_id in found:
            raise InvalidError(f"{path}, app {index}: its client_id comes twice")
        found[app.client_id] = app
    return list(found.values())


def _app(entry: Any) -> ImportedApp:
    from api.oauth.clients import NAME_CHARS_MAX  # here: it brings the web framework, which commands without apps spare

    if not isinstance(entry, dict):
        raise InvalidError("must be an object {client_id, client_secret, ...}")
    if unknown := sorted(set(entry) - set(_FIELDS)):
        raise InvalidError(f"unknown field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    texts = {name: entry.get(name) or "" for name in _FIELDS if name != "redirect_uris"}
    if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise InvalidError(f"{wrong[0]} must be a text")
    for name in ("client_id", "client_secret", "name"):
        if not texts[name]:
            raise InvalidError(f"{name} is required")
    if not texts["client_id"].isascii() or len(texts["client_id"]) > APP_CLIENT_ID_BYTES_MAX:
        raise InvalidError(f"client_id must be ASCII, {APP_CLIENT_ID_BYTES_MAX} characters at most")
    if len(texts["name"]) > NAME_CHARS_MAX:
        raise InvalidError(f"name may have {NAME_CHARS_MAX} characters")
    uris = entry.get("redirect_uris")
    if not isinstance(uris, list) or not 1 <= len(uris) <= APP_REDIRECT_URIS_MAX:
        raise InvalidError(f"redirect_uris must be a list of 1 to {APP_REDIRECT_URIS_MAX} texts")
    for uri in uris:
        if not isinstance(uri, str):
            raise InvalidError("redirect_uris must be texts")
        check_redirect(uri)
    return ImportedApp(
        texts["client_id"], texts["client_secret"], texts["name"], tuple(uris), scopes.parse(texts["scopes"]),
        texts["website"],
    )  # fmt: skip


async def load_apps(client: ClusterClient, apps: Sequence[ImportedApp], on_count: OnCount) -> Loaded:
    """Make apps that don't exist. Raises ConflictError for a client id that is another app's."""
    from api.oauth.clients import hash_of  # here: see _app

    async def make(app: ImportedApp) -> bool:
        app_id = thing_of_name(app.client_id)
        is_new = await _app_of(client, app.client_id) is None
        facts = [app.client_id, hash_of(app.client_secret), app.name, app.website, list(app.redirect_uris), app.scopes]
        await client.call(bucket_of_thing(app_id), "create_app", [app_id, *facts])
        return is_new

    return await _each(apps, make, on_count)


async def load_app_tokens(client: ClusterClient, accounts: Iterable[ImportedAccount], on_count: OnCount) -> Loaded:
    """Give accounts those of their tokens that are an app's. Raises InvalidError for an app that isn't there."""

    async def give(account: ImportedAccount) -> bool:
        app = await _app_of(client, account.app)
        if app is None:
            raise InvalidError(f"account {account.account_id}: there is no app {account.app!r}", "app")
        facts = [parse_token(account.token).secret_hash, None, app.name, app.scopes, thing_of_name(account.app)]
        await client.account(account.account_id, "login_token", *facts)
        return False

    return await _each([account for account in accounts if account.app and account.token], give, on_count)


async def _app_of(client: ClusterClient, client_id: str) -> App | None:
    app_id = thing_of_name(client_id)
    try:
        return read_app(await client.call(bucket_of_thing(app_id), "app", [app_id]))
    except NotFoundError:
        return None


async def _each(items: Sequence[Any], work: Callable[[Any], Any], on_count: OnCount) -> Loaded:
    """Do something with each, AT_ONCE at a time. work: returns whether something was new."""
    begin, new = time.perf_counter(), 0
    for part in chunks(items, AT_ONCE):
        new += sum(await asyncio.gather(*map(work, part)))
        on_count(len(part))
    return Loaded(len(items), new, time.perf_counter() - begin)
