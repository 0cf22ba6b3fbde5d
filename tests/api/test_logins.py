"""Stolen tokens, guessed passwords, locked doors: attacks over HTTP on what lets people in."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher, extract_parameters

from actors.api_actor import pushes_to
from actors.core.errors import ConflictError, OverloadedError
from api.access.auth import parse_token
from api.access.hopeless import LIST, common_passwords, why_hopeless
from api.access.passwords import NOBODY
from api.limits import PASSWORD_BYTES_MIN
from api.settings import Rate
from cluster.client.shard_owners import OPENED
from tests.api.conftest import CHEAP_PASSWORDS, PASSWORD, ServerThread, User, assert_error, open_http
from tests.api.fake_cluster import FakeCluster

NEW = "another horse battery"
_numbers = itertools.count()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def log_in(http: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    return http.post("/api/v1/login", json={"username": name, "password": password})


def works(http: httpx.Client, user_id: str, token: str) -> bool:
    """Whether a token is believed; twice, so that the worker has it in its cache."""
    statuses = {http.get("/feed", params={"user_id": user_id}, headers=bearer(token)).status_code for _ in range(2)}
    assert statuses in ({200}, {401})
    return statuses == {200}


def change(user: User, **body: Any) -> httpx.Response:
    return user.http.post(f"/{user.user_id}/password", json={"password": PASSWORD, "new_password": NEW, **body})


# ---- a stolen token -------------------------------------------------------------------------------------------------


def test_a_change_of_password_takes_a_stolen_token_back_wherever_it_was_stolen(ada, anonymous):
    stolen = [log_in(anonymous, ada.username).json()["auth_token"] for _ in range(3)]
    assert all(works(anonymous, ada.user_id, token) for token in [*stolen, ada.token])
    reply = change(ada)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "private, no-store"
    fresh = reply.json().pop("auth_token")
    assert {**reply.json(), "auth_token": ""} == {"user_id": ada.user_id, "auth_token": "", "revoked": 4}
    assert not any(works(anonymous, ada.user_id, token) for token in [*stolen, ada.token])  # his own may be the stolen
    assert works(anonymous, ada.user_id, fresh)
    assert log_in(anonymous, ada.username).status_code == 401
    assert log_in(anonymous, ada.username, NEW).status_code == 200


def test_everybody_may_be_left_logged_in(ada, anonymous):
    other = log_in(anonymous, ada.username).json()["auth_token"]
    assert change(ada, keep_tokens=True).json() == {"user_id": ada.user_id, "auth_token": None, "revoked": 0}
    assert works(anonymous, ada.user_id, other)
    assert works(anonymous, ada.user_id, ada.token)
    assert log_in(anonymous, ada.username).status_code == 401


@pytest.mark.parametrize("guess", ["", "wrong password", PASSWORD.upper(), PASSWORD + " "])
def test_who_has_stolen_a_token_cant_change_the_password(ada, anonymous, guess):
    error = assert_error(change(ada, password=guess), 403, "password")
    assert not guess or guess not in error["message"]
    assert works(anonymous, ada.user_id, ada.token)
    assert log_in(anonymous, ada.username).status_code == 200


def test_a_change_needs_the_accounts_own_token_and_both_passwords(ada, bob, anonymous):
    body = {"password": PASSWORD, "new_password": NEW}
    assert_error(bob.http.post(f"/{ada.user_id}/password", json=body), 403)
    assert_error(anonymous.post(f"/{ada.user_id}/password", json=body), 401)
    for field in body:
        left = {name: value for name, value in body.items() if name != field}
        assert_error(ada.http.post(f"/{ada.user_id}/password", json=left), 422, field)
        assert_error(change(ada, **{field: 5}), 400, field)
    assert_error(change(ada, keep_tokens="perhaps"), 400, "keep_tokens")
    assert log_in(anonymous, ada.username).status_code == 200


@pytest.mark.parametrize("new", ["short", "12345678", "tab\tand more", "x" * 257, "Iloveyou", "rookery!"])
def test_a_new_password_is_held_to_what_registration_asks_for(ada, new):
    error = assert_error(change(ada, new_password=new), 422, "new_password")
    assert new not in error["message"]


def test_a_change_may_come_in_a_form(ada, anonymous):
    form = {"password": PASSWORD, "new_password": NEW, "keep_tokens": "true", "auth_token": ada.token}
    assert anonymous.post(f"/{ada.user_id}/password", data=form).json()["revoked"] == 0
    assert works(anonymous, ada.user_id, ada.token)


def test_all_logins_of_an_account_end(ada, bob, anonymous):
    others = [log_in(anonymous, ada.username).json()["auth_token"] for _ in range(2)]
    assert all(works(anonymous, ada.user_id, token) for token in others)
    assert_error(bob.http.delete(f"/{ada.user_id}/tokens"), 403)
    reply = ada.http.delete(f"/{ada.user_id}/tokens")
    assert reply.json() == {"user_id": ada.user_id, "revoked": 3}
    assert not any(works(anonymous, ada.user_id, token) for token in [*others, ada.token])
    assert works(anonymous, bob.user_id, bob.token)
    assert log_in(anonymous, ada.username).status_code == 200


@pytest.mark.parametrize("how", ["query", "json", "form"])
def test_the_callers_own_may_stay(ada, anonymous, how):
    other = log_in(anonymous, ada.username).json()["auth_token"]
    sent = {
        "query": {"params": {"keep_own": "true"}},
        "json": {"json": {"keep_own": True}},
        "form": {"data": {"keep_own": "1"}},
    }
    for count in (1, 0):
        reply = ada.http.request("DELETE", f"/{ada.user_id}/tokens", **sent[how])
        assert reply.json() == {"user_id": ada.user_id, "revoked": count}
    assert not works(anonymous, ada.user_id, other)
    assert works(anonymous, ada.user_id, ada.token)


@pytest.mark.parametrize("how", ["change", "end"])
def test_a_worker_that_knows_the_tokens_is_told_once_and_believes_none_of_them(how):
    fake, told = FakeCluster(), []
    with ServerThread(fake=fake) as here:
        on_revoked_here = fake.on_revoked
        with ServerThread(fake=fake) as there, open_http(here.base_url) as http, open_http(there.base_url) as elsewhere:
            on_revoked_there = fake.on_revoked

            def tell(*revoked: Any) -> None:
                told.append(revoked)
                on_revoked_here(*revoked)
                on_revoked_there(*revoked)

            fake.on_revoked = tell
            user = http.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).json()
            tokens = [user["auth_token"], *(log_in(http, "ada").json()["auth_token"] for _ in range(20))]
            assert all(works(elsewhere, user["user_id"], token) for token in tokens)
            asked = fake.calls.count("home")
            path, body = f"/{user['user_id']}", {"password": PASSWORD, "new_password": NEW}
            if how == "change":
                http.post(f"{path}/password", json=body, headers=bearer(tokens[0])).raise_for_status()
            else:
                http.delete(f"{path}/tokens", headers=bearer(tokens[0])).raise_for_status()
            assert told == [(int(user["user_id"]), None)]
            assert not any(works(elsewhere, user["user_id"], token) for token in tokens)
            assert fake.calls.count("home") == asked + 2 * len(tokens), "each was asked for again"
            for live in (here, there):
                live.worker._services.auth.check()


def test_what_was_revoked_while_a_lane_was_away_is_believed_no_longer_once_it_opens():
    fake = FakeCluster()
    with ServerThread(fake=fake) as here, ServerThread(fake=fake) as away:
        push = pushes_to(away.worker, fake.on_revoked)
        fake.on_revoked = lambda *revoked: None  # the worker that is away is told nothing
        with open_http(here.base_url) as http, open_http(away.base_url) as elsewhere:
            user = http.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).json()
            user_id, stolen = user["user_id"], log_in(http, "ada").json()["auth_token"]
            assert works(elsewhere, user_id, stolen)
            ended = http.delete(f"/{user_id}/tokens", params={"keep_own": "true"}, headers=bearer(user["auth_token"]))
            assert ended.json()["revoked"] == 1
            assert works(elsewhere, user_id, stolen), "it was told nothing"
            opened = threading.Event()
            for step in (functools.partial(push, OPENED, 0), opened.set):
                away.worker._serving.get_loop().call_soon_threadsafe(step)
            assert opened.wait(60)
            assert not works(elsewhere, user_id, stolen)
            assert works(elsewhere, user_id, user["auth_token"])
        away.worker._services.auth.check()


def test_a_token_has_one_spelling(ada, anonymous, fake):
    assert works(anonymous, ada.user_id, ada.token)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = ada.token[:-1] + letters[letters.index(ada.token[-1]) ^ 1]
    others = [spare, ada.token.replace("-", "+").replace("_", "/").replace("rk/", "rk_"), ada.token + "=="]
    for other in others:
        if other != ada.token:
            assert parse_token(other).account_id == 0
            assert not works(anonymous, ada.user_id, other)


# ---- who was slow ---------------------------------------------------------------------------------------------------


def test_a_login_with_the_old_password_gets_no_token_when_it_is_changed_meanwhile(ada, anonymous, fake):
    def changed_just_before(account_id: int, secret_hash: bytes, *seen: str) -> bool:
        if fake.password_hash(account_id) == seen[0]:
            fake.set_password_hash(account_id, PasswordHasher(1, 8, 1).hash(NEW))
            fake.answer_of("revoke_tokens", account_id, [])
        return fake.answer_of("login_token", account_id, secret_hash, *seen)

    fake.do_login_token = changed_just_before
    try:
        assert_error(log_in(anonymous, ada.username), 401)
        assert fake.answer_of("tokens", int(ada.user_id)) == []
    finally:
        del fake.do_login_token


def test_a_login_whose_hash_is_made_anew_meanwhile_goes_on(ada, anonymous, fake):
    renewed: list[str] = []

    def renewed_just_before(account_id: int, secret_hash: bytes, *seen: str) -> bool:
        if not renewed:
            renewed.append(seen[0])
            fake.set_password_hash(account_id, PasswordHasher(1, 8, 1).hash(PASSWORD))
        return fake.answer_of("login_token", account_id, secret_hash, *seen)

    fake.do_login_token = renewed_just_before
    try:
        assert log_in(anonymous, ada.username).status_code == 200
    finally:
        del fake.do_login_token


def test_a_change_that_was_overtaken_is_a_conflict(ada, fake):
    def overtaken(*_: Any) -> int:
        raise ConflictError("account 5 has another password meanwhile", "password")

    fake.do_change_password = overtaken
    try:
        assert_error(change(ada), 409, "password")
    finally:
        del fake.do_change_password


def test_nobody_is_looked_up_as_often_as_somebody(ada, anonymous, fake):
    counts = []
    for name in (ada.username, "nobody_at_all"):
        fake.calls.clear()
        assert log_in(anonymous, name, "guess").status_code == 401
        counts.append(len(fake.calls))
    assert counts == [2, 2]


# ---- hopeless passwords ---------------------------------------------------------------------------------------------


def test_the_list_is_small_names_its_source_and_holds_what_could_be_chosen():
    text = LIST.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "Source:" in text.splitlines()[1]
    assert 1_000 <= len(common_passwords()) <= 5_000
    assert all(len(each.encode()) >= PASSWORD_BYTES_MIN for each in common_passwords())
    assert all(each == each.casefold().strip() for each in common_passwords())


HOPELESS = [
    "password", "PassWord", "12345678", "qwertyuiop", "iloveyou", "trustno1", "starwars", "adalovelace", "AdaLovelace",
    "adalovelace1815", "123adalovelace!", "rookery1", "Rookery2026!", "__rookery", "aaaaaaaa", "ABABABAB",
    "\u00fc" * 8,
]  # fmt: skip
FINE = [
    PASSWORD,
    "correct horse",
    "battery staple",
    "long enough",
    "Ada Lovelace 1815",
    "rookery of my own",
    "xkcd-936-ok",
]


@pytest.mark.parametrize("password", HOPELESS)
def test_a_password_that_is_tried_first_is_refused_with_a_reason(anonymous, password):
    reply = anonymous.post("/api/v1/users", json={"username": "AdaLovelace", "password": password})
    message = assert_error(reply, 422, "password")["message"]
    assert message.startswith("password ")
    assert password not in message.removeprefix("password ").replace("passwords", "")


@pytest.mark.parametrize("password", FINE)
def test_a_password_that_is_not_may_be_chosen(password):
    assert why_hopeless(password, "AdaLovelace") is None


def test_a_short_user_name_spoils_no_password():
    assert why_hopeless("q!83920#71", "q") is None
    assert why_hopeless("abcdefgh", "abcdefgh") is not None


def test_who_has_such_a_password_from_before_logs_in_with_it(ada, anonymous, fake):
    fake.set_password_hash(int(ada.user_id), PasswordHasher(1, 8, 1).hash("password"))
    assert log_in(anonymous, ada.username, "password").status_code == 200


# ---- hashes that are made anew --------------------------------------------------------------------------------------


def hash_of(fake: FakeCluster, user: User) -> str:
    return fake.password_hash(int(user.user_id))


def wait_for(holds: Any, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize(
    ("hasher", "hashed", "typed"),
    [
        (PasswordHasher(1, 8, 1, hash_len=16), PASSWORD, PASSWORD),
        (PasswordHasher(2, 16, 2), PASSWORD, PASSWORD),
        (PasswordHasher(1, 8, 1), "Ma\u0308rchen!", "Ma\u0308rchen!"),  # of what was typed, from before it was composed
    ],
)
def test_a_hash_of_another_cost_is_made_anew_after_a_login(ada, anonymous, fake, hasher, hashed, typed):
    old = fake.set_password_hash(int(ada.user_id), hasher.hash(hashed))
    assert log_in(anonymous, ada.username, typed + "x").status_code == 401
    assert hash_of(fake, ada) == old
    assert log_in(anonymous, ada.username, typed).status_code == 200
    assert wait_for(lambda: hash_of(fake, ada) != old)
    parameters = extract_parameters(hash_of(fake, ada))
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == tuple(CHEAP_PASSWORDS.values())
    assert log_in(anonymous, ada.username, typed).status_code == 200
    assert works(anonymous, ada.user_id, ada.token), "nobody was logged out"
    fresh = hash_of(fake, ada)
    assert log_in(anonymous, ada.username, typed).status_code == 200
    assert not wait_for(lambda: hash_of(fake, ada) != fresh, 0.1)


@pytest.mark.parametrize("error", [OverloadedError("away"), ConflictError("changed"), TimeoutError()])
def test_a_login_does_not_suffer_when_that_fails(ada, anonymous, fake, error):
    tried: list[tuple[Any, ...]] = []

    def fail(*args: Any) -> int:
        tried.append(args)
        raise error

    old = fake.set_password_hash(int(ada.user_id), PasswordHasher(2, 16, 1).hash(PASSWORD))
    fake.do_change_password = fail
    try:
        for count in (1, 2):
            assert log_in(anonymous, ada.username).status_code == 200
            assert wait_for(lambda count=count: len(tried) == count)
    finally:
        del fake.do_change_password
    assert hash_of(fake, ada) == old
    assert [args[1] for args in tried] == [old, old]
    assert all(args[3:] == (None, None) for args in tried)


# ---- floods ---------------------------------------------------------------------------------------------------------


def from_address(base_url: str, address: str) -> httpx.Client:
    return httpx.Client(base_url=base_url, transport=httpx.HTTPTransport(local_address=address), timeout=60)


SLOW = {"time_cost": 2, "memory_kib": 4_096, "parallelism": 1}  # some milliseconds


def test_wrong_passwords_from_one_address_keep_nobody_else_out():
    limits = {"login": Rate(0.1, 20)}
    with ServerThread({"rate_limits": limits}) as live, from_address(live.base_url, "127.0.0.9") as thief:
        thief.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).raise_for_status()
        wrong = [log_in(thief, "ada", "guess").status_code for _ in range(30)]
        assert wrong == [401, 401, *[429] * 28]
        assert_error(log_in(thief, "ada"), 429)
        with from_address(live.base_url, "127.0.0.2") as owner:
            assert log_in(owner, "ada").status_code == 200
        unknown = [log_in(thief, "nobody_at_all", "guess") for _ in range(30)]
        assert [reply.status_code for reply in unknown] == wrong, "an account that doesn't exist looks the same"
        live.worker._services.logins.check()


def test_guesses_by_a_stolen_token_count_as_those_of_a_login():
    limits = {"login": Rate(0.1, 20)}
    with ServerThread({"rate_limits": limits}) as live, open_http(live.base_url) as http:
        user = http.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).json()
        url, headers = f"/{user['user_id']}/password", bearer(user["auth_token"])
        guess = {"password": "guess", "new_password": NEW}
        assert [http.post(url, json=guess, headers=headers).status_code for _ in range(5)] == [403, 403, 429, 429, 429]
        assert log_in(http, "ada", "guess").status_code == 429


@pytest.mark.parametrize("flood", ["wrong password", "right password", "new accounts"])
def test_forty_who_log_in_in_a_loop_keep_no_honest_login_waiting(flood):
    """From one address; honest people come from elsewhere."""
    fake, stop = FakeCluster(), threading.Event()
    limits = dict.fromkeys(("login", "register", "account_write"), Rate(1e6, 1e6))
    settings = {"passwords": SLOW, "rate_limits": limits}
    statuses: list[int] = []
    with ServerThread(settings, fake) as live, from_address(live.base_url, "127.0.0.2") as honest:
        honest.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).raise_for_status()

        def loop(number: int) -> None:
            with from_address(live.base_url, "127.0.0.9") as http:
                while not stop.is_set():
                    if flood == "new accounts":
                        body = {"username": f"flood_{next(_numbers)}", "password": PASSWORD}
                        statuses.append(http.post("/api/v1/users", json=body).status_code)
                    else:
                        password = PASSWORD if flood == "right password" else "guess"
                        statuses.append(log_in(http, "ada", password).status_code)

        with ThreadPoolExecutor(40) as crowd:
            running = [crowd.submit(loop, number) for number in range(40)]
            try:
                assert wait_for(lambda: 429 in statuses)
                assert [log_in(honest, "ada").status_code for _ in range(6)] == [200] * 6
            finally:
                stop.set()
            for each in running:
                each.result()
        live.worker._services.passwords.line.check()
    assert set(statuses) <= {200, 201, 401, 429}, "whoever floods waits or is told so, and no worker breaks down"


def test_successes_count_among_the_writes_of_their_account():
    limits = {"login": Rate(1e6, 1e6), "account_write": Rate(0.1, 3)}
    with ServerThread({"rate_limits": limits}) as live, open_http(live.base_url) as http:
        http.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).raise_for_status()
        assert [log_in(http, "ada").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        assert log_in(http, "ada", "guess").status_code == 401


def test_a_deadline_ends_the_wait_in_line_and_leaves_no_place_taken():
    settings = {"passwords": {**SLOW, "threads": 1}, "request_timeout_s": 0.3}
    with ServerThread(settings) as live, open_http(live.base_url) as http:
        line = live.worker._services.passwords.line
        hold = threading.Event()
        asked = asyncio.run_coroutine_threadsafe(line.run(NOBODY, hold.wait), live.worker._serving.get_loop())
        assert_error(log_in(http, "ada"), 503)
        hold.set()
        asked.result(60)
        assert (line.waiting_count, line.running_count) == (0, 0)
        deadline = time.monotonic() + 60
        while log_in(http, "ada").status_code != 401:  # 503 while the machine does something else for 0.3 s
            assert time.monotonic() < deadline


# ---- the list of log-ins --------------------------------------------------------------------------------------------


def tokens_of(http: httpx.Client, user_id: str, token: str) -> list[dict[str, Any]]:
    reply = http.get(f"/{user_id}/tokens", headers=bearer(token))
    assert reply.status_code == 200
    assert token.encode() not in reply.content
    return reply.json()["tokens"]


def test_log_ins_are_listed_by_the_name_that_their_clients_gave_them(ada, anonymous):
    named = {"username": ada.username, "password": PASSWORD, "token_name": "Ada's phone"}
    phone = anonymous.post("/api/v1/login", json=named).json()["auth_token"]
    listed = tokens_of(anonymous, ada.user_id, phone)
    assert [(entry["name"], entry["current"]) for entry in listed] == [("Ada's phone", True), ("", False)]
    assert all(entry["created_at"].split()[-2] == "+0000" for entry in listed)
    assert [entry["last_used_at"] for entry in listed] == [None, None]


def test_one_log_in_ends_by_the_id_that_its_list_gives_it(ada, bob, anonymous):
    other = log_in(anonymous, ada.username).json()["auth_token"]
    assert works(anonymous, ada.user_id, other)
    (wanted,) = [entry["id"] for entry in tokens_of(anonymous, ada.user_id, ada.token) if not entry["current"]]
    path = f"/{ada.user_id}/tokens/{wanted}"
    assert_error(bob.http.delete(path), 403)
    assert ada.http.delete(path).json() == {"revoked": True}
    assert not works(anonymous, ada.user_id, other)
    assert works(anonymous, ada.user_id, ada.token)
    assert_error(ada.http.delete(path), 404, "token_id")
    assert_error(ada.http.delete(f"/{ada.user_id}/tokens/nonsense"), 404, "token_id")


@pytest.mark.parametrize(("name", "status"), [("x" * 65, 422), ("tab\there", 422), (5, 400), (" ", 422)])
def test_a_name_of_a_token_that_nobody_could_read_is_refused(anonymous, ada, name, status):
    body = {"username": ada.username, "password": PASSWORD, "token_name": name}
    assert_error(anonymous.post("/api/v1/login", json=body), status, "token_name")


def test_while_older_shards_are_about_tokens_have_no_names_and_no_list(fake, ada, anonymous, monkeypatch):
    monkeypatch.setattr(type(fake), "level", 0)
    body = {"username": ada.username, "password": PASSWORD, "token_name": "phone"}
    assert anonymous.post("/api/v1/login", json=body).status_code == 200
    assert_error(ada.http.get(f"/{ada.user_id}/tokens"), 503)
    assert_error(ada.http.delete(f"/{ada.user_id}/tokens/0123456789abcdef"), 503)
