"""The search engine's process as a shard uses it: fed and asked over its lane, killed, damaged, lied to.

Rules of this file
- The process is the real one, `python -m actors.search`. One serves the tests that only feed and ask; each finds it
  empty (`engine`). What starts, ends or damages one has its own.
- No assertion on time but generous ones: "within 5 s" is a deadline, not a speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from actors.core.errors import InvalidError, MalformedError, RookeryError
from actors.core.facts import Facts, pack_facts
from actors.search import accounts, index
from actors.search.documents import ENGINE_NAME, NEW, SOCKET, UNTOLD
from actors.search.engine import FEED_ROWS_MAX, PAUSE_TIMES, TRENDS_FILE, Indexer
from actors.search.priorities import NICE_ENGINE
from actors.search.searches import COUNT_MAX
from actors.search.trends import read_snapshot
from cluster.lane.client import LaneClient
from cluster.lane.handshake import LaneKeys
from cluster.lane.protocol import LaneDisconnected
from tests.search.sample_tweets import make_sample, make_texts, samples
from tests.search.suite import packed

pytestmark = pytest.mark.asyncio(loop_scope="module")
REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60.0
ANSWER_S = 60
COMMIT_MS = 50
WHALE = ["word", "whale"]


class Engine:
    """One engine process and its lane."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: asyncio.subprocess.Process
        self.lane: LaneClient

    async def start(self) -> Engine:
        secret = secrets.token_bytes(32)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "actors.search", cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE
        )
        path = self.directory / SOCKET
        path.unlink(missing_ok=True)
        given = {"directory": str(self.directory), "secret": secret.hex(), "commit_ms": COMMIT_MS}
        self.process.stdin.write(json.dumps(given).encode() + b"\n")
        deadline = time.monotonic() + START_S
        while not path.exists():
            assert self.process.returncode is None, f"the engine ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "the engine didn't start"
            await asyncio.sleep(0.01)
        self.lane = LaneClient(str(path), LaneKeys(secret), ENGINE_NAME)
        await self.lane.connect()
        return self

    async def ask(self, op: str, *args: Any) -> Any:
        return await self.lane.request(op, list(args), ANSWER_S)

    async def feed(self, tweets=(), gone=(), accounts=(), gone_accounts=(), committed=True) -> Any:
        return await self.ask("feed", list(tweets), list(gone), list(accounts), list(gone_accounts), committed)

    async def latest(self, tree, max_id=0, count=50, min_id=0, follows=b"") -> list[int]:
        return await self.ask("latest", tree, max_id, count, min_id, follows)

    async def contents(self) -> dict[int, int]:
        """Return the likes of each tweet in the index."""
        ids, likes, _ = await self.ask("contents", "tweets", 0)
        return dict(zip(numbers(ids), numbers(likes), strict=True))

    async def stop(self) -> int:
        """Close its standard input, as a shard does that ends; returns the exit code."""
        self.process.stdin.close()
        try:
            return await asyncio.wait_for(self.process.wait(), START_S)
        finally:
            self.lane.close()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self.process.kill()
        await self.process.wait()
        self.lane.close()


def numbers(column: bytes) -> list[int]:
    return np.frombuffer(column, dtype="<i8").tolist()


def row(tweet_id: int, text: str, **more: Any) -> list[Any]:
    return make_sample(tweet_id, 7, text, **more).row


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running():
    with tempfile.TemporaryDirectory(prefix="rk-") as directory:
        started = await Engine(Path(directory)).start()
        yield started
        assert await started.stop() == 0


@pytest_asyncio.fixture(loop_scope="module")
async def engine(running):
    await running.feed()  # what the last test left uncommitted
    accounts = numbers((await running.ask("contents", "accounts", 0))[0])
    tweets = list(await running.contents())
    for at in range(0, max(len(tweets), 1), FEED_ROWS_MAX // 2):
        await running.feed(gone=tweets[at : at + FEED_ROWS_MAX // 2], gone_accounts=accounts if at == 0 else ())
    return running


async def until(condition, timeout_s: float = 60.0) -> float:
    """Wait until an awaited condition holds; returns the seconds that it took."""
    begin = time.monotonic()
    while not await condition():
        assert time.monotonic() - begin < timeout_s, "it never happened"
        await asyncio.sleep(0.005)
    return time.monotonic() - begin


# ---- feeding and finding ---------------------------------------------------------------------------------------------


async def test_what_is_fed_is_acknowledged_and_found_once_it_is_committed(engine):
    assert await engine.feed([row(5, "a blue whale"), row(6, "two whales #ocean")], committed=False) == []
    took_s = await until(lambda: is_found(engine, [6, 5]))
    print(f"found {took_s * 1000:.0f} ms after the acknowledgement, at commits every {COMMIT_MS} ms")
    assert await engine.feed([row(7, "a third whale")]) == []
    assert await engine.latest(WHALE) == [7, 6, 5]  # a feed that asks for the commit is acknowledged after it
    assert await engine.latest(WHALE, 7, 1) == [6]
    assert await engine.latest(WHALE, 0, 1, 5) == [6]
    assert await engine.latest(["and", WHALE, ["follows"]], 0, 5, 0, packed({7})) == [7, 6, 5]
    assert await engine.latest(["and", WHALE, ["follows"]], 0, 5, 0, b"") == []


async def is_found(engine: Engine, wanted: list[int]) -> bool:
    return await engine.latest(WHALE) == wanted


async def test_likes_and_removals_that_are_fed_later_count(engine):
    fed = [make_sample(n, 7, "a whale", likes=n) for n in range(1, 11)]
    await engine.feed([sample.row for sample in fed])
    await engine.feed([fed[2].with_likes(500).row], gone=[5, 6, 999])
    assert await engine.latest(["and", WHALE, ["likes", 8]]) == [10, 9, 8, 3]
    assert await engine.contents() == {1: 1, 2: 2, 3: 500, 4: 4, 7: 7, 8: 8, 9: 9, 10: 10}
    ids, scores = await engine.ask("top", WHALE, 20, b"")
    assert sorted(ids) == [1, 2, 3, 4, 7, 8, 9, 10]
    assert len({round(score, 5) for score in scores}) == 1  # the same text, the same score


async def test_accounts_hashtags_words_and_highlights_are_asked_for(engine):
    people = [[1, "ada", "Ada Lovelace", "numbers", 100], [2, "adam", "Adam", "", 1]]
    texts = ["whales in the #Ocean", "blue #ocean", "the whale sings"]
    await engine.feed([row(n, text) for n, text in enumerate(texts, 10)], accounts=people)
    assert [hit[0] for hit in await engine.ask("accounts", ["ada"], 5)] == [1, 2]
    assert [hit[0] for hit in (await engine.ask("suggest", "a", 5))[0]] == [1, 2]
    assert (await engine.ask("suggest", "#oc", 5)) == [[], [["ocean", 2]]]
    assert await engine.ask("tag", ["ocean"], [], [], 0, 0, 5) == [11, 10]

    async def corrected() -> bool:
        return ["whale", 1, 1] in (await engine.ask("corrections", ["whael"]))["whael"][1]

    await until(corrected)  # the vocabulary is read again within a second
    assert await engine.ask("corrections", ["sings", "qqqqqq"]) == {"sings": [1, []], "qqqqqq": [0, []]}
    body = pack_facts(Facts("The whales sing", "ada"))
    assert await engine.ask("highlight", WHALE, [body, b""]) == [[[4, 10]], []]
    await engine.feed(gone_accounts=[1], accounts=[[2, "adam", "Adam Smith", "", 1]])
    assert [hit[0] for hit in await engine.ask("accounts", ["smith"], 5)] == [2]
    assert await engine.ask("accounts", ["lovelace"], 5) == []
    ids, digests = await engine.ask("contents", "accounts", 0)
    assert numbers(ids) == [2]
    assert len(numbers(digests)) == 1


async def test_a_hashtags_timeline_knows_a_tweet_when_it_is_fed(engine):
    assert await engine.ask("tag", ["ocean"], [], [], 0, 0, 5) == []
    for n in range(1, 6):
        await engine.feed([row(n, "#ocean")], committed=False)
        assert await engine.ask("tag", ["ocean"], [], [], 0, 0, 5) == list(range(n, 0, -1))
    await engine.feed(gone=[3], committed=False)
    assert await engine.ask("tag", ["ocean"], [], [], 0, 0, 5) == [5, 4, 2, 1]


async def test_facts_and_trends_tell_what_the_engine_does(engine):
    await engine.feed([row(n, "a whale") for n in range(1, 31)], accounts=[[1, "ada", "", "", 0]])
    before = (await engine.ask("facts"))["searches"]
    await engine.latest(WHALE)
    facts = await engine.ask("facts")
    assert facts["pid"] == engine.process.pid
    assert (facts["documents"], facts["accounts"], facts["uncommitted"]) == (30, 1, 0)
    assert facts["searches"] == before + 1
    assert facts["commits"] >= 1
    assert facts["disk_bytes"] > 1_000
    assert facts["rss_bytes"] > 10_000_000
    assert psutil.Process(engine.process.pid).nice() >= NICE_ENGINE
    sketch = await engine.ask("trends")
    assert isinstance(sketch, bytes)
    assert sketch


async def test_words_of_who_wants_to_be_in_no_search_are_in_no_trend_and_his_hashtags_are(engine):
    first = (int(time.time() * 1000) << 16) + 1
    said = {NEW: "brave lighthouse keepers #Told", UNTOLD: "shy lighthouse owners #Untold"}
    rows = [row(first + 10 * news + n, text) for news, text in said.items() for n in range(4)]
    for n, each in enumerate(rows):
        each[1], each[-1] = 100 + n, NEW if n < 4 else UNTOLD  # everybody is somebody else
    await engine.feed(rows)
    terms = [key.partition(" ")[2] for key, *_ in read_snapshot(await engine.ask("trends")).terms]
    assert {"told", "untold", "lighthouse keepers"} <= set(terms)
    assert not [term for term in terms if "owners" in term]
    assert await engine.latest(["word", "owners"]) == [each[0] for each in rows[:3:-1]], "its author finds it"


async def test_the_vocabulary_of_corrections_is_read_again(engine):
    assert (await engine.ask("corrections", ["narwhal"]))["narwhal"][0] == 0
    await engine.feed([row(1, "narwhal")])

    async def known() -> bool:
        return (await engine.ask("corrections", ["narwhal"]))["narwhal"][0] == 1

    await until(known)


async def test_searches_answer_while_thousands_of_rows_are_taken_in(engine):
    await engine.feed([row(n, "a first whale") for n in range(1, 101)])
    rows = [sample.row for sample in samples(make_texts(FEED_ROWS_MAX, seed=3), seed=3)]
    ended: list[str] = []
    feeding = asyncio.ensure_future(engine.feed(rows))
    searches = [asyncio.ensure_future(engine.latest(["and", WHALE, ["word", "first"]], 0, 20)) for _ in range(20)]
    for name, request in (("feed", feeding), *(("search", search) for search in searches)):
        request.add_done_callback(lambda _, name=name: ended.append(name))
    assert await asyncio.gather(*searches) == [list(range(100, 80, -1))] * len(searches)
    assert await feeding == []
    assert ended.index("feed") > 3, "searches have waited for the feed"
    assert len(await engine.contents()) == 100 + len(rows)


# ---- hostile arguments -----------------------------------------------------------------------------------------------


HOSTILE = [
    ("nonsense", []), ("", []), ("x" * 500, [1]), ("__init__", []), ("answer", ["latest", []]),
    ("latest", []), ("latest", [1, 2, 3]), ("latest", [WHALE, 0, 5, 0, b"", 1]), ("latest", [None, 0, 5, 0, b""]),
    ("latest", [WHALE, 0, 0, 0, b""]), ("latest", [WHALE, 0, -1, 0, b""]),
    ("latest", [WHALE, 0, COUNT_MAX + 1, 0, b""]), ("latest", [WHALE, 0, True, 0, b""]),
    ("latest", [WHALE, 0, 10**15, 0, b""]), ("latest", [WHALE, -1, 5, 0, b""]), ("latest", [WHALE, 0, 5, -1, b""]),
    ("latest", [WHALE, 1 << 63, 5, 0, b""]), ("latest", [WHALE, "7", 5, 0, b""]), ("latest", [WHALE, 0, 5.0, 0, b""]),
    ("latest", [WHALE, 0, 5, 0, b"1234567"]), ("latest", [WHALE, 0, 5, 0, "text"]), ("latest", [WHALE, 0, 5, 0, None]),
    ("latest", [[], 0, 5, 0, b""]), ("latest", [["word"], 0, 5, 0, b""]), ("latest", [["word", 7], 0, 5, 0, b""]),
    ("latest", [["nosuch", 7], 0, 5, 0, b""]), ("latest", [["not", WHALE], 0, 5, 0, b""]),
    ("latest", [["or", WHALE, ["not", WHALE]], 0, 5, 0, b""]), ("latest", [["and", 7], 0, 5, 0, b""]),
    ("latest", [["phrase", []], 0, 5, 0, b""]), ("latest", [["phrase", 7], 0, 5, 0, b""]),
    ("latest", [["phrase", [7, 8]], 0, 5, 0, b""]), ("latest", [["prefix", 7], 0, 5, 0, b""]),
    ("latest", [["prefix", "x" * 100_000], 0, 5, 0, b""]), ("latest", [["ids", 0, 1 << 70], 0, 5, 0, b""]),
    ("latest", [["ids", "a", "b"], 0, 5, 0, b""]), ("latest", [["author", ["x"]], 0, 5, 0, b""]),
    ("latest", [["author", [1 << 70]], 0, 5, 0, b""]), ("latest", [["likes", "many"], 0, 5, 0, b""]),
    ("latest", [["tag", None], 0, 5, 0, b""]), ("latest", [{"and": 1}, 0, 5, 0, b""]),
    ("top", []), ("top", [WHALE, 0, b""]), ("top", [WHALE, 10**12, b""]), ("top", [WHALE, "5", b""]),
    ("top", [None, 5, b""]), ("top", [WHALE, 5, None]),
    ("accounts", ["ada", 5]), ("accounts", [["ada"], 0]), ("accounts", [["ada"] * 51, 5]), ("accounts", [[7], 5]),
    ("accounts", [["x" * 100_000], 5]), ("suggest", [7, 5]), ("suggest", ["a", 0]), ("suggest", [b"a", 5]),
    ("tag", [[], [], [], 0, 0, 5]), ("tag", [["a"], [], [], 0, 0, 0]), ("tag", [["a"], 7, [], 0, 0, 5]),
    ("tag", [["a"] * 21, [], [], 0, 0, 5]), ("tag", [["a"], [], [], -1, 0, 5]), ("tag", [["a"]]),
    ("corrections", ["word"]), ("corrections", [[7]]), ("corrections", [["a"] * 51]), ("corrections", []),
    ("highlight", [WHALE, ["text"]]), ("highlight", [WHALE, [b"\xc1"]]), ("highlight", [WHALE, [b"\x07"]]),
    ("highlight", [WHALE, [b""] * 1_001]), ("highlight", [7, [b"\x91\xa1a"]]),
    ("highlight", [["word"], [b"\x91\xa1a"]]),
    ("contents", []), ("contents", ["tweets"]), ("contents", ["nosuch", 0]), ("contents", [7, 0]),
    ("contents", ["tweets", -1]), ("contents", [["tweets"], 0]), ("contents", ["tweets", "x"]),
    ("feed", []), ("feed", [1, 2, 3, 4, 5]), ("feed", [None, [], [], [], True]), ("feed", [[], [], [], []]),
    ("feed", [[], list(range(1, FEED_ROWS_MAX + 2)), [], [], True]), ("feed", [[7], [], [], [], True]),
    ("feed", [[[]], [], [], [], True]), ("feed", [[["a"] * 10], [], [], [], False]),
    ("feed", ["abc", [], [], [], True]),
    ("feed", [[], ["x"], [], [], True]), ("feed", [[], [-1], [], [], True]), ("feed", [[], [1 << 63], [], [], False]),
    ("feed", [[], [], [[1, "a"]], [], True]), ("feed", [[], [], [[1, "a", 7, "", 0]], [], True]),
    ("feed", [[], [], [], [None], True]), ("feed", [[], [], [], [1.5], True]),
]  # fmt: skip


async def test_what_makes_no_sense_is_refused_and_the_engine_lives_on(engine):
    await engine.feed([row(5, "a whale")])
    answers = await asyncio.gather(*(engine.ask(op, *args) for op, args in HOSTILE), return_exceptions=True)
    answered = [
        (op, str(args)[:80], answer)
        for (op, args), answer in zip(HOSTILE, answers, strict=True)
        if not isinstance(answer, InvalidError | MalformedError)
    ]
    assert answered == []
    assert await engine.latest(WHALE) == [5]
    assert await engine.feed([row(6, "whale")]) == []
    assert await engine.latest(WHALE) == [6, 5]


async def test_a_tree_as_deep_as_the_lane_carries_is_no_end(engine):
    await engine.feed([row(5, "a whale")])
    for depth in (50, 200, 450):
        tree = WHALE
        for _ in range(depth):
            tree = ["and", tree]
        try:
            found = await engine.latest(tree)
        except RookeryError:
            found = []
        assert found == [5] or depth > 50
    assert await engine.latest(WHALE) == [5]


async def test_rows_that_cannot_be_read_are_left_out_and_the_others_taken_in(engine):
    rows = [row(1, "whale one"), [2, "garbage"], row(3, "whale three"), [*row(4, "x")[:7], b"\xc1", None, 1]]
    before = (await engine.ask("facts"))["unreadable"]
    for committed in (True, False):
        with pytest.raises(MalformedError, match="3 of 6 rows are left out"):
            await engine.feed(rows, accounts=[[1, "ada", "Ada", "", 0], ["x"]], committed=committed)
    assert await engine.latest(WHALE) == [3, 1]
    assert [hit[0] for hit in await engine.ask("accounts", ["ada"], 5)] == [1]
    assert (await engine.ask("facts"))["unreadable"] == before + 6


async def test_whoever_does_not_know_the_secret_is_not_served(engine):
    stranger = LaneClient(str(engine.directory / SOCKET), LaneKeys(secrets.token_bytes(32)), ENGINE_NAME)
    with pytest.raises(Exception, match="secret"):
        await stranger.connect()
    assert await engine.latest(WHALE) == []


# ---- ends and beginnings ---------------------------------------------------------------------------------------------


async def test_it_ends_with_its_standard_input_and_leaves_nothing_behind(data_dir):
    engine = await Engine(data_dir).start()
    assert await engine.feed([row(5, "a whale")], committed=False) == []
    process = psutil.Process(engine.process.pid)
    assert process.children() == []
    assert await engine.stop() == 0
    assert not process.is_running()
    assert not (data_dir / SOCKET).exists()
    assert (data_dir / TRENDS_FILE).exists()
    again = await Engine(data_dir).start()
    assert await again.contents() == {5: 0}  # the end commits what was acknowledged
    assert await again.stop() == 0


async def test_killed_while_it_is_fed_it_comes_back_with_what_was_committed(data_dir):
    engine = await Engine(data_dir).start()
    committed = [sample.row for sample in samples(make_texts(300, seed=5), seed=5)]
    await engine.feed(committed)
    rest = [sample.row for sample in samples(make_texts(1_500, seed=6), seed=6)]
    rest = [[(9 << 50) + n, *each[1:]] for n, each in enumerate(rest)]
    feeding = [asyncio.ensure_future(engine.feed(rest[at : at + 100], committed=False)) for at in range(0, 1_500, 100)]
    await feeding[2]
    os.kill(engine.process.pid, signal.SIGKILL)
    ended = await asyncio.gather(*feeding, return_exceptions=True)
    assert any(isinstance(each, LaneDisconnected) for each in ended)
    await engine.kill()
    again = await Engine(data_dir).start()
    there = await again.contents()
    assert {each[0] for each in committed} <= set(there)
    assert set(there) <= {each[0] for each in committed + rest}
    await again.feed([*rest[:800]])  # as new ones: it is for the feeder to know what is there
    await again.feed([[*each[:9], 2] for each in rest])
    assert set(await again.contents()) == {each[0] for each in committed + rest}
    assert len(await again.latest(["likes", 0], 0, COUNT_MAX)) <= len(committed + rest)
    assert await again.stop() == 0


async def test_a_damaged_folder_is_made_anew_at_the_next_start(data_dir):
    engine = await Engine(data_dir).start()
    await engine.feed([row(n, "a whale") for n in range(1, 100)], accounts=[[1, "ada", "Ada", "", 0]])
    assert await engine.stop() == 0
    for folder in (f"tweets-{index.VERSION}", f"accounts-{accounts.VERSION}"):
        for path in (data_dir / folder).glob("*.term"):
            path.write_bytes(path.read_bytes()[:-40])
    (data_dir / TRENDS_FILE).write_bytes(b"garbage")
    again = await Engine(data_dir).start()
    assert await again.contents() == {}
    await again.feed([row(5, "a whale")], accounts=[[1, "ada", "Ada", "", 0]])
    assert await again.latest(WHALE) == [5]
    assert [hit[0] for hit in await again.ask("accounts", ["ada"], 5)] == [1]
    assert await again.stop() == 0


async def test_a_folder_that_cannot_be_made_ends_the_process_with_an_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "actors.search", cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    given = {"directory": str(tmp_path / "file" / "search"), "secret": "00" * 32, "commit_ms": COMMIT_MS}
    _, errors = await asyncio.wait_for(process.communicate(json.dumps(given).encode() + b"\n"), START_S)
    assert process.returncode
    assert b"NotADirectoryError" in errors


class SlowIndex:
    """An index whose commit takes a while: of a processor's time, or of waiting for one."""

    def __init__(self, works: bool) -> None:
        self.works, self.uncommitted_count = works, 1

    def commit(self) -> None:
        end = time.process_time() + 0.1
        while self.works and time.process_time() < end:
            pass
        if not self.works:
            time.sleep(0.1)
        self.uncommitted_count = 0


async def test_after_a_commit_that_waited_for_others_the_next_is_soon_and_after_one_that_worked_it_is_not(tmp_path):
    pauses = []
    for works in (False, True):
        indexer = Indexer(tmp_path, 0.05, SimpleNamespace(tell=lambda *_: None, committed=None))
        indexer.tweets, indexer.accounts = SlowIndex(works), SimpleNamespace(uncommitted_count=0)
        worked, begin = time.process_time(), time.monotonic()
        indexer._commit()
        took_s = min(time.process_time() - worked, time.monotonic() - begin)
        pauses.append(indexer._due_s - time.monotonic())
        assert pauses[-1] <= max(0.05, PAUSE_TIMES * took_s)
    assert pauses[0] < pauses[1]
