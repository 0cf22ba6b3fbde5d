"""Parameters of Mastodon's clients, in every form in which they send them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import InvalidError, MalformedError
from api.mastodon.inputs import DEPTH_MAX, FIELD_COUNT_MAX, Params, nested


def of(query: str) -> dict[str, Any]:
    return nested(parse_qsl(query, keep_blank_values=True))


@pytest.mark.parametrize(("query", "expected"), [
    ("", {}),
    ("a=1&b=", {"a": "1", "b": ""}),
    ("id[]=1&id[]=2", {"id": ["1", "2"]}),
    ("id=1&id=2&id=3", {"id": ["1", "2", "3"]}),
    ("id=1&id[]=2", {"id": ["1", "2"]}),
    ("poll[options][]=x&poll[options][]=y&poll[expires_in]=60", {"poll": {"options": ["x", "y"], "expires_in": "60"}}),
    ("home[last_read_id]=7", {"home": {"last_read_id": "7"}}),
    ("k[][w]=a&k[][x]=b&k[][w]=c", {"k": [{"w": "a", "x": "b"}, {"w": "c"}]}),
    ("fields[1][name]=b&fields[0][name]=a&fields[0][value]=v",
     {"fields": [{"name": "a", "value": "v"}, {"name": "b"}]}),
    ("a[b=1", {"a[b": "1"}),
    ("[]=1", {"[]": "1"}),
])  # fmt: skip
def test_names_with_brackets_are_nested_as_rails_nests_them(query, expected):
    assert of(query) == expected


@pytest.mark.parametrize("query", ["a=1&a[b]=2", "a[b]=1&a=2", "a[][][b]=1", "a" + "[b]" * (DEPTH_MAX + 1) + "=1"])
def test_what_contradicts_itself_or_is_nested_too_deep_is_refused(query):
    with pytest.raises(MalformedError, match=r"^a|'a"):
        of(query)


def test_more_fields_than_any_client_sends_are_refused():
    with pytest.raises(MalformedError, match="parameters"):
        nested([(f"a{n}", "") for n in range(FIELD_COUNT_MAX + 1)])


NAMES = st.text(st.sampled_from("ab01[]"), max_size=12)


@given(st.lists(st.tuples(NAMES, st.text(max_size=3)), max_size=12))
def test_any_names_are_read_or_refused(pairs):
    try:
        found = nested(pairs)
    except MalformedError:
        return
    assert all(isinstance(value, (str, list, dict)) for value in found.values())


@pytest.mark.parametrize(("value", "expected"), [
    ("true", True), ("1", True), ("on", True), ("T", True), (True, True), (1, True),
    ("false", False), ("0", False), ("", False), (False, False), (0, False), (None, None), (["0", "1"], True),
])  # fmt: skip
def test_switches(value, expected):
    assert Params({"a": value}).flag("a") is bool(expected)
    if value is None:
        assert Params({"a": value}).flag("a", True)


@pytest.mark.parametrize("value", ["maybe", {"a": 1}, 2, 0.5])
def test_what_is_no_switch_is_refused_and_named(value):
    with pytest.raises(MalformedError, match="a must be true or false"):
        Params({"a": value}).flag("a")


def test_numbers_are_cut_to_what_is_allowed_and_texts_that_are_none_refused():
    params = Params({"limit": "9999999999999999999999", "low": "0", "x": "many", "n": 7, "empty": ""})
    assert [params.whole("limit", 20, 1, 40), params.whole("low", 20, 1, 40), params.whole("absent", 20, 1, 40)] == [
        40, 1, 20
    ]  # fmt: skip
    assert (params.whole("n", 20, 1, 40), params.whole("empty", 20, 1, 40), params.id("n")) == (7, 20, 7)
    with pytest.raises(MalformedError, match="x must be a whole number, not 'many'"):
        params.whole("x", 20, 1, 40)


def test_ids_come_as_lists_single_values_and_numbers_and_what_is_none_is_nobodys():
    assert Params({"id": ["1", 2, "x", "1", None, "-3"]}).ids("id", 40) == [1, 2]
    assert Params({"id": "7"}).ids("id", 40) == [7]
    assert Params({}).ids("id", 40) == []
    with pytest.raises(InvalidError, match="id may be 2, not 3"):
        Params({"id": [1, 2, 3]}).ids("id", 2)


def test_texts_are_single_values_the_last_of_several_and_numbers_of_json():
    assert Params({"a": ["x", "y"]}).text("a") == "y"
    assert Params({"a": 5}).text("a") == "5"
    assert Params({}).text("a", "default") == "default"
    for wrong in (True, {"b": 1}):
        with pytest.raises(MalformedError, match="a must be a text"):
            Params({"a": wrong}).text("a")


def test_members_are_read_from_inside():
    params = Params({"poll": {"options": ["a", "b"]}, "home": "x"})
    assert params.inside("poll").texts("options") == ["a", "b"]
    assert params.inside("absent").values == {}
    with pytest.raises(MalformedError, match=r"home must have members, such as home\[id\], not 'x'"):
        params.inside("home")
