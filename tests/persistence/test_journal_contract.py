"""What every journal does, whatever it is made of."""

from __future__ import annotations

import threading

import pytest

from actors.core.errors import TooLargeError
from persistence.errors import FencedError, JournalClosedError, PositionGapError
from persistence.segment_format import RECORD_BYTES_MAX


def append_all(journal, *records):
    return [journal.append(record) for record in records]


def test_a_new_journal_is_empty(open_journal):
    journal = open_journal()
    assert (journal.first_position, journal.next_position, journal.durable_position) == (1, 1, 0)
    assert list(journal.replay(0)) == []
    assert journal.flush() == 0
    journal.close()


def test_positions_are_one_per_record_without_a_gap(open_journal):
    journal = open_journal()
    assert append_all(journal, b"a", b"b") == [1, 2]
    journal.flush()
    assert append_all(journal, b"", b"d") == [3, 4]
    assert journal.next_position == 5
    journal.close()


def test_nothing_is_durable_before_a_flush_and_everything_after(open_journal):
    journal = open_journal()
    append_all(journal, b"a", b"bcd")
    assert (journal.durable_position, journal.buffered_count, journal.buffered_bytes) == (0, 2, 4)
    assert list(journal.replay(0)) == []
    assert journal.flush() == 2
    assert (journal.durable_position, journal.buffered_count, journal.buffered_bytes) == (2, 0, 0)
    assert list(journal.replay(0)) == [(1, b"a"), (2, b"bcd")]
    journal.close()


def test_records_come_back_after_reopening_and_positions_go_on(open_journal):
    journal = open_journal()
    append_all(journal, b"a", b"", b"\x00" * 1000)
    journal.close()
    journal = open_journal()
    assert journal.durable_position == 3
    assert journal.tail_cut is None
    assert journal.append(b"d") == 4
    journal.flush()
    assert list(journal.replay(1)) == [(2, b""), (3, b"\x00" * 1000), (4, b"d")]
    journal.close()


def test_replay_begins_anywhere_across_segments(open_journal):
    journal = open_journal()
    for position in range(1, 10):
        journal.append(b"%d" % position)
        if position % 2 == 0:
            journal.flush()
        if position % 3 == 0:
            assert journal.roll() == position
    for after in range(10):
        expected = [(position, b"%d" % position) for position in range(after + 1, 10)]
        assert list(journal.replay(after)) == expected
    journal.close()


def test_roll_flushes_and_restarts_the_segment_size(open_journal):
    journal = open_journal()
    journal.append(b"a")
    assert journal.roll() == 1
    assert journal.durable_position == 1
    assert journal.segment_bytes == 0
    journal.append(b"b")
    journal.flush()
    assert journal.segment_bytes > 0
    journal.close()


def test_rolling_an_empty_segment_changes_nothing(open_journal):
    journal = open_journal()
    assert journal.roll() == 0
    journal.append(b"a")
    assert journal.roll() == journal.roll() == 1
    journal.close()
    journal = open_journal()
    assert list(journal.replay(0)) == [(1, b"a")]
    journal.close()


def test_trim_drops_only_closed_segments_that_are_wholly_covered(open_journal):
    journal = open_journal()
    for record in (b"1", b"2", b"3", b"4"):
        journal.append(record)
        if record in (b"2", b"4"):
            journal.roll()
    journal.trim(1)
    assert journal.first_position == 1
    journal.trim(3)
    assert journal.first_position == 3
    assert list(journal.replay(2)) == [(3, b"3"), (4, b"4")]
    journal.trim(3)
    journal.close()
    journal = open_journal()
    assert journal.first_position == 3
    journal.close()


def test_a_journal_trimmed_to_nothing_remembers_its_position(open_journal):
    journal = open_journal()
    append_all(journal, b"a", b"b")
    journal.roll()
    journal.trim(2)
    journal.close()
    journal = open_journal()
    assert (journal.first_position, journal.next_position, journal.durable_position) == (3, 3, 2)
    assert list(journal.replay(2)) == []
    assert journal.append(b"c") == 3
    journal.close()


def test_replay_of_positions_that_are_gone_or_not_there_yet_is_refused(open_journal):
    journal = open_journal()
    append_all(journal, b"a", b"b")
    journal.roll()
    journal.trim(2)
    with pytest.raises(PositionGapError, match="position 1"):
        journal.replay(1)
    with pytest.raises(PositionGapError, match="position 3"):
        journal.replay(3)
    journal.close()


def test_trimming_what_is_not_durable_is_refused(open_journal):
    journal = open_journal()
    journal.append(b"a")
    with pytest.raises(ValueError, match="only 0 is durable"):
        journal.trim(1)
    journal.close()


def test_an_older_epoch_is_fenced_and_a_newer_one_goes_on(open_journal):
    journal = open_journal(epoch=3)
    journal.append(b"a")
    journal.close()
    with pytest.raises(FencedError, match="epoch 3"):
        open_journal(epoch=2)
    journal = open_journal(epoch=4)
    assert list(journal.replay(0)) == [(1, b"a")]
    assert journal.append(b"b") == 2
    journal.close()


def test_an_epoch_fences_before_its_first_record(open_journal):
    for first_record in (b"", b"a"):
        journal = open_journal(epoch=3)
        if first_record:
            journal.append(first_record)
        journal.close()
    open_journal(epoch=7).close()
    with pytest.raises(FencedError, match="epoch 7"):
        open_journal(epoch=3)
    journal = open_journal(epoch=7)
    assert list(journal.replay(0)) == [(1, b"a")]
    journal.close()


def test_a_trimmed_journal_still_fences(open_journal):
    journal = open_journal(epoch=5)
    journal.append(b"a")
    journal.trim(journal.roll())
    journal.close()
    with pytest.raises(FencedError):
        open_journal(epoch=4)


def test_a_record_over_the_limit_is_refused_and_nothing_is_buffered(open_journal):
    journal = open_journal()
    with pytest.raises(TooLargeError, match="at most"):
        journal.append(bytes(RECORD_BYTES_MAX + 1))
    assert (journal.buffered_count, journal.next_position) == (0, 1)
    journal.close()


def test_a_closed_journal_refuses_everything_but_close(open_journal):
    journal = open_journal()
    journal.append(b"a")
    journal.close()
    journal.close()
    for call in (journal.flush, journal.roll, lambda: journal.append(b"b"), lambda: journal.trim(0)):
        with pytest.raises(JournalClosedError):
            call()


def test_appends_during_flushes_keep_their_order(open_journal):
    journal = open_journal()
    done = threading.Event()

    def flush_until_done():
        while not done.is_set():
            journal.flush()

    flusher = threading.Thread(target=flush_until_done)
    flusher.start()
    records = [b"%d" % number for number in range(20_000)]
    positions = append_all(journal, *records)
    done.set()
    flusher.join()
    journal.flush()
    assert positions == list(range(1, 20_001))
    assert list(journal.replay(0)) == list(zip(positions, records, strict=True))
    assert (journal.buffered_bytes, journal.buffered_count) == (0, 0)
    journal.close()
