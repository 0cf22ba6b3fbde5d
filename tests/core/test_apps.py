"""Apps: made once, found by their client id, used once a day, gone for want of use; and wherever their bucket is."""

from __future__ import annotations

import pytest

from actors.core import ids, limits, scopes
from actors.core.entries import pack
from actors.core.errors import (
    ConflictError,
    InvalidError,
    MovedError,
    NotFoundError,
    OverloadedError,
    RookeryError,
    TooLargeError,
)
from actors.core.features.apps import APP, App, check_app
from actors.core.levels import LEVEL
from cluster.placement import rebalancing
from tests.core.harness import NOW_MS, SMALL, Shards
from tests.core.test_moving import Moving

DAY = limits.DAY_MS
FACTS = [b"hash of the secret", "A client", "https://client.example", ["urn:ietf:wg:oauth:2.0:oob"], scopes.READ]
PLACE = {"secret_hash": 0, "name": 1, "website": 2, "redirect_uris": 3, "scopes": 4}


def client_on(shards: Shards, shard: int) -> str:
    """Return a client id whose app lives on a shard."""
    names = (f"client {i}" for i in range(400))
    return next(n for n in names if shards.owner[ids.bucket_of_thing(ids.thing_of_name(n))] == shard)


def create(shards: Shards, client_id: str, *facts) -> int:
    app_id = ids.thing_of_name(client_id)
    assert shards.do("create_app", app_id, client_id, *(facts or FACTS)) is True
    return app_id


@pytest.fixture
def shards():
    made = Moving()
    made.client = client_on(made, 0)
    yield made
    made.check_whole()


def fall_due(shards: Shards, now_ms: int) -> None:
    for shard, replica in enumerate(shards.replicas):
        while (command := replica.due_command(now_ms)) is not None:
            shards.run(shard, command)


def test_an_app_is_found_by_its_client_id(shards):
    app_id = create(shards, shards.client)
    assert shards.read("app", app_id) == [shards.client, *FACTS, NOW_MS, NOW_MS // DAY]


def test_making_an_app_again_finds_it_and_writes_nothing(shards):
    create(shards, shards.client)
    before = len(shards.journals[0])
    shards.now_ms += 5 * DAY
    app_id = create(shards, shards.client)
    assert len(shards.journals[0]) == before
    assert shards.read("app", app_id)[6] == NOW_MS


@pytest.mark.parametrize("what", PLACE)
def test_an_app_does_not_change(shards, what):
    app_id = create(shards, shards.client)
    other = {"secret_hash": b"x", "name": "B", "website": "", "redirect_uris": ["urn:x"], "scopes": scopes.WRITE}[what]
    facts = [other if place == PLACE[what] else fact for place, fact in enumerate(FACTS)]
    with pytest.raises(ConflictError, match="is taken"):
        shards.do("create_app", app_id, shards.client, *facts)
    assert shards.read("app", app_id)[1:6] == FACTS


def test_an_id_that_is_not_that_of_the_client_is_refused(shards):
    with pytest.raises(InvalidError, match="is not the id of the app"):
        shards.write_on(0, "create_app", [ids.thing_of_name("another"), shards.client, *FACTS])


def test_an_app_is_asked_for_where_it_is(shards):
    client = client_on(shards, 1)
    app_id = ids.thing_of_name(client)
    with pytest.raises(MovedError):
        shards.write_on(0, "create_app", [app_id, client, *FACTS])
    with pytest.raises(MovedError):
        shards.replicas[0].read("app", [app_id])
    with pytest.raises(NotFoundError, match="does not exist"):
        shards.read("app", app_id)


@pytest.mark.parametrize(
    ("what", "value", "error"),
    [
        ("secret_hash", b"", InvalidError), ("secret_hash", b"x" * 65, InvalidError), ("name", "", InvalidError),
        ("name", "ä" * 121, TooLargeError), ("website", "x" * 2_001, TooLargeError), ("website", None, InvalidError),
        ("redirect_uris", [], InvalidError), ("redirect_uris", [""], InvalidError),
        ("redirect_uris", "xyz", InvalidError),
        ("redirect_uris", ["x"] * 5, InvalidError), ("redirect_uris", ["x" * 2_001], TooLargeError),
        ("scopes", 0, InvalidError), ("scopes", scopes.KNOWN + 1, InvalidError),
    ],
    ids=[
        "no secret", "long secret", "no name", "long name", "long website", "no website", "no uris", "empty uri",
        "a text", "many uris", "long uri", "no scope", "unknown scope",
    ],
)  # fmt: skip
def test_every_fact_of_an_app_is_bounded(shards, what, value, error):
    facts = [value if place == PLACE[what] else fact for place, fact in enumerate(FACTS)]
    with pytest.raises(error):
        shards.do("create_app", ids.thing_of_name(shards.client), shards.client, *facts)
    for client_id in ("", "x" * 65):
        with pytest.raises(RookeryError):
            shards.do("create_app", ids.thing_of_name(client_id), client_id, *FACTS)


def test_the_largest_app_fits_into_a_document(shards):
    client = next(
        c for c in (str(i) * 32 for i in range(10, 99)) if shards.shard_for("app", [ids.thing_of_name(c)]) == 0
    )
    facts = [b"x" * 64, "n" * 240, "w" * 2_000, ["u" * 2_000] * 4, scopes.EVERYTHING]
    app_id = create(shards, client, *facts)
    assert shards.read("app", app_id)[1:6] == facts


def test_a_use_is_noted_once_a_day_and_keeps_the_app(shards):
    app_id = create(shards, shards.client)
    assert shards.do("use_app", app_id) is False
    shards.now_ms += DAY
    assert [shards.do("use_app", app_id) for _ in range(3)] == [True, False, False]
    fall_due(shards, NOW_MS + (1 + limits.APP_UNUSED_DAYS) * DAY)
    assert shards.read("app", app_id)[7] == NOW_MS // DAY + 1


def test_an_app_that_nobody_uses_goes_after_thirty_days(shards):
    app_id = create(shards, shards.client)
    fall_due(shards, NOW_MS + limits.APP_UNUSED_DAYS * DAY)
    assert shards.read("app", app_id)
    fall_due(shards, NOW_MS + (1 + limits.APP_UNUSED_DAYS) * DAY)
    for op in ("app", "use_app"):
        with pytest.raises(NotFoundError):
            shards.do(op, app_id) if op == "use_app" else shards.read(op, app_id)
    assert not shards.replicas[0].state.things.kind_of
    assert shards.run(0, ["use_app", app_id, 20_000]) is False, "a use that was told too late"
    create(shards, shards.client)


def test_an_app_moves_and_falls_due_where_it_is(shards):
    app_id = create(shards, shards.client)
    before = shards.read("app", app_id)
    shards.carry_out(rebalancing.move(0, 1, [ids.bucket_of_thing(app_id)], shards.now))
    assert shards.shard_for("app", [app_id]) == 1
    assert shards.read("app", app_id) == before
    shards.sweep()
    assert [len(r.state.papers.due) for r in shards.replicas] == [0, 1]
    fall_due(shards, NOW_MS + 40 * DAY)
    with pytest.raises(NotFoundError):
        shards.read("app", app_id)


def test_a_full_shard_takes_no_more_apps():
    shards = Shards(1, SMALL.__class__(arrivals_max=64, papers_bytes_max=700))
    create(shards, "one")
    made = ["one"]
    while shards.replicas[0].state.papers.figures()["paper_bytes"] < 550:
        made.append(f"{len(made)}")
        create(shards, made[-1])
    with pytest.raises(OverloadedError, match="bytes of papers, its limit"):
        create(shards, "one too many")
    assert shards.replicas[0].state.papers.figures()["things"] == len(made)


def test_apps_wait_until_the_whole_cluster_knows_them():
    shards = Shards(1, level=1)
    with pytest.raises(OverloadedError, match="being upgraded"):
        create(shards, "one")
    shards.run(0, ["level", LEVEL])
    create(shards, "one")


def test_an_app_of_a_later_version_is_read_and_its_use_loses_nothing(shards):
    app_id = create(shards, shards.client)
    later = [*shards.read("app", app_id), {"what": "is new"}]
    shards.run(0, ["create_app", app_id, pack(later)])
    check_app(later)
    shards.now_ms += DAY
    assert shards.do("use_app", app_id) is True
    assert shards.read("app", app_id) == [*later[:7], NOW_MS // DAY + 1]
    assert dict(shards.replicas[0].state.papers.get(APP, app_id)[len(App._fields)]) == {"what": "is new"}
