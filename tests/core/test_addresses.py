"""E-mail addresses: one account's each, until that is gone; wherever their bucket is."""

from __future__ import annotations

import pytest

from actors.core import ids
from actors.core.errors import ConflictError, InvalidError, MovedError, OverloadedError, TooLargeError
from actors.core.features.addresses import FROM_LEVEL, check_address, thing_of_address
from cluster.placement import rebalancing
from tests.core.harness import NOW_MS, Shards
from tests.core.test_apps import shards  # noqa: F401 - a fixture, which replays, seals and restores afterwards

ADA, BOB = 5, 6


def hash_on(shards, shard):  # noqa: F811
    """Return a hash whose address is on a shard."""
    hashes = (bytes([number]) * 32 for number in range(99))
    return next(h for h in hashes if shards.owner[ids.bucket_of_thing(thing_of_address(h))] == shard)


@pytest.fixture
def mail(shards):  # noqa: F811
    found = hash_on(shards, 0)
    return thing_of_address(found), found


def test_an_address_is_whose_it_was_first(shards, mail):  # noqa: F811
    assert shards.read("address", mail[0]) == 0
    assert shards.do("claim_address", *mail, ADA) is True
    assert shards.read("address", mail[0]) == ADA
    with pytest.raises(ConflictError):
        shards.do("claim_address", *mail, BOB)
    with pytest.raises(ConflictError):
        shards.do("claim_address", *mail, BOB, BOB)
    assert shards.read("address", mail[0]) == ADA


def test_claiming_it_again_writes_nothing(shards, mail):  # noqa: F811
    shards.do("claim_address", *mail, ADA)
    before = len(shards.journals[0])
    assert shards.do("claim_address", *mail, ADA) is True
    assert len(shards.journals[0]) == before


def test_who_is_gone_has_it_no_more(shards, mail):  # noqa: F811
    shards.do("claim_address", *mail, ADA)
    assert shards.do("claim_address", *mail, BOB, ADA) is True
    assert shards.read("address", mail[0]) == BOB


def test_who_gives_it_free_has_it_no_more_and_nobody_else_can(shards, mail):  # noqa: F811
    shards.do("claim_address", *mail, ADA)
    assert shards.do("release_address", mail[0], BOB) is False
    assert shards.read("address", mail[0]) == ADA
    assert shards.do("release_address", mail[0], ADA) is True
    assert shards.read("address", mail[0]) == 0
    assert shards.do("release_address", mail[0], ADA) is False
    assert shards.do("claim_address", *mail, BOB) is True


def test_it_is_asked_for_where_it_is_and_goes_where_its_bucket_goes(shards, mail):  # noqa: F811
    shards.do("claim_address", *mail, ADA)
    shards.carry_out(rebalancing.move(0, 1, [ids.bucket_of_thing(mail[0])], shards.now))
    assert shards.read("address", mail[0]) == ADA
    for op, args in (("address", [mail[0]]), ("claim_address", [*mail, BOB, ADA])):
        with pytest.raises(MovedError):
            shards.replicas[0].read(op, args) if op == "address" else shards.write_on(0, op, args)


def test_an_id_of_another_address_is_refused(shards, mail):  # noqa: F811
    with pytest.raises(InvalidError, match="is not the id of that address"):
        shards.write_on(0, "claim_address", [mail[0], b"x" * 32, ADA])


def test_below_its_level_there_are_none():
    old = Shards(level=FROM_LEVEL - 1)
    found = hash_on(old, 0)
    with pytest.raises(OverloadedError):
        old.do("claim_address", thing_of_address(found), found, ADA)


@pytest.mark.parametrize("document", [[b"short", ADA, NOW_MS], [b"x" * 32, 0, NOW_MS], [b"x" * 32, ADA, -1]])
def test_what_a_move_brings_is_looked_at(document):
    with pytest.raises((InvalidError, TooLargeError)):
        check_address(document)
