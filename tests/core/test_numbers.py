"""Whole numbers out of texts: the digits 0 to 9 and nothing else, of any length."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number

NEARLY = st.text(alphabet="0123456789+-_ .,eExX٣５²Ⅷ½\u2212\u200f\0\n\t", max_size=12)


@given(value=NEARLY | st.text(max_size=8) | st.integers(-(10**25), 10**25).map(str), most=st.integers(0, ID_MAX))
def test_a_text_is_a_number_if_it_is_digits_and_what_is_out_of_range_stays_out(value, most):
    found = whole_number(value, most)
    if not re.fullmatch("-?[0-9]+", value, re.ASCII):
        assert found is None
    elif value.startswith("-"):
        assert found == -1
    else:
        assert found == min(int(value), most + 1)


@given(value=st.integers(-(10**25), 10**25), most=st.integers(0, ID_MAX))
def test_an_integer_is_one_within_the_bounds(value, most):
    assert whole_number(value, most) == max(-1, min(value, most + 1))


@pytest.mark.parametrize("value", [None, True, False, 5.0, 1e3, b"5", [5], {"a": 1}, "", "-", "--5", "-+5", "5-"])
def test_nothing_else_is_one(value):
    assert whole_number(value, ID_MAX) is None


def test_zeros_in_front_and_digits_without_end_are_no_trouble():
    assert whole_number("0" * 5_000 + "7", ID_MAX) == 7
    assert whole_number("0", ID_MAX) == whole_number("000", ID_MAX) == 0
    assert whole_number("9" * 100_000, 200) == 201
    assert whole_number("-" + "9" * 100_000, 200) == -1
    assert whole_number(str(ID_MAX), ID_MAX) == ID_MAX
    assert whole_number(str(ID_MAX + 1), ID_MAX) == ID_MAX + 1
