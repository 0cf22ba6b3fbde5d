"""Apps and their tokens, loaded: as if their clients had asked for them."""

from __future__ import annotations

import orjson
import pytest

from actors.core import scopes
from actors.core.errors import ConflictError, InvalidError
from actors.core.ids import bucket_of_account, bucket_of_name, bucket_of_thing, thing_of_name
from api.access.auth import parse_token
from api.oauth.clients import hash_of
from commands.app_loading import load_app_tokens, load_apps, read_apps
from commands.input_files import ImportedAccount
from tests.api.core_cluster import CoreCluster

OOB = "urn:ietf:wg:oauth:2.0:oob"
APP = {
    "client_id": "known", "client_secret": "secret", "name": "Client", "redirect_uris": [OOB], "scopes": "read write",
}  # fmt: skip


class Client(CoreCluster):
    """The core, with the one method more that an operator's client has."""

    async def account(self, account_id, op, *args):
        return await self.call(bucket_of_account(account_id), op, [account_id, *args])


def apps_of(tmp_path, *entries):
    path = tmp_path / "apps.json"
    path.write_bytes(orjson.dumps(list(entries)))
    return read_apps(path)


async def test_apps_are_made_once_with_their_credentials(tmp_path):
    cluster, apps, counted = Client(), apps_of(tmp_path, APP), []
    assert (await load_apps(cluster, apps, counted.append)).new == 1
    assert (await load_apps(cluster, apps, counted.append)).new == 0
    app_id = thing_of_name("known")
    kept = cluster.answer(bucket_of_thing(app_id), "app", [app_id])
    assert kept[:6] == ["known", hash_of("secret"), "Client", "", APP["redirect_uris"], scopes.READ | scopes.WRITE]
    assert counted == [1, 1]
    with pytest.raises(ConflictError):
        await load_apps(cluster, apps_of(tmp_path, {**APP, "client_secret": "another"}), counted.append)


async def test_a_token_of_an_app_is_for_what_the_app_is(tmp_path):
    cluster = Client()
    await load_apps(cluster, apps_of(tmp_path, APP), lambda _: None)
    cluster.answer(bucket_of_name("ada"), "register", ["ada", 7, "", "", None, []])
    ada = ImportedAccount(7, "ada", token="imported", app="known")
    others = [ImportedAccount(8, "bob", token="imported too"), ImportedAccount(9, "eve", app="known")]
    for _ in range(2):
        assert (await load_app_tokens(cluster, [ada, *others], lambda _: None)).given == 1
    secret_hash = parse_token("imported").secret_hash
    found = cluster.answer(bucket_of_account(7), "token_scopes", [7, secret_hash])
    assert found == [scopes.READ | scopes.WRITE, thing_of_name("known")]
    with pytest.raises(InvalidError, match="there is no app 'unknown'"):
        await load_app_tokens(cluster, [ImportedAccount(7, "ada", token="x", app="unknown")], lambda _: None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"client_id": ""}, "client_id is required"), ({"client_id": "x" * 65}, "client_id must be ASCII"),
        ({"client_secret": None}, "client_secret is required"), ({"name": 5}, "name must be a text"),
        ({"name": "x" * 61}, "name may have 60"), ({"redirect_uris": "urn:x"}, "redirect_uris must be a list"),
        ({"redirect_uris": []}, "redirect_uris must be a list"), ({"redirect_uris": [5]}, "must be texts"),
        ({"redirect_uris": ["javascript:x"]}, "no absolute URI"), ({"scopes": "nonsense"}, "there is no scope"),
        ({"x": 1}, "unknown field 'x'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_entry_is_named(tmp_path, wrong, says):
    with pytest.raises(InvalidError, match="app 0: ") as caught:
        apps_of(tmp_path, {**APP, **wrong})
    assert says in caught.value.message


def test_a_client_id_comes_once(tmp_path):
    with pytest.raises(InvalidError, match="app 1: its client_id comes twice"):
        apps_of(tmp_path, APP, APP)


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_what_is_no_list_of_apps_is_refused(tmp_path, text):
    path = tmp_path / "apps.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidError):
        read_apps(path)
