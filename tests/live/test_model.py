"""The model of a soak finds each kind of problem, and none where there is none."""

from __future__ import annotations

import pytest

from tests.live.model import Apart, Connection, Heard, Ledger, Notice, Record, Written, problems

ADA, BOB, EVE, FAY = "ada", "bob", "eve", "fay"


def written(number: int, author: str = ADA, visibility: str = "public", **more) -> Written:
    return Written(str(number), author, visibility, float(number), number + 0.5, **more)


def ledger_of(*statuses: Written, **more) -> Ledger:
    return Ledger({status.id: status for status in statuses}, follows={(BOB, ADA)}, **more)


def record_of(*connections: list[Heard], keeps_cursors: bool = True, topic: str = "user", **more) -> Record:
    made = [Connection(0.0, heard=heard, closed=100.0) for heard in connections]
    made[-1].closed = float("inf")
    return Record("bob's", BOB, topic, keeps_cursors, made, **more)


def heard(number: int, event: str = "update", cursor: str = "c", at: float | None = None) -> Heard:
    return Heard(number + 0.6 if at is None else at, event, str(number), cursor)


FIRST = heard(1)


@pytest.mark.parametrize("keeps_cursors", [True, False])
def test_a_listener_that_heard_everything_once_and_in_order_has_no_problem(keeps_cursors):
    ledger = ledger_of(written(1), written(2), written(3, EVE), written(4, visibility="direct"))
    assert problems(ledger, record_of([FIRST, heard(2)], keeps_cursors=keeps_cursors)) == []


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([FIRST], "it missed 2 by ada"),
        ([FIRST, heard(2), heard(2)], "update of 2 came 2 times"),
        ([FIRST, heard(3), heard(2)], "2 of ada came after 3"),
        ([FIRST, heard(2), heard(3), heard(9)], "update of 9, which nobody has written"),
        ([FIRST, heard(2), heard(3), heard(5)], "update of 5 (public, by eve) isn't for its eyes"),
        ([FIRST, heard(2), heard(3), heard(6)], "update of 6 (direct, by ada) isn't for its eyes"),
        ([FIRST, heard(2, "delete"), heard(2), heard(3)], "update of 2 came after it was deleted"),
    ],
)
@pytest.mark.parametrize("keeps_cursors", [True, False])
def test_each_kind_of_problem_is_found(keeps_cursors, events, complaint):
    ledger = ledger_of(written(1), written(2), written(3), written(5, EVE), written(6, visibility="direct"))
    found = problems(ledger, record_of(events, keeps_cursors=keeps_cursors))
    assert any(complaint in problem for problem in found), found


def test_who_keeps_no_cursors_may_be_read_what_somebody_wrote_before_he_followed_him():
    ledger = ledger_of(written(1), written(2, FAY), written(3, FAY), doubtful={(BOB, FAY)})
    events = [FIRST, heard(3), heard(2)]
    assert problems(ledger, record_of(events, keeps_cursors=False)) == []
    assert "came after" in "".join(problems(ledger, record_of(events)))


def test_who_keeps_cursors_must_hear_over_all_connections_and_each_once():
    ledger = ledger_of(written(1), written(2), written(3))
    assert problems(ledger, record_of([FIRST], [heard(2), heard(3)])) == []
    assert "it missed 2" in problems(ledger, record_of([FIRST], [heard(3)]))[0]
    assert "2 came 2 times" in problems(ledger, record_of([FIRST, heard(2)], [heard(2), heard(3)]))[0]


def test_what_was_read_anew_counts_as_heard():
    ledger = ledger_of(written(1), written(2), written(3))
    assert problems(ledger, record_of([FIRST], [heard(3)], read={"2"}, recovered=[2.7])) == []


def test_who_keeps_none_must_hear_all_that_came_on_its_last_connection_alone():
    ledger = ledger_of(written(1), written(2), written(3), written(4))
    assert problems(ledger, record_of([FIRST], [heard(3), heard(4)], keeps_cursors=False)) == []
    assert problems(ledger, record_of([FIRST, heard(3)], [heard(3), heard(4)], keeps_cursors=False)) == []
    assert "it missed 4" in problems(ledger, record_of([FIRST], [heard(3)], keeps_cursors=False))[0]


def test_from_an_unfollow_or_a_block_on_until_the_opposite_nothing_may_be_heard():
    ledger = Ledger({"2": written(2), "5": written(5)}, doubtful={(BOB, ADA)})
    ledger.apart.append(Apart(BOB, ADA, is_block=False, begin=4.0, end=6.0))
    assert problems(ledger, record_of([heard(2)])) == []
    assert "5 (public, by ada) isn't for its eyes" in problems(ledger, record_of([heard(2), heard(5)]))[0]
    assert problems(ledger, record_of([heard(2), heard(5)], topic="public")) == []
    ledger.apart.append(Apart(BOB, ADA, is_block=True, begin=4.0, end=6.0))
    assert len(problems(ledger, record_of([heard(2), heard(5)], topic="public"))) == 1


def test_who_follows_since_may_hear_of_an_edit_of_what_was_said_before():
    ledger = Ledger({"2": written(2, edits=[(7.0, 7.5)])}, doubtful={(BOB, ADA)})
    ledger.apart.append(Apart(BOB, ADA, is_block=False, begin=0.0, end=6.0))
    assert problems(ledger, record_of([heard(2, "status.update", at=7.6)])) == []
    ledger.apart[0] = Apart(BOB, ADA, is_block=False, begin=0.0, end=8.0)
    assert "status.update of 2" in problems(ledger, record_of([heard(2, "status.update", at=7.6)]))[0]


def test_public_topics_have_what_is_public_and_a_hashtag_what_bears_it():
    ledger = ledger_of(written(1, tag="x"), written(2, EVE, tag="x"), written(3, EVE, "unlisted", tag="x"), written(4))
    assert problems(ledger, record_of([FIRST, heard(2), heard(4)], topic="public")) == []
    assert problems(ledger, record_of([FIRST, heard(2)], topic="hashtag:x")) == []
    assert (
        "3 (unlisted, by eve) isn't" in problems(ledger, record_of([FIRST, heard(2), heard(3)], topic="hashtag:x"))[0]
    )
    assert "4 (public, by ada) isn't" in problems(ledger, record_of([FIRST, heard(2), heard(4)], topic="hashtag:x"))[0]


def test_what_becomes_of_a_status_that_was_heard_is_heard_unless_all_was_read_anew_since():
    gone = written(2, delete_sent=3.0, delete_acked=3.5)
    edited = written(4, edits=[(5.0, 5.5)])
    ledger = ledger_of(written(1), gone, edited)
    both = [FIRST, heard(2), heard(2, "delete", at=3.7), heard(4), heard(4, "status.update", at=5.7)]
    assert problems(ledger, record_of(both)) == []
    found = problems(ledger, record_of([FIRST, heard(2), heard(4)]))
    assert len(found) == 2
    assert "that 2 was deleted" in found[0]
    assert "1 of the edits of 4" in found[1]
    assert problems(ledger, record_of([FIRST, heard(2), heard(4)], recovered=[6.0])) == []
    assert "came 2 times, of at most 1" in problems(ledger, record_of([*both, both[-1]]))[0]


def test_each_notification_comes_once():
    notice = Notice(BOB, "favourite", ADA, "1", 2.0, 2.5)
    ledger = ledger_of(written(1), notices=[notice])
    told = Heard(2.6, "notification", "favourite:ada:1", "c")
    assert problems(ledger, record_of([FIRST, told])) == []
    assert "wasn't notified of favourite:ada:1" in problems(ledger, record_of([FIRST]))[0]
    assert "favourite:ada:1 came 2 times" in problems(ledger, record_of([FIRST, told, told]))[0]
    assert problems(ledger, record_of([FIRST], read={"favourite:ada:1"}, recovered=[3.0])) == []


def test_nothing_is_heard_with_a_void_token_and_its_connection_is_closed():
    ledger = ledger_of(written(1), written(2), written(3))
    record = record_of([FIRST, heard(2)], revoked=2.7)
    record.connections[-1].closed = 2.8
    assert problems(ledger, record) == []
    record.connections[-1].heard.append(heard(3))
    record.connections[-1].closed = float("inf")
    found = problems(ledger, record)
    assert "3 was sent 0.300 s after its token was void" in found[0]
    assert "its connection is open" in found[1]
