"""Redis holds the timelines that it is measured with, and comes back with them after kill -9."""

from __future__ import annotations

from contextlib import closing

import pytest
import redis

from bench.crowd import Crowd
from bench.peer_redis import redis_server
from bench.processes import BenchError
from bench.redis_timelines import ENTRIES, IDS, KINDS, SORTED, SavedRedis, timeline_bytes
from bench.scenarios.recovery import Shards, _fill_redis, _kill_redis
from tests.components import needs_program

pytestmark = needs_program("redis-server")
TIMELINE = [((10**18 >> 1) + n * 65_536, n % 7 + 1_000) for n in range(800)]


def test_each_kind_holds_the_same_ids_and_says_what_they_take(tmp_path):
    with redis_server(tmp_path) as (_, store):
        found = {kind: timeline_bytes(store, kind, [TIMELINE] * 20) for kind in KINDS}
        assert store.zcard("home:19") == 800
        timeline_bytes(store, ENTRIES, [TIMELINE])
        entries = store.lrange("home:0", 0, -1)
        timeline_bytes(store, IDS, [TIMELINE])
        ids = store.lrange("home:0", 0, -1)
        assert store.dbsize() == 1
    assert {len(entry) for entry in entries} == {17}
    newest_first = [tweet_id for tweet_id, _ in reversed(TIMELINE)]
    assert [int.from_bytes(entry[:8], "big") for entry in entries] == [int(i) for i in ids] == newest_first
    assert 800 * 8 < found[IDS].least < found[ENTRIES].least < found[SORTED].least
    assert found[ENTRIES].least > 800 * 17


def test_a_saved_redis_comes_back_after_kill_9_and_a_wrong_one_is_found(tmp_path):
    crowd = Crowd(100, 10, authors_least=3)
    posted = {author: list(range(k * 1_000 + 1, k * 1_000 + 181)) for k, author in enumerate(crowd.authors)}
    with closing(SavedRedis(tmp_path)) as saved:
        key = _fill_redis(saved, crowd, posted, [(1, crowd.authors[0], b"{}")], lambda _: None)
        account = int(key.removeprefix("home:"))
        ids = [int.from_bytes(entry[:8], "big") for entry in saved.store.lrange(key, 0, -1)]
        assert saved.store.dbsize() == len(crowd.awake) + 1
        before = saved.process.pid
        assert _kill_redis(saved, key, Shards([], [{account: ids}])).last_s > 0
        assert saved.process.pid != before
        with pytest.raises(BenchError, match=f"another home timeline of {account}"):
            _kill_redis(saved, key, Shards([], [{account: ids[1:]}]))
        process = saved.process
    assert process.poll() is not None


def test_a_redis_that_cannot_start_is_reported(tmp_path):
    (tmp_path / "dump.rdb").write_bytes(b"not an RDB file")
    with closing(SavedRedis(tmp_path)) as saved, pytest.raises(BenchError, match="doesn't serve"):
        saved.start("home:1")
    assert isinstance(saved.store, redis.Redis)
