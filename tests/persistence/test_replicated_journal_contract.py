"""What replication asks of every journal: new epochs, cut ends, retained records, readers beside writers."""

from __future__ import annotations

import threading

import pytest

from persistence.errors import FencedError, JournalClosedError, PositionGapError


def filled(journal, count=10, flush_every=3, roll_every=6):
    """Records b"1" to b"<count>" in frames of three and segments of six; flushed."""
    for position in range(journal.next_position, journal.next_position + count):
        assert journal.append(b"%d" % position) == position
        if position % flush_every == 0:
            journal.flush()
        if position % roll_every == 0:
            journal.roll()
    journal.flush()
    return journal


def records(first, last):
    return [(position, b"%d" % position) for position in range(first, last + 1)]


def held(journal):
    return list(journal.replay(journal.first_position - 1))


# ---- epochs -------------------------------------------------------------------------------------------------------


def test_a_new_epoch_fences_before_its_first_record(open_journal):
    journal = open_journal(epoch=3)
    journal.begin_epoch(5)
    assert journal.epoch == 5
    journal.close()
    with pytest.raises(FencedError, match="epoch 5"):
        open_journal(epoch=4)
    open_journal(epoch=5).close()


def test_a_new_epoch_flushes_what_was_buffered_and_positions_go_on(open_journal):
    journal = open_journal(epoch=3)
    journal.append(b"1")
    journal.begin_epoch(4)
    assert (journal.durable_position, journal.buffered_count) == (1, 0)
    assert journal.append(b"2") == 2
    journal.flush()
    journal.begin_epoch(9)
    journal.close()
    with pytest.raises(FencedError, match="epoch 9"):
        open_journal(epoch=8)
    journal = open_journal(epoch=9)
    assert held(journal) == records(1, 2)
    journal.close()


def test_the_same_epoch_is_no_change_and_a_lower_one_is_refused(open_journal):
    journal = open_journal(epoch=3)
    journal.append(b"1")
    journal.begin_epoch(3)
    assert (journal.epoch, journal.buffered_count) == (3, 1)
    with pytest.raises(ValueError, match="epoch 2 after epoch 3"):
        journal.begin_epoch(2)
    assert (journal.epoch, journal.flush()) == (3, 1)
    journal.close()
    open_journal(epoch=3).close()


# ---- cutting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(11))
def test_a_cut_drops_what_is_above_and_the_journal_goes_on_there(open_journal, position):
    journal = filled(open_journal(epoch=2))
    journal.cut_after(position)
    assert (journal.durable_position, journal.next_position, journal.first_position) == (position, position + 1, 1)
    assert (journal.buffered_count, journal.buffered_bytes) == (0, 0)
    assert held(journal) == records(1, position)
    journal.cut_after(position)
    filled(journal, 5)
    journal.close()
    journal = open_journal(epoch=2)
    assert held(journal) == records(1, position + 5)
    journal.close()


@pytest.mark.parametrize("position", range(11))
def test_a_cut_is_there_after_opening_again(open_journal, position):
    journal = filled(open_journal(epoch=2))
    journal.cut_after(position)
    journal.close()
    journal = open_journal(epoch=2)
    assert journal.tail_cut is None
    assert held(journal) == records(1, position)
    assert journal.append(b"%d" % (position + 1)) == position + 1
    journal.close()


def test_cuts_may_follow_each_other(open_journal):
    journal = filled(open_journal(epoch=1))
    for position in (8, 7, 4, 1, 0):
        journal.cut_after(position)
        assert held(journal) == records(1, position)
        filled(journal, 1)
        assert held(journal) == records(1, position + 1)
    journal.close()
    journal = open_journal(epoch=1)
    assert held(journal) == records(1, 1)
    journal.close()


def test_a_cut_takes_no_epoch_back(open_journal):
    journal = filled(open_journal(epoch=3))
    journal.begin_epoch(6)
    filled(journal)
    journal.cut_after(4)
    assert journal.epoch == 6
    journal.close()
    with pytest.raises(FencedError, match="epoch 6"):
        open_journal(epoch=5)


def test_a_cut_of_buffered_or_missing_positions_is_refused_and_changes_nothing(open_journal):
    journal = filled(open_journal())
    journal.trim(6)
    for position in (5, 11, -1):
        with pytest.raises(ValueError, match="holds 7 to 10"):
            journal.cut_after(position)
    journal.append(b"11")
    with pytest.raises(ValueError, match="1 records are buffered"):
        journal.cut_after(8)
    journal.flush()
    assert held(journal) == records(7, 11)
    journal.cut_after(6)
    assert (journal.first_position, held(journal)) == (7, [])
    journal.close()
    journal = open_journal()
    assert (journal.first_position, journal.durable_position) == (7, 6)
    journal.close()


def test_a_reader_of_what_was_cut_is_told(open_journal):
    journal = open_journal()
    for position in range(1, 101):  # more frames than one round trip fetches
        journal.append(b"%d" % position)
        journal.flush()
    reader = journal.replay(0)
    assert next(reader) == (1, b"1")
    journal.cut_after(50)
    for _ in range(50):
        journal.append(b"other")
    journal.flush()
    with pytest.raises(PositionGapError, match="cut"):
        assert b"other" not in [record for _, record in reader]
    journal.close()


# ---- beginning elsewhere ------------------------------------------------------------------------------------------


def test_a_journal_that_never_held_a_record_begins_where_it_is_told(open_journal):
    for _ in range(2):
        journal = open_journal(after=41)
        assert (journal.first_position, journal.durable_position, journal.next_position) == (42, 41, 42)
        assert list(journal.replay(41)) == []
        with pytest.raises(PositionGapError):
            journal.replay(40)
        journal.close()
    journal = open_journal()
    assert journal.append(b"42") == 42
    journal.close()
    journal = open_journal(after=7)
    assert held(journal) == [(42, b"42")]
    journal.close()


def test_an_empty_journal_at_the_beginning_may_still_be_told(open_journal):
    open_journal(epoch=4).close()
    with pytest.raises(FencedError):
        open_journal(epoch=3, after=9)
    journal = open_journal(epoch=4, after=9)
    assert (journal.first_position, journal.durable_position) == (10, 9)
    journal.close()
    journal = open_journal(epoch=4)
    assert filled(journal, 2).first_position == 10
    journal.close()


@pytest.mark.parametrize("after", [-1, 2**63 - 1])
def test_a_beginning_that_is_no_position_is_refused(open_journal, after):
    with pytest.raises(ValueError, match="can't begin"):
        open_journal(after=after)
    journal = open_journal()
    with pytest.raises(ValueError, match="can't begin"):
        journal.restart(after)
    journal.close()


@pytest.mark.parametrize("after", [0, 4, 10, 1000])
def test_a_restart_drops_everything_and_goes_on_elsewhere(open_journal, after):
    journal = filled(open_journal(epoch=2))
    journal.append(b"buffered")
    with pytest.raises(ValueError, match="buffered"):
        journal.restart(after)
    journal.flush()
    for _ in range(2):
        journal.restart(after)
        assert (journal.first_position, journal.durable_position, journal.next_position) == (
            after + 1,
            after,
            after + 1,
        )
        assert (held(journal), journal.epoch) == ([], 2)
    filled(journal)
    journal.close()
    with pytest.raises(FencedError):
        open_journal(epoch=1)
    journal = open_journal(epoch=2)
    assert held(journal) == records(after + 1, after + 10)
    journal.close()


# ---- retaining and reading ----------------------------------------------------------------------------------------


def test_trim_keeps_what_is_retained(open_journal):
    journal = filled(open_journal(), 20)
    journal.retain(5)
    journal.trim(18)
    assert journal.first_position <= 6
    assert list(journal.replay(5)) == records(6, 20)
    journal.retain(12)
    journal.trim(18)
    assert journal.first_position == 13
    journal.retain(None)
    journal.trim(18)
    assert journal.first_position == 19
    journal.close()


def test_a_retained_record_outlives_a_trim_while_it_is_read(open_journal):
    journal = filled(open_journal(), 200)
    journal.retain(9)
    reader = journal.replay(9)
    assert next(reader) == (10, b"10")
    journal.trim(198)
    assert list(reader) == records(11, 200)
    journal.close()


def test_a_reader_of_what_was_trimmed_is_told(open_journal):
    journal = filled(open_journal(), 400)
    reader = journal.replay(0)
    assert next(reader) == (1, b"1")
    journal.trim(396)
    with pytest.raises(PositionGapError, match="trimmed"):
        list(reader)
    journal.close()


def test_a_reader_gets_what_was_durable_when_it_asked(open_journal):
    journal = filled(open_journal())
    reader = journal.replay(4)
    filled(journal, 10)
    journal.append(b"21")
    assert list(reader) == records(5, 10)
    assert list(journal.replay(10)) == records(11, 20)
    journal.close()


def test_readers_beside_writers_see_every_record_once_or_are_told(open_journal):
    """One thread appends, flushes and rolls, one trims behind it, two read; the second reader is retained for."""
    journal = open_journal()
    done, failures, reads = threading.Event(), [], []

    def guarded(work):
        def run():
            try:
                while not done.is_set():
                    work()
            except BaseException as error:
                failures.append(error)
                raise

        return threading.Thread(target=run)

    def trim():
        journal.trim(max(journal.durable_position - 200, 0))

    def read_from_the_start():
        after = journal.first_position - 1
        try:
            found = list(journal.replay(after))
        except PositionGapError:
            return
        assert found == records(after + 1, after + len(found))

    def read_retained():
        after = max(journal.durable_position - 100, 0)
        journal.retain(after)
        if journal.first_position <= after + 1:
            last = journal.durable_position
            found = list(journal.replay(after))
            assert found[: last - after] == records(after + 1, last)
            reads.append(len(found))
        journal.retain(None)

    threads = [guarded(work) for work in (trim, read_from_the_start, read_retained)]
    for thread in threads:
        thread.start()
    while len(reads) < 30 and not failures:
        filled(journal, 20, 4, 12)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    journal.close()


def test_a_closed_journal_refuses_these_too(open_journal):
    journal = filled(open_journal())
    journal.close()
    for call in (lambda: journal.begin_epoch(3), lambda: journal.cut_after(3), lambda: journal.restart(3)):
        with pytest.raises(JournalClosedError):
            call()
