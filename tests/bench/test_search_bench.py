"""The tweets and queries that search is measured with are what they say, and both peers really answer over HTTP."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from actors.core.ids import bucket_of_account, bucket_of_tweet
from bench import peer_postgres
from bench.dataset import make_network
from bench.load_generator import get_request, write_requests
from bench.peer_fts5 import Fts5Store, fts5_peer, load, sizes_of, to_match
from bench.peer_postgres import find_binaries, postgres_peer, require_binaries
from bench.processes import BenchError
from bench.scenarios.search import bearer, index_sizes, peers_of, search_request
from bench.search_measures import (
    Contestant,
    check_agreement,
    client_of,
    home_reads,
    new_word,
    post,
    search,
    time_until_found,
    wait_until_found,
)
from bench.search_queries import (
    PART_CHARS_MAX,
    STOP_WORDS,
    Corpus,
    Query,
    Tweet,
    count_hits,
    describe_hits,
    holds_words,
    make_corpus,
    make_queries,
    make_texts,
    plain_words,
    read_sources,
)
from tests.components import needs

needs_postgres = needs(find_binaries(), "PostgreSQL's server (Debian: postgresql)")
TWEETS = 2_000


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    network = make_network(100, 10, 0)
    return make_corpus(read_sources([]), TWEETS, network.accounts, network.followees)


@pytest.fixture(scope="module", params=["fts5", "fts5, no threads", pytest.param("postgres", marks=needs_postgres)])
def peer(request, corpus, tmp_path_factory) -> Iterator[Contestant]:
    folder = tmp_path_factory.mktemp("peer")
    sides = {
        "fts5": lambda: fts5_peer(folder, corpus.tweets()),
        "fts5, no threads": lambda: fts5_peer(folder, corpus.tweets(), threads=0),
        "postgres": lambda: postgres_peer(folder, corpus.tweets()),
    }
    with sides[request.param]() as running:
        assert running.build_s > 0
        assert 0 < running.sizes["index"] < running.sizes["all"]
        yield Contestant(running.port, corpus.authors[0], {})


# ---- tweets -----------------------------------------------------------------------------------------------------


def test_tweets_are_a_function_of_texts_count_and_seed():
    sources = read_sources([])
    assert make_texts(sources, 500) == make_texts(sources, 500)
    assert make_texts(sources, 500) != make_texts(sources, 500, seed=9)
    network = make_network(50, 5, 0)
    first, second = (make_corpus(sources, 300, network.accounts, network.followees) for _ in range(2))
    assert list(first.tweets()) == list(second.tweets())


def test_a_tweet_is_the_first_part_of_one_text_and_the_last_of_another():
    texts = make_texts(["a b c d", "1 2 3 4"], 400)
    for text in texts:
        words = text.split()
        heads = [n for n in range(1, 5) if words[:n] in (list("abcd")[:n], list("1234")[:n])]
        assert any(words[n:] in (list("abcd")[-len(words[n:]) :], list("1234")[-len(words[n:]) :]) for n in heads), text
    assert {"a 2 3 4", "1 b c d", "a b c d"} & set(texts)


def test_tweets_of_long_texts_have_at_most_280_characters_and_break_between_words():
    words = " ".join(f"word{n:03d}" for n in range(40))
    texts = make_texts([words[:280], "x" * 139 + " " + "y" * 139, "z" * 140 + " " + "w" * 139], 2_000)
    assert max(map(len, texts)) <= 280
    assert all(len(word) == 7 or len(word) >= PART_CHARS_MAX - 1 for text in texts for word in text.split())


def test_texts_without_two_words_are_refused():
    with pytest.raises(BenchError, match="two words"):
        make_texts(["one", "two"], 10)


def test_texts_come_from_every_file_given_and_are_checked(tmp_path):
    (tmp_path / "a.txt").write_text("one two\n\nthree four\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("cafe\u0301 five\n", encoding="utf-8")
    assert read_sources([tmp_path / "a.txt", tmp_path / "b.txt"]) == ["one two", "three four", "café five"]


def test_ids_ascend_and_hold_their_authors_bucket(corpus):
    tweets = list(corpus.tweets())
    ids = [tweet.tweet_id for tweet in tweets]
    assert ids == sorted(set(ids))
    assert all(bucket_of_tweet(tweet.tweet_id) == bucket_of_account(tweet.author) for tweet in tweets)
    assert len(tweets) == TWEETS


# ---- queries ----------------------------------------------------------------------------------------------------


def test_queries_are_different_pairs_of_words_of_the_tweet_they_name(corpus):
    queries = make_queries(corpus.texts, 500)
    assert queries == make_queries(corpus.texts, 500)
    assert queries != make_queries(corpus.texts, 500, seed=3)
    assert len({frozenset(query.text.split()) for query in queries}) == len(queries) == 500
    for query in queries:
        first, second = query.text.split()
        assert {first, second} <= set(plain_words(corpus.texts[query.tweet]))
        assert first != second
        assert not {first, second} & STOP_WORDS


def test_a_small_vocabulary_gives_fewer_queries_and_none_is_an_error():
    assert {frozenset(q.text.split()) for q in make_queries(["red green blue"], 100)} == {
        frozenset(pair) for pair in (("red", "green"), ("red", "blue"), ("green", "blue"))
    }
    with pytest.raises(BenchError, match="two words"):
        make_queries(["the and of", "hello"], 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('He said: "Rain, again!" (Snow?)', ["said", "rain", "snow"]),
        ("@ada #rain rain.com https://x.org/snow sleet/hail it's well-known so_so", []),
        ("Ünder café naïve plain", ["plain"]),
        ("up at 6am no go", []),
        ("a <tag that is> open", []),
        ("i <3 trains trains", ["trains"]),
    ],
)
def test_words_are_what_everybody_takes_for_words(text, words):
    assert plain_words(text) == words


def test_hits_are_counted_by_whole_words(corpus):
    texts = ["red green", "green, RED!", "reddish green", "red", "#red green", "green red red"]
    assert count_hits(texts, [Query("red green", 0), Query("green reddish", 2)]) == [3, 1]
    queries = make_queries(corpus.texts, 50)
    counted = [sum(set(q.text.split()) <= set(plain_words(t)) for t in corpus.texts) for q in queries]
    assert count_hits(corpus.texts, queries) == counted
    assert describe_hits([1, 1, 30, 5], 20) == "p10 1 p50 3 p90 23 p99 29, most 30; 25% have 20 or more"


@pytest.mark.parametrize(
    ("text", "query", "holds"),
    [
        ("She studies Trains", "train study", True), ("Cafés are shops", "cafe shop", True),
        ("#happiness at carina_grove", "happy grove", True), ("a train", "train rain", False),
        ("the cat", "catalogue", False), ("", "rain", False),
    ],
)  # fmt: skip
def test_a_text_holds_forms_of_words(text, query, holds):
    assert holds_words(text, query) is holds


# ---- the peers --------------------------------------------------------------------------------------------------


def test_queries_find_their_tweets_newest_first_and_by_rank(peer, corpus):
    queries = make_queries(corpus.texts, 30)
    found = check_agreement({"peer": peer}, queries, count_hits(corpus.texts, queries), corpus.texts)
    assert set(found) == {"peer"}


def test_an_answer_holds_whole_tweets(peer, corpus):
    query = make_queries(corpus.texts, 1)[0]
    with client_of(peer) as client:
        for order in ("latest", "top"):
            answer = search(client, query.text, order, count=3)
            assert {"next_cursor", "corrected", "partial"} < set(answer)
            assert 1 <= len(answer["tweets"]) <= 3
            known = {str(tweet.tweet_id): tweet for tweet in corpus.tweets()}
            for tweet in answer["tweets"]:
                given = known[tweet["tweet_id"]]
                assert (tweet["status"], tweet["user_id"]) == (given.text, str(given.author))
                assert tweet["username"] == f"user{given.author}"
                assert tweet["created_at"].endswith("+0000 2023")
                assert tweet["counts"] == {"replies": 0, "reposts": 0, "likes": 0}


def test_the_best_tweets_come_first_by_rank(peer):
    word, other = (new_word(random.Random(seed)) for seed in (1, 2))
    with client_of(peer) as client:
        best = post(client, peer, f"{word} {other} {word} {other} {word} {other}")
        newest = post(client, peer, f"{word} and a great many other things that are no {other} at all, are they?")
        assert [t["tweet_id"] for t in search(client, f"{word} {other}", "latest")["tweets"]] == [newest, best]
        assert [t["tweet_id"] for t in search(client, f"{word} {other}", "top")["tweets"]] == [best, newest]


def test_a_new_tweet_is_found_at_once(peer):
    finding = time_until_found(peer, 2)
    assert finding.posts == 2
    assert 0 < finding.p50_ms <= finding.most_ms


@pytest.mark.parametrize("query", ['"', "' OR 1=1 --", "a:b* NOT (", "%", "   "])
def test_no_query_breaks_a_peer(peer, query):
    with client_of(peer) as client:
        assert search(client, query)["tweets"] == []


def test_a_peer_refuses_what_it_does_not_know(peer):
    with client_of(peer) as client:
        for path in ("/api/v1/search", "/api/v1/search?query=a&order=best", "/api/v1/search?query=a&count=999"):
            assert client.get(path).status_code == 422
        with pytest.raises(BenchError, match="422"):
            search(client, "a", "best")
        with pytest.raises(BenchError, match="post at"):
            post(client, peer, "")


def test_a_tweet_that_is_never_found_is_an_error(peer):
    with client_of(peer) as client, pytest.raises(BenchError, match="0 of 1 tweets"):
        wait_until_found(client, new_word(random.Random(4)), {"1"}, 0.05)


def test_a_request_is_read_as_it_was_meant(peer, corpus):
    query = make_queries(corpus.texts, 1)[0]
    head, _, _ = search_request(query.text, "top").partition(b"\r\n")
    path = head.split(b" ")[1].decode()
    with client_of(peer) as client:
        assert client.get(path).json() == search(client, query.text, "top")


def test_reads_by_the_clock_are_timed_with_and_without_searches_beside_them(corpus, tmp_path):
    requests = write_requests(
        tmp_path / "requests", (search_request(query.text, "latest") for query in make_queries(corpus.texts, 50))
    )
    with fts5_peer(tmp_path / "peer", corpus.tweets()) as running:
        alone = home_reads(running.port, requests, 100.0, 0.2, "builtin", None, 2)
        beside = home_reads(running.port, requests, 100.0, 0.2, "builtin", requests, 2)
        nowhere = write_requests(tmp_path / "nowhere", [get_request("/nowhere")])
        with pytest.raises(BenchError, match="home reads failed"):
            home_reads(running.port, nowhere, 100.0, 0.2, "builtin", None, 2)
    assert 0 < alone.p50_us <= alone.p99_us
    assert alone.searches_per_second == 0
    assert beside.searches_per_second > 0


# ---- what is noticed --------------------------------------------------------------------------------------------


class Answers(httpx.BaseTransport):
    """Answers every search alike."""

    def __init__(self, texts: list[str], ids: list[int], partial: bool = False) -> None:
        self.tweets = [{"status": text, "tweet_id": str(i)} for text, i in zip(texts, ids, strict=True)]
        self.partial = partial

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = {"tweets": self.tweets, "corrected": None, "partial": self.partial}
        return httpx.Response(200, json=body)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (Answers([], []), "finds too little"),
        (Answers(["red green", "blue"], [2, 1]), "or else"),
        (Answers(["red green", "red greens"], [1, 2]), "newest first"),
        (Answers(["red green"], [1], partial=True), "in part"),
    ],
)
def test_wrong_answers_are_noticed_before_anything_is_timed(monkeypatch, answers, problem):
    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: real(transport=answers, **options))
    with pytest.raises(BenchError, match=problem):
        check_agreement({"it": Contestant(1, 1, {})}, [Query("red green", 0)], [1], ["red green"])


def test_contestants_that_find_different_numbers_are_noticed(monkeypatch):
    texts = ["red green"] * 12
    sides = {1: Answers(texts, list(range(12, 0, -1))), 2: Answers(texts[:8], list(range(8, 0, -1)))}
    real = httpx.Client
    monkeypatch.setattr(
        httpx, "Client", lambda base_url, **rest: real(transport=sides[int(base_url[-1])], base_url=base_url, **rest)
    )
    contestants = {f"number {port}": Contestant(port, 1, {}) for port in sides}
    with pytest.raises(BenchError, match="different numbers"):
        check_agreement(contestants, [Query("red green", 0)], [1], texts)


# ---- parts ------------------------------------------------------------------------------------------------------


def test_words_are_quoted_for_fts5():
    assert to_match('two "words" AND') == '"two" "words" "AND"'
    assert to_match("") == '""'


async def test_a_tweet_that_fts5_has_already_is_refused_and_nothing_stays_behind(tmp_path):
    path = tmp_path / "t.sqlite"
    load(path, [Tweet(1, 2, "red green")])
    store = Fts5Store(path)
    await store.open()
    try:
        with pytest.raises(sqlite3.IntegrityError):
            await store.add(1, 2, "blue")
        await store.add(2, 2, "blue green")
        assert [tweet[0] for tweet in await store.search("green", True, 20)] == [2, 1]
        assert [tweet[0] for tweet in await store.search("blue", False, 20)] == [2]
    finally:
        await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO found(found) VALUES ('integrity-check')")
    assert sizes_of(path)["all"] > 0


def test_peers_are_chosen_by_name_and_unknown_ones_refused():
    assert peers_of("fts5") == ["SQLite FTS5"]
    assert peers_of("fts5, postgres") == ["PostgreSQL", "SQLite FTS5"]
    assert peers_of("") == []
    with pytest.raises(BenchError, match="'elastic'"):
        peers_of("elastic")


def test_a_missing_postgresql_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(peer_postgres, "DEBIAN_FOLDERS", "/nowhere")
    monkeypatch.setattr(peer_postgres.shutil, "which", lambda _: None)
    with pytest.raises(BenchError, match=r"apt-get install postgresql .*--peers fts5"):
        require_binaries()


def test_indexes_are_found_wherever_they_are_in_a_data_folder(tmp_path: Path):
    for shard in ("0", "1"):
        folder = tmp_path / "shards" / shard / "search" / "tweets"
        folder.mkdir(parents=True)
        (folder / "segment").write_bytes(b"x" * 10)
    (tmp_path / "journal").write_bytes(b"x" * 99)
    assert index_sizes(tmp_path) == {"index": 20}


def test_writers_are_signed_in_unless_nobody_is_asked():
    network = make_network(10, 2, 0)
    account = int(np.min(network.accounts))
    assert bearer(network, account, "token") == {"Authorization": f"Bearer {network.tokens[account][0]}"}
    assert bearer(network, account, "open") == {}
