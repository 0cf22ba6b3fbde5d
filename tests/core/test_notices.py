"""Notifications: who is told of what, what isn't told, what is kept apart, and that it stays when a shard does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.core import limits
from actors.core.checkpoints.changes import Changes
from actors.core.errors import InvalidError, NotFoundError, OverloadedError
from actors.core.features import notifications
from actors.core.features.notifications import APART, BOTH, OPEN, TYPES_ALL
from actors.core.levels import LEVEL
from actors.core.moves.parts import PartCheck
from actors.core.stores.notice_words import MS_MAX, STEP
from actors.core.stores.notices import Notices
from actors.core.terms import NOTICES_FROM_LEVEL, NOTIFICATION_TYPE_OF, NOTIFICATION_TYPES
from actors.core.verify import check
from tests.core.harness import NOW_MS, Shards, memory_store
from tests.core.test_follow_requests import lock
from tests.core.test_moving import three_people

DIRECT, FOLLOWERS = 2, 1


world = pytest.fixture(three_people)


def told(world: Any, account_id: int, which: int = OPEN) -> list[tuple[str, int, int]]:
    """Return what an account is notified of, newest first: (type, by whom, about which tweet or 0)."""
    rows, _ = world.read("notices", account_id, TYPES_ALL, which, [], 0, 0, 0, 100)
    return [(NOTIFICATION_TYPES[type_], actor, tweet_id) for _, type_, _, actor, tweet_id in rows]


def ids_of(world: Any, account_id: int, *bounds: int, count: int = 100) -> list[int]:
    rows, _ = world.read("notices", account_id, TYPES_ALL, BOTH, [], *(bounds or (0, 0, 0)), count)
    return [row[0] for row in rows]


def reply(world: Any, author: int, to: int, of: int, *mentions: int, visibility: int = 0) -> int:
    made = world.post(author, visibility=visibility, in_reply_to=to, reply_author=of, mentions=list(mentions))
    return int(made)


# ---- what is told --------------------------------------------------------------------------------------------------


def test_who_answers_and_mentions_somebody_notifies_him_once_of_a_reply(world):
    tweet_id = world.post(world.ada)
    answer = reply(world, world.bob, tweet_id, world.ada, world.ada, world.eve)
    assert told(world, world.ada) == [("reply", world.bob, answer)]
    assert told(world, world.eve) == [("mention", world.bob, answer)]
    assert told(world, world.bob) == []


def test_an_answer_for_followers_notifies_only_if_it_mentions_as_else_nobody_may_see_it(world):
    tweet_id = world.post(world.ada)
    reply(world, world.bob, tweet_id, world.ada, visibility=FOLLOWERS)
    assert told(world, world.ada) == []
    naming = reply(world, world.bob, tweet_id, world.ada, world.ada, visibility=FOLLOWERS)
    assert told(world, world.ada) == [("mention", world.bob, naming)]


def test_an_edit_tells_whom_it_mentions_now_and_no_longer_whom_it_did(world):
    tweet_id = world.post(world.ada, mentions=[world.bob])
    world.now_ms += 1
    world.do("edit", tweet_id, world.ada, "other words", b"", [world.eve])
    assert told(world, world.bob) == []
    assert told(world, world.eve) == [("mention", world.ada, tweet_id)]


def test_an_edited_tweet_is_told_to_who_reposts_it_as_often_as_it_is_edited(world):
    tweet_id = world.post(world.ada)
    world.repost(world.bob, tweet_id)
    for text in ("one", "two"):
        world.now_ms += 1
        world.do("edit", tweet_id, world.ada, text, b"", [])
        assert told(world, world.bob) == [("update", world.ada, tweet_id)]
    world.do("unrepost", world.bob, tweet_id)
    assert told(world, world.bob) == []


def test_a_bell_tells_of_new_tweets_and_of_no_reposts_direct_ones_or_answers_to_others(world):
    world.do("follow_as", world.bob, world.ada, None, True, None)
    world.do("follow_as", world.eve, world.ada, None, None, None)
    other = world.post(world.eve)
    first = world.post(world.ada)
    world.repost(world.ada, other)
    world.post(world.ada, visibility=DIRECT, mentions=[world.eve])
    reply(world, world.ada, other, world.eve)
    thread = reply(world, world.ada, first, world.ada)
    assert told(world, world.bob) == [("status", world.ada, thread), ("status", world.ada, first)]
    world.do("delete", first, world.ada)
    assert told(world, world.bob) == [("status", world.ada, thread)]
    world.do("follow_as", world.bob, world.ada, None, False, None)
    world.post(world.ada)
    assert told(world, world.bob) == [], "with the bell goes what it told"
    assert not [notice for notice in told(world, world.eve) if notice[0] == "status"]


def test_a_bell_tells_of_tweets_that_come_as_a_batch(world):
    for account_id in (world.bob, world.account_on(0, 1)):
        if account_id != world.bob:
            world.register(account_id)
        world.do("follow_as", account_id, world.ada, None, True, None)
    rows = [[world.ada, f"number {n}", 0, 0, 0, b"", [], [], None] for n in range(9)]
    made = world.write_on(0, "post_many", [rows])
    world.exchange()
    for account_id in (world.bob, world.account_on(0, 1)):
        assert [tweet_id for _, _, tweet_id in told(world, account_id)] == made[::-1]


def test_a_bell_still_rings_after_its_shard_was_restored():
    world: Any = Shards()
    world.ada, world.bob = world.account_on(0), world.account_on(1)
    world.register(world.ada, world.bob)
    world.do("follow_as", world.bob, world.ada, None, True, None)
    store = memory_store()
    world.seal_into(1, store)
    restored = world.restore_from(1, store)
    tweet_id = world.post(world.ada)
    assert told(world, world.bob) == [("status", world.ada, tweet_id)]
    assert check(restored.state) == []


def test_an_ended_poll_is_told_to_its_author_and_to_who_has_voted_until_it_is_deleted(world):
    tweet_id = world.post(world.ada, facts=[[11, [["a", "b"], False, False, 600_000]]])
    world.do("vote", world.bob, tweet_id, world.ada, 1, NOW_MS + 700_000)
    world.now_ms += 700_000
    world.run(0, world.replicas[0].due_command(world.now_ms))
    world.exchange()
    assert told(world, world.ada) == told(world, world.bob) == [("poll", world.ada, tweet_id)]
    assert told(world, world.eve) == []
    world.do("delete", tweet_id, world.ada)
    assert told(world, world.ada) == told(world, world.bob) == []


def test_a_request_to_follow_is_told_until_it_is_answered_and_who_is_let_in_isn_t_told_as_a_new_follower(world):
    lock(world, world.ada)
    world.do("request_follow", world.bob, world.ada)
    assert told(world, world.ada) == [("follow_request", world.bob, 0)]
    world.do("answer_request", world.ada, world.bob, True)
    assert told(world, world.ada) == []
    world.do("request_follow", world.eve, world.ada)
    world.do("withdraw_request", world.eve, world.ada)
    assert told(world, world.ada) == []


def test_a_bulk_load_of_follows_notifies_nobody_and_a_follow_that_was_refused_neither(world):
    world.write_on(1, "follow_many", [np.array([each], "<i8").tobytes() for each in (world.bob, world.ada)])
    world.exchange()
    assert told(world, world.ada) == []
    world.do("block", world.ada, world.eve)
    world.run(1, ["follow", *(np.array([each], "<i8").tobytes() for each in (world.eve, world.ada)), NOW_MS, True])
    world.exchange()
    assert told(world, world.ada) == []


# ---- what isn't told -----------------------------------------------------------------------------------------------


def test_nobody_is_notified_of_what_he_does_himself(world):
    tweet_id = world.post(world.ada, mentions=[world.ada])
    world.do("like", world.ada, tweet_id)
    world.repost(world.ada, tweet_id)
    reply(world, world.ada, tweet_id, world.ada, world.ada)
    assert told(world, world.ada) == []


@pytest.mark.parametrize("op", ["block", "mute"])
def test_a_block_and_a_mute_take_away_what_the_other_has_caused_and_let_nothing_more_come(world, op):
    tweet_id = world.post(world.ada)
    world.do("like", world.bob, tweet_id)
    world.do("follow", world.bob, world.ada)
    world.do("like", world.eve, tweet_id)
    assert len(told(world, world.ada)) == 3
    world.do(op, world.ada, world.bob)
    assert told(world, world.ada) == [("favourite", world.eve, tweet_id)]
    world.post(world.bob, mentions=[world.ada])
    assert told(world, world.ada) == [("favourite", world.eve, tweet_id)]


def test_who_is_blocked_forgets_what_the_other_has_caused(world):
    world.do("follow", world.bob, world.ada)
    world.do("block", world.bob, world.ada)
    assert told(world, world.ada) == []


def test_a_mute_that_is_not_of_notifications_lets_them_come(world):
    tweet_id = world.post(world.ada)
    world.do("like", world.bob, tweet_id)
    world.do("mute_as", world.ada, world.bob, False, 0)
    naming = world.post(world.bob, mentions=[world.ada])
    assert told(world, world.ada) == [("mention", world.bob, naming), ("favourite", world.bob, tweet_id)]


def test_nothing_is_told_of_a_muted_conversation(world):
    tweet_id = world.post(world.ada)
    answer = reply(world, world.bob, tweet_id, world.ada, world.ada)
    world.do("mute_conversation", world.ada, [tweet_id])
    reply(world, world.eve, answer, world.bob, world.ada)
    world.do("like", world.eve, tweet_id)
    assert told(world, world.ada) == [("reply", world.bob, answer)]


# ---- the policy ----------------------------------------------------------------------------------------------------

FILTER, DROP = 1, 2


def policy(world: Any, account_id: int, **verdicts: int) -> None:
    groups = ("not_following", "not_followers", "new_accounts", "private_mentions", "limited_accounts")
    world.do("set_notification_policy", account_id, [verdicts.get(group, 0) for group in groups])


@pytest.mark.parametrize("group", ["not_following", "not_followers", "new_accounts"])
def test_a_policy_drops_or_keeps_apart_whom_it_names(world, group):
    naming = []
    for verdict in (DROP, FILTER, 0):
        policy(world, world.ada, **{group: verdict})
        naming.insert(0, ("mention", world.bob, world.post(world.bob, mentions=[world.ada])))
    assert told(world, world.ada) == naming[:1]
    assert told(world, world.ada, APART) == naming[1:2]
    assert told(world, world.ada, BOTH) == naming[:2]


def test_whom_one_follows_and_whom_follows_one_are_not_kept_apart(world):
    policy(world, world.ada, not_following=DROP, not_followers=DROP, private_mentions=DROP)
    world.do("follow", world.ada, world.bob)
    world.do("follow", world.bob, world.ada)
    said = [world.post(world.bob, visibility=visibility, mentions=[world.ada]) for visibility in (0, DIRECT)]
    assert [tweet_id for type_, _, tweet_id in told(world, world.ada) if type_ == "mention"] == said[::-1]


def test_a_private_mention_is_let_through_if_it_answers_oneself(world):
    policy(world, world.ada, private_mentions=DROP)
    world.post(world.bob, visibility=DIRECT, mentions=[world.ada])
    assert told(world, world.ada) == []
    mine = world.post(world.ada, visibility=DIRECT, mentions=[world.bob])
    answer = reply(world, world.bob, mine, world.ada, world.ada, visibility=DIRECT)
    assert told(world, world.ada) == [("mention", world.bob, answer)]


def test_an_account_is_new_for_thirty_days(world):
    policy(world, world.ada, new_accounts=DROP)
    world.now_ms += 29 * limits.DAY_MS
    world.post(world.bob, mentions=[world.ada])
    assert told(world, world.ada) == []
    world.now_ms += limits.DAY_MS
    naming = world.post(world.bob, mentions=[world.ada])
    assert told(world, world.ada) == [("mention", world.bob, naming)]


def test_what_is_kept_apart_is_let_through_or_dropped_by_who_caused_it(world):
    policy(world, world.ada, not_following=FILTER)
    mine = world.post(world.ada)
    for actor in (world.bob, world.eve, world.bob):
        world.now_ms += 1
        world.do("unlike", actor, mine)
        world.do("like", actor, mine)
    naming = world.post(world.bob, mentions=[world.ada])
    rows, has_more, requests, notices = world.read("notice_requests", world.ada, [], 0, 0, 0, 10)
    assert [(row[0], row[3], row[4]) for row in rows] == [(world.bob, 2, naming), (world.eve, 1, mine)]
    assert (has_more, requests, notices) == (False, 2, 3)
    assert world.read("notice_requests", world.ada, [world.eve], 0, 0, 0, 10)[0] == rows[1:]
    assert world.read("notice_requests", world.ada, [], rows[0][1], 0, 0, 10)[0] == rows[1:]
    assert world.do("answer_senders", world.ada, [world.bob], True) == 2
    assert world.do("answer_senders", world.ada, [world.eve], False) == 1
    assert told(world, world.ada) == [("mention", world.bob, naming), ("favourite", world.bob, mine)]
    assert told(world, world.ada, APART) == []
    later = world.post(world.bob, mentions=[world.ada])
    assert told(world, world.ada)[0] == ("mention", world.bob, later)


# ---- pages, and what is read ---------------------------------------------------------------------------------------


def test_pages_go_on_below_and_above_and_by_type_and_by_whom(world):
    mine = world.post(world.ada)
    for actor in (world.bob, world.eve):
        world.do("like", actor, mine)
        world.do("follow", actor, world.ada)
        world.post(actor, mentions=[world.ada])
    every = ids_of(world, world.ada)
    assert (len(every), every) == (6, sorted(every, reverse=True))
    assert all(notice_id % STEP == 0 for notice_id in every)
    assert ids_of(world, world.ada, 0, 0, 0, count=2) == every[:2]
    assert ids_of(world, world.ada, every[1], 0, 0, count=2) == every[2:4]
    assert ids_of(world, world.ada, 0, every[3], 0) == every[:3]
    assert ids_of(world, world.ada, 0, 0, every[5], count=2) == every[3:5]
    only = world.read("notices", world.ada, 1 << NOTIFICATION_TYPE_OF["follow"], OPEN, [world.eve], 0, 0, 0, 1)
    assert [row[3] for row in only[0]] == [world.eve]
    assert world.read("notices", world.ada, TYPES_ALL, OPEN, [], 0, 0, 0, 3)[1] is True
    assert world.read("notice", world.ada, every[0])[0] == every[0]
    with pytest.raises(NotFoundError):
        world.read("notice", world.bob, every[0])


def test_unread_is_what_is_newer_than_the_marker_and_not_kept_apart(world):
    mine = world.post(world.ada)
    world.do("like", world.bob, mine)
    world.do("like", world.eve, mine)
    newest, oldest = ids_of(world, world.ada)
    unread = lambda count=100: world.read("unread_notices", world.ada, TYPES_ALL, [], count)  # noqa: E731
    assert (unread(), unread(1)) == (2, 1)
    world.do("set_markers", world.ada, 0, oldest)
    assert unread() == 1
    policy(world, world.ada, not_following=FILTER)
    world.post(world.bob, mentions=[world.ada])
    assert unread() == 1
    world.do("set_markers", world.ada, 0, newest)
    assert unread() == 0


def test_what_is_dismissed_is_gone_one_by_one_or_all_at_once(world):
    mine = world.post(world.ada)
    world.do("like", world.bob, mine)
    world.do("like", world.eve, mine)
    newest, oldest = ids_of(world, world.ada)
    assert world.do("drop_notices", world.ada, [oldest, oldest + STEP * 7]) == 1
    assert ids_of(world, world.ada) == [newest]
    assert world.do("drop_notices", world.ada, [oldest]) == 0
    assert world.do("drop_notices", world.ada, []) == 1
    assert told(world, world.ada) == []


def test_the_newest_800_stay_and_the_next_one_takes_the_oldest_s_place(monkeypatch, world):
    monkeypatch.setattr(limits, "NOTICES_COUNT_MAX", 3)
    mine = [world.post(world.ada) for _ in range(5)]
    for tweet_id in mine:
        world.do("like", world.bob, tweet_id)
    assert [tweet_id for _, _, tweet_id in told(world, world.ada)] == mine[:1:-1]


# ---- where they go with their account ------------------------------------------------------------------------------


def test_they_move_with_their_account_and_go_on_there(world):
    mine = world.post(world.ada)
    world.do("like", world.bob, mine)
    world.do("follow_as", world.ada, world.bob, None, True, None)
    before = ids_of(world, world.ada)
    world.move(1, world.ada)
    assert (world.shard_of(world.ada), ids_of(world, world.ada)) == (1, before)
    world.do("like", world.eve, mine)
    by_bob = world.post(world.bob)
    assert told(world, world.ada)[:2] == [("status", world.bob, by_bob), ("favourite", world.eve, mine)]


@pytest.mark.parametrize(
    "words",
    [[1 << 20, 5], [1 << 20, 0, 7], [1 << 20, 5, -1], [1 << 20, 5, 7, 1 << 20, 5, 8], [(1 << 20) | 15 << 1, 5, 7]],
    ids=["two words", "by nobody", "about less than nothing", "one id twice", "of no type"],
)
def test_what_are_no_notices_do_not_come_in_with_a_move(words):
    expecting = PartCheck({1: 0}, frozenset(range(1_024)))
    with pytest.raises(InvalidError):
        expecting._notices(1, np.array(words, dtype="<i8").tobytes())


def test_an_account_that_goes_takes_its_own_along_and_those_that_it_has_caused_everywhere(world):
    mine, theirs = world.post(world.ada), world.post(world.bob)
    for tweet_id in (mine, theirs):
        world.do("like", world.eve, tweet_id)
    world.do("like", world.bob, mine)
    policy(world, world.bob, not_followers=FILTER)
    world.post(world.eve, mentions=[world.bob])
    world.do("delete_account", world.eve, None)
    while not world.run(1, ["clear_left", world.eve, 10]):
        world.exchange()
    world.exchange()
    assert told(world, world.ada) == [("favourite", world.bob, mine)]
    assert told(world, world.bob, BOTH) == []


def test_below_level_3_nobody_is_notified_and_then_of_what_happens_from_there_on():
    world: Any = Shards(2, level=NOTICES_FROM_LEVEL - 1)
    ada, bob = world.account_on(0), world.account_on(1)
    world.register(ada, bob)
    mine = world.post(ada)
    world.do("like", bob, mine)
    world.do("follow", bob, ada)
    world.post(bob, mentions=[ada])
    assert told(world, ada) == []
    with pytest.raises(OverloadedError):
        world.do("drop_notices", ada, [])
    for shard in range(2):
        world.run(shard, ["level", LEVEL])
    world.exchange()
    assert told(world, ada) == []
    world.do("unlike", bob, mine)
    world.do("like", bob, mine)
    assert told(world, ada) == [("favourite", bob, mine)]
    world.check()


# ---- the store -----------------------------------------------------------------------------------------------------


def store_of(*rows: int) -> Notices:
    changes = Changes()
    made = Notices({row + 100: row for row in rows}.get, lambda: changes, 1 << 18)
    made.ensure_rows(max(rows) + 1)
    return made


def test_ids_rise_when_the_clock_stands_or_goes_back_and_no_time_is_too_late():
    store = store_of(0)
    made = [store.add(100, 0, 7, 9, at_ms) for at_ms in (1_000, 1_000, 5, 1 << 62, 1)]
    assert made == sorted(set(made))
    assert made[0] == 1_000 << 16
    assert made[3] == MS_MAX << 16
    assert store.check() == []


def test_what_somebody_has_caused_is_found_wherever_it_is():
    store = store_of(0, 1, 2)
    for row, actor in ((0, 7), (0, 8), (1, 8), (2, 7), (2, 9)):
        store.add(row + 100, 0, actor, 7, 1_000)
    store.drop_actor_everywhere(7, lambda row: row + 100)
    assert [store.view(row + 100)[:, 1].tolist() for row in range(3)] == [[8], [8], [9]]
    assert store.check() == []


def test_types_fit_their_bits():
    assert len(NOTIFICATION_TYPES) <= 16
    assert notifications.TYPES_ALL.bit_length() == len(NOTIFICATION_TYPES)
