"""Normal forms: Python's own, whatever the text, without its sorting by insertion."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.normal_form import _LONG_RUN, RUN_CHARS_MAX, SHRINKS_MAX, normalize

FORMS = ("NFC", "NFD", "NFKC", "NFKD")


@cache
def composed() -> list[str]:
    return [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.decomposition(char)]


@cache
def become_marks() -> list[str]:
    """Return all marks, and what begins with one once it is taken apart."""
    marks = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(char)]
    return marks + [char for char in composed() if unicodedata.combining(unicodedata.normalize("NFKD", char)[0])]


letters = st.sampled_from(["a", "é", "ậ", "日", "가", " ", "ᾂ", "\u200d", "ก", "𑀅"])
marks = st.lists(st.deferred(lambda: st.sampled_from(become_marks())), max_size=3) | st.lists(
    st.sampled_from(["\u0300", "\u0316", "\u0344", "\u0345", "\u0f73", "\u3099", "\uff9e", "\u05b0", "\U0001e94a"]),
    min_size=RUN_CHARS_MAX, max_size=80,
)  # fmt: skip


@given(st.lists(st.tuples(letters, marks.map("".join)).map("".join), max_size=4).map("".join))
@example("é" + "\u0316\u0300" * 40)
@example("\uff9e\u0300" * 40)
def test_any_text_gets_the_form_that_python_gives_it(text):
    for form in FORMS:
        assert normalize(form, text) == unicodedata.normalize(form, text)


def test_every_character_that_is_a_mark_or_becomes_one_makes_a_long_run():
    assert [char for char in become_marks() if not _LONG_RUN.fullmatch(char * (RUN_CHARS_MAX + 1))] == []
    assert not any(_LONG_RUN.search(char * RUN_CHARS_MAX) for char in become_marks())


def test_nfc_makes_one_character_of_four_at_most():
    normal = [char for char in composed() if unicodedata.is_normalized("NFC", char)]
    assert max(len(unicodedata.normalize("NFD", char)) for char in normal) == SHRINKS_MAX


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("unit", ["\u0300\u0316", "\u0f73", "\u0316\uff9e", "\u0344\u0316"])
def test_python_is_left_no_mark_to_exchange(form, unit, monkeypatch):
    given_texts: list[str] = []
    real = unicodedata.normalize

    def note(form, text):
        given_texts.append(text)
        return real(form, text)

    text = "x" + unit * 200
    expected = real(form, text)
    monkeypatch.setattr("actors.core.normal_form.unicodedata.normalize", note)
    assert normalize(form, text) == expected
    for text in given_texts[-1:]:  # none where all is as it should be: a letter stands between the marks
        runs = "".join(chr(unicodedata.combining(char)) for char in text).split("\0")
        assert all(list(run) == sorted(run) for run in runs)
