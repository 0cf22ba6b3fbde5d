"""A password is the same from every keyboard (RFC 8265, OpaqueString); a hash from before that still works."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import InvalidError
from api.access.passwords import Passwords, prepare_password
from api.fields import new_password
from api.limits import PASSWORD_BYTES_MAX, PASSWORD_GIVEN_BYTES_MAX
from api.settings import PasswordSettings
from commands.bulk import clean_account
from commands.input_files import ImportedAccount
from tests.api.conftest import CHEAP_PASSWORDS, assert_error

SAME = [
    ("M\u00e4rchen!", "Ma\u0308rchen!"),
    ("\u212bngstr\u00f6m", "A\u030angstro\u0308m"),
    ("correct\u00a0horse", "correct horse"),
    ("\u3000\u2003blanks", "  blanks"),
    ("\ud55c\uad6d\uc5b4\ubb38", unicodedata.normalize("NFD", "\ud55c\uad6d\uc5b4\ubb38")),
    ("dot\u0323\u0307 below", "dot\u0307\u0323 below"),
]
OTHERS = [
    ("\ufb01nally yours", "finally yours"),
    ("HandSaw11", "handsaw11"),
    ("handsaw11 ", "handsaw11"),
    ("\uff50assword", "password"),
]
HASHER = PasswordHasher(1, 8, 1)
NUMBERS = itertools.count()


def register(http: Any, name: str, password: str) -> Any:
    return http.post("/api/v1/users", json={"username": name, "password": password})


def status_of_login(http: Any, name: str, password: str) -> int:
    return http.post("/api/v1/login", json={"username": name, "password": password}).status_code


@pytest.mark.parametrize(("chosen", "typed"), [*SAME, *(pair[::-1] for pair in SAME)])
def test_what_looks_the_same_is_the_same(anonymous, chosen, typed):
    name = f"same_{next(NUMBERS)}"
    assert register(anonymous, name, chosen).status_code == 201
    assert [status_of_login(anonymous, name, each) for each in (chosen, typed, typed + "x")] == [200, 200, 401]


@pytest.mark.parametrize(("chosen", "typed"), OTHERS)
def test_what_is_another_stays_another(anonymous, chosen, typed):
    name = f"other_{next(NUMBERS)}"
    assert register(anonymous, name, chosen).status_code == 201
    assert [status_of_login(anonymous, name, each) for each in (chosen, typed)] == [200, 401]


@pytest.mark.parametrize(
    "password", [*(each for pair in SAME for each in pair), "tab\tand line\n", "\x7f" * 8, "\u200dzero\u200dwidth"]
)
def test_a_hash_of_what_was_typed_still_works(ada, anonymous, fake, password):
    fake.set_password_hash(int(ada.user_id), HASHER.hash(password))
    assert [status_of_login(anonymous, ada.username, each) for each in (password, password + "x")] == [200, 401]


@pytest.mark.parametrize("password", ["plain and right", "Ma\u0308rchen!", "M\u00e4rchen!", "tab\tand\u00a0blank"])
async def test_nobody_is_checked_as_often_as_somebody_with_a_wrong_password(monkeypatch, password):
    checked: list[str] = []
    real = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", lambda self, *pair: checked.append(pair[1]) or real(self, *pair))
    passwords = Passwords(PasswordSettings(**CHEAP_PASSWORDS))
    for encoded in (None, HASHER.hash("something else")):
        checked.clear()
        assert not await passwords.matches(encoded, password)
        assert checked == list(dict.fromkeys([prepare_password(password), password]))
    passwords.close()


@pytest.mark.parametrize("wrong", ["tab\tbed and more", "line\nend and more", "nul\0 and more", "\x85" * 8, "\x7f" * 8])
def test_a_new_password_has_no_control_characters(anonymous, wrong):
    message = assert_error(register(anonymous, "controlled", wrong), 422, "password")["message"]
    assert "control characters" in message
    assert wrong not in message
    with pytest.raises(InvalidError, match="control characters"):
        clean_account(ImportedAccount(7, "imported", wrong))


def test_its_length_is_that_of_what_is_hashed(anonymous):
    letters = "a\u0308e\u0301o\u0308u\u0308" * 32  # 384 bytes, 256 once they are composed
    assert register(anonymous, "as_long_as_can_be", letters).status_code == 201
    assert status_of_login(anonymous, "as_long_as_can_be", letters) == 200
    assert_error(register(anonymous, "too_long", letters + "x"), 422, "password")
    assert_error(register(anonymous, "too_short", "a\u0308" * 3), 422, "password")
    endless = "a\u0308" * 20_000
    for reply in (
        register(anonymous, "endless", endless),
        anonymous.post("/api/v1/login", json={"username": "endless", "password": endless}),
    ):
        assert_error(reply, 422, "password")


@given(st.text(max_size=60))
def test_a_prepared_password_is_prepared(text):
    prepared = prepare_password(text)
    assert prepare_password(prepared) == prepared
    assert prepare_password(unicodedata.normalize("NFD", text)) == prepare_password(unicodedata.normalize("NFC", text))
    assert not any(unicodedata.category(char) == "Zs" and char != " " for char in prepared)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_what_may_be_chosen_may_be_tried(text):
    try:
        chosen = new_password(text)
    except InvalidError:
        assert not 8 <= len(prepare_password(text).encode()) <= PASSWORD_BYTES_MAX
        return
    assert chosen == prepare_password(text)
    assert len(text.encode()) <= PASSWORD_GIVEN_BYTES_MAX
