"""The model of a storm says what stands, and what differs from it."""

from __future__ import annotations

import pytest

from tests.live.storm import Standing, differences, wanted


def test_the_model_says_what_stands_and_nothing_of_oneself():
    standing = {
        "1": Standing({("favourite", "s2"), ("favourite", "s1")}, {"2"}, {"s3": [("mention", "2"), ("mention", "1")]}),
        "2": Standing({("reblog", "s1")}),
    }
    assert wanted(standing, {"s1": "1", "s2": "2"}) == {
        "1": {("reblog", "2", "s1")},
        "2": {("favourite", "1", "s2"), ("follow", "1", ""), ("mention", "1", "s3")},
    }


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ([], "isn't told ('follow', '2', '')"),
        ([("follow", "2", "")] * 2, "is told ('follow', '2', '') 2 times"),
        ([("follow", "2", ""), ("follow", "3", "")], "is told ('follow', '3', ''), which isn't so"),
    ],
)
def test_what_is_missing_doubled_or_not_so_is_a_difference(told, complaint):
    must = {("follow", "2", "")}
    assert differences("ada", told, must) == [f"ada {complaint}"]
    assert differences("ada", must, must) == []
