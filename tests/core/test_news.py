"""What has changed, for whoever keeps a copy."""

from __future__ import annotations

from actors.core import news
from actors.core.news import News, Taken


def test_keys_are_taken_once_in_the_order_in_which_they_first_changed():
    kept = News()
    assert not kept
    for tweet_id in (7, 5, 7, 9):
        kept.tweet(tweet_id, True)
    kept.account(3)
    assert kept
    assert len(kept) == 4
    assert kept.take(2) == Taken({7: True, 5: True}, [3], False)
    assert kept.take(2) == Taken({9: True}, [], False)
    assert not kept


def test_a_new_tweet_that_is_liked_before_it_was_taken_is_still_new():
    kept = News()
    kept.tweets([1])
    kept.tweet(1, False)
    kept.tweet(2, False)
    assert kept.take(10).tweets == {1: True, 2: False}


def test_too_many_keys_become_a_word_that_everything_is_to_be_compared(monkeypatch):
    monkeypatch.setattr(news, "KEYS_COUNT_MAX", 3)
    kept = News()
    kept.tweets(range(1, 5))
    assert kept
    assert len(kept) == 0
    assert kept.take(10) == Taken({}, [], True)
    assert kept.take(10) == Taken({}, [], False)


def test_what_was_edited_is_said_of_the_tweets_that_are_taken_and_once():
    news = News()
    for tweet_id in (1, 2, 3):
        news.tweet(tweet_id, tweet_id == 1)
    news.edited(1)
    news.edited(3)
    news.edited(4)
    assert news.take(3) == Taken({1: True, 2: False, 3: False}, [], False, frozenset((1, 3)))
    assert news.take(3) == Taken({4: False}, [], False, frozenset((4,)))
    news.edited(5)
    news.all()
    assert news.take(3) == Taken({}, [], True)


def test_what_came_or_was_edited_last_is_remembered_after_it_was_taken():
    kept, second = News(), 1_000 << 16
    assert kept.recent() == set()
    for n in range(1, 10):
        kept.tweet(n * second, n != 9)
    kept.edited(1)
    kept.tweets([9 * second + 1, 9 * second + 2])
    kept.take(100)
    newest = {n * second for n in range(5, 9)}
    assert kept.recent() == {1, *newest, 9 * second + 1, 9 * second + 2}
    kept.tweets(range(20 * second, 20 * second + news.RECENT_COUNT_MAX + 50))
    assert len(kept.recent()) == news.RECENT_COUNT_MAX + 1
