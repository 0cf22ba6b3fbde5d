"""The queue of frames without a server: what is sent next, what is sent again, and what isn't."""

from __future__ import annotations

from collections import deque

import pytest

from persistence import redis_frames
from persistence.redis_frames import PIPELINE_FRAME_COUNT, RESEND_SECONDS, FrameQueue, JournalEnd

START = JournalEnd(7, "0badcafe")


def queue_of(*records, keep=True, now=(0.0,)):
    """Return a queue with a frame of one record for each, behind START. now: a list whose first item is the time."""
    waiting = deque()
    frames = FrameQueue(waiting, START, keep, clock=lambda: now[0])
    for position, record in enumerate(records, START.last + 1):
        waiting.append(record)
        frames.fill(position, epoch=3)
    return frames


def spans(frames):
    return [(frame.before.last + 1, frame.end.last) for frame in frames]


def acknowledge_all(frames):
    for frame in frames.next_frames():
        frames.acknowledge(frame)


def test_each_frame_names_the_one_before_it_and_the_first_the_end_of_before():
    first, second = queue_of(b"a", b"b").next_frames()
    assert (first.before, first.end.last) == (START, 8)
    assert (second.before, second.end.last) == (first.end, 9)
    assert len({START.mark, first.end.mark, second.end.mark}) == 3


def test_no_more_frames_are_encoded_than_are_sent_before_the_first_reply(monkeypatch):
    monkeypatch.setattr(redis_frames, "FRAME_BYTES_MAX", 1)
    records = deque([b"record"] * (PIPELINE_FRAME_COUNT + 5))
    frames = FrameQueue(records, START, keep_acknowledged=True)
    frames.fill(START.last + len(records), epoch=1)
    assert (frames.pending_count, len(records)) == (PIPELINE_FRAME_COUNT, 5)
    frames.acknowledge(frames.next_frames()[0])
    frames.fill(frames.end.last + len(records), epoch=1)
    assert (frames.pending_count, len(records)) == (PIPELINE_FRAME_COUNT, 4)


def test_only_the_oldest_frame_can_be_acknowledged():
    frames = queue_of(b"a", b"b")
    with pytest.raises(RuntimeError, match="frame 9 to 9 was acknowledged out of order"):
        frames.acknowledge(frames.next_frames()[1])


def test_frames_have_landed_if_the_journal_ends_with_one_of_them_and_not_at_its_position_alone():
    frames = queue_of(b"a", b"b", b"c")
    second = frames.next_frames()[1]
    assert spans(frames.landed(second.end)) == [(8, 8), (9, 9)]
    assert frames.landed(JournalEnd(second.end.last, "another")) == []
    assert frames.landed(START) == []


def test_what_the_server_lost_is_sent_again_before_what_waits():
    frames = queue_of(b"a", b"b", b"c")
    for frame in frames.next_frames()[:2]:
        frames.acknowledge(frame)
    assert frames.send_again_after(START.last)
    assert spans(frames.next_frames()) == [(8, 8), (9, 9), (10, 10)]
    acknowledge_all(frames)
    assert frames.send_again_after(9)
    assert spans(frames.next_frames()) == [(10, 10)]


def test_nothing_is_sent_again_to_a_server_that_lost_more_than_was_kept():
    now = [0.0]
    frames = queue_of(b"a", b"b", now=now)
    frames.acknowledge(frames.next_frames()[0])
    now[0] = RESEND_SECONDS + 1
    frames.acknowledge(frames.next_frames()[0])
    assert not frames.send_again_after(START.last)
    assert frames.pending_count == 0
    assert frames.send_again_after(8)


def test_nothing_is_kept_of_frames_that_are_too_large_or_for_a_server_that_loses_nothing(monkeypatch):
    durable = queue_of(b"a", keep=False)
    acknowledge_all(durable)
    assert not durable.send_again_after(START.last)
    monkeypatch.setattr(redis_frames, "RESEND_BYTES_MAX", 10)
    large = queue_of(b"a" * 11)
    acknowledge_all(large)
    assert not large.send_again_after(START.last)


def test_a_cut_forgets_what_was_above_it_and_the_next_frame_follows_what_is_left():
    records = deque([b"a"])
    frames = FrameQueue(records, START, keep_acknowledged=True)
    frames.fill(8, epoch=3)
    [kept] = frames.next_frames()
    frames.acknowledge(kept)
    records.append(b"deposed")
    frames.fill(9, epoch=3)
    acknowledge_all(frames)
    frames.go_on_after(kept.end)
    assert not frames.send_again_after(8)
    records.append(b"b")
    frames.fill(9, epoch=4)
    [new] = frames.next_frames()
    assert (new.before, new.end.last) == (kept.end, 9)
