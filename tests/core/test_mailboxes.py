"""Addresses that codes confirm, forgotten passwords, and mails that wait: on shards that are replayed and restored."""

from __future__ import annotations

import pytest

from actors.core import limits
from actors.core.errors import InvalidError, OverloadedError, RateLimitedError, RookeryError
from actors.core.features import mail
from actors.core.features.mail import CHANNEL, DIGEST, NOTICED, TOLD
from actors.core.mailbox import MAILBOX, check_mailbox, mailbox_of, read_mailbox
from actors.core.outbound import SendVerdict, read_facts_of, read_outbound, settle_item
from actors.core.terms import NOTICES_FROM_LEVEL, NOTIFICATION_TYPE_OF
from tests.core.harness import Shards
from tests.core.test_moving import Moving

OLD, NEW = "old hash", "new hash"
ADDRESS, OTHER = "Ada@example.org", "ada@example.com"
RIGHT, WRONG, NONCE = b"r" * 32, b"w" * 32, b"n" * 16
MENTION, FAVOURITE = (1 << NOTIFICATION_TYPE_OF[name] for name in ("mention", "favourite"))


@pytest.fixture
def shards():
    made = Moving()
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    made.do("register", f"user{made.ada}", made.ada, "", "", OLD, [b"phone"])
    made.register(made.bob)
    yield made
    made.check_whole()


def want(shards, address=ADDRESS, code=RIGHT):
    return shards.do("want_address", shards.ada, address, code, NONCE)


def confirm(shards, code=RIGHT):
    return shards.do("confirm_address", shards.ada, code)


def confirmed(shards, address=ADDRESS):
    want(shards, address, RIGHT)
    assert confirm(shards)
    return sent(shards)


def forgot(shards, address=ADDRESS, code=RIGHT):
    return shards.do("forgot_password", shards.ada, address, code, NONCE)


def reset(shards, code=RIGHT, address=ADDRESS, password_hash=NEW):
    return shards.do("reset_password", shards.ada, address, code, password_hash)


def waiting(shards):
    """Return what waits for ada, in order: [(what it is about, facts), ...]."""
    papers = shards.state_of(shards.ada).papers
    items = [read_outbound(papers.get(CHANNEL.kind, shards.ada, key)) for key in papers.keys(CHANNEL.kind, shards.ada)]
    return [(item.subscription, read_facts_of(item)) for item in items]


def sent(shards):
    """Take away what waits for ada, as if it had been sent; return what it was."""
    found, state = waiting(shards), shards.state_of(shards.ada)
    rows = [
        [CHANNEL.kind.number, shards.ada, key, 0, SendVerdict.DONE, 0]
        for key in state.papers.keys(CHANNEL.kind, shards.ada)
    ]
    shards.run(state.shard, ["outcome", shards.now_ms, rows])
    return found


def told(shards, now_ms=None):
    """Return the facts of what waits for ada, as a dispatcher would get them."""
    replica = shards.replicas[shards.shard_of(shards.ada)]
    papers, lookups = replica.state.papers, replica.lookups
    found = []
    for key in papers.keys(CHANNEL.kind, shards.ada):
        item = read_outbound(papers.get(CHANNEL.kind, shards.ada, key))
        found.append(CHANNEL.facts(lookups, now_ms or shards.now_ms, shards.ada, key, item))
    return found


def password_of(shards):
    return shards.state_of(shards.ada).people.get(shards.ada).password_hash


# ---- addresses ------------------------------------------------------------------------------------------------------


def test_an_address_is_the_accounts_once_its_code_has_come_back(shards):
    assert want(shards) is True
    assert shards.read("mailbox", shards.ada) == ["", ADDRESS, 0, False]
    ((about, facts),) = sent(shards)
    assert (about, facts) == (TOLD, ("confirm", ADDRESS, NONCE, ""))
    assert confirm(shards) is True
    assert shards.read("mailbox", shards.ada) == [ADDRESS, "", 0, True]


def test_what_waits_has_no_code_and_no_hash_of_one(shards):
    want(shards)
    confirm(shards)
    forgot(shards)
    assert len(waiting(shards)) == 2
    assert all(RIGHT not in (fact for fact in facts if isinstance(fact, bytes)) for _, facts in waiting(shards))


def test_a_wrong_code_confirms_nothing_and_the_right_one_does_afterwards(shards):
    want(shards)
    assert confirm(shards, WRONG) is False
    assert shards.read("mailbox", shards.ada)[0] == ""
    assert confirm(shards) is True


def test_after_so_many_wrong_codes_the_right_one_confirms_nothing(shards):
    want(shards)
    for _ in range(limits.MAIL_TRIES_MAX):
        assert confirm(shards, WRONG) is False
    before = len(shards.journals[0])
    assert confirm(shards) is False
    assert len(shards.journals[0]) == before, "and nothing is written any more"
    assert want(shards, code=b"s" * 32)
    assert confirm(shards, b"s" * 32) is True


def test_a_code_for_an_address_is_good_for_a_day(shards):
    want(shards)
    shards.now_ms += limits.MAIL_ADDRESS_TTL_MS - 1
    assert confirm(shards) is True
    want(shards, OTHER)
    shards.now_ms += limits.MAIL_ADDRESS_TTL_MS
    assert confirm(shards) is False
    assert shards.read("mailbox", shards.ada)[:2] == [ADDRESS, OTHER]


def test_the_address_before_stays_until_the_new_one_is_confirmed_and_is_told_both_times(shards):
    confirmed(shards)
    want(shards, OTHER, WRONG)
    assert shards.read("mailbox", shards.ada)[:2] == [ADDRESS, OTHER]
    assert sent(shards) == [
        (TOLD, ("confirm", OTHER, NONCE, "")), (TOLD, ("changing", ADDRESS, b"", OTHER)),
    ]  # fmt: skip
    want(shards, OTHER, RIGHT)  # once more: the old one needn't hear it again
    assert sent(shards) == [(TOLD, ("confirm", OTHER, NONCE, ""))]
    assert confirm(shards, WRONG) is False, "the code before is of no use any more"
    assert confirm(shards) is True
    assert shards.read("mailbox", shards.ada)[:2] == [OTHER, ""]
    assert sent(shards) == [(TOLD, ("changed", ADDRESS, b"", OTHER))]


def test_the_same_request_again_mails_once(shards):
    assert want(shards) is want(shards) is True
    assert len(waiting(shards)) == 1
    assert confirm(shards) is True
    before = len(shards.journals[0])
    assert confirm(shards) is True
    assert want(shards) is False, "it has that address"
    assert len(shards.journals[0]) == before


def test_an_account_has_so_many_codes_mailed_an_hour_whatever_for(shards):
    confirmed(shards)
    for number in range(limits.MAIL_CODES_PER_HOUR_MAX - 1):
        assert forgot(shards, code=bytes([number]) * 32)
    with pytest.raises(RateLimitedError) as refused:
        want(shards, OTHER)
    assert 0 < refused.value.retry_after_s <= 3600
    assert forgot(shards) is False
    shards.now_ms += limits.HOUR_MS
    assert want(shards, OTHER) is True


# ---- passwords ------------------------------------------------------------------------------------------------------


def test_a_mailed_code_gives_another_password_and_ends_all_tokens(shards):
    confirmed(shards)
    assert forgot(shards, ADDRESS.lower()) is True
    assert sent(shards) == [(TOLD, ("reset", ADDRESS, NONCE, ""))]
    shards.do("authorize", shards.ada, 1 << 50, 1 << 60, b"uri", 8, b"")
    shards.replicas[0].state.revoked.clear()
    assert reset(shards) is True
    account = shards.state_of(shards.ada).people.get(shards.ada)
    assert (account.password_hash, account.tokens) == (NEW, [])
    assert shards.replicas[0].state.revoked == [(shards.ada, None)], "API workers are told"
    with pytest.raises(RookeryError):
        shards.do("redeem", shards.ada, 1 << 50, 1 << 60, b"uri", b"", b"token", "Client")
    assert sent(shards) == [(TOLD, ("password_changed", ADDRESS, b"", ""))]


def test_a_code_for_a_password_works_once(shards):
    confirmed(shards)
    forgot(shards)
    assert reset(shards) is True
    before = len(shards.journals[0])
    assert reset(shards) is True, "the same request again, whose answer was lost"
    assert reset(shards, password_hash="third hash") is False
    assert password_of(shards) == NEW
    assert len(shards.journals[0]) == before


def test_a_code_for_a_password_is_good_for_ten_minutes(shards):
    confirmed(shards)
    forgot(shards)
    shards.now_ms += limits.MAIL_RESET_TTL_MS
    assert reset(shards) is False
    forgot(shards, code=WRONG)
    shards.now_ms += limits.MAIL_RESET_TTL_MS - 1
    assert reset(shards, WRONG) is True


def test_after_so_many_wrong_codes_the_right_one_gives_no_password(shards):
    confirmed(shards)
    forgot(shards)
    for _ in range(limits.MAIL_TRIES_MAX):
        assert reset(shards, WRONG) is False
    assert reset(shards) is False
    assert password_of(shards) == OLD


@pytest.mark.parametrize("address", [OTHER, "x", ADDRESS + "x"])
def test_an_address_that_isnt_the_accounts_gets_no_code_and_no_password(shards, address):
    confirmed(shards)
    before = len(shards.journals[0])
    assert forgot(shards, address) is False
    assert len(shards.journals[0]) == before
    forgot(shards)
    assert reset(shards, address=address) is False


def test_an_address_that_waits_for_its_code_gets_no_other(shards):
    want(shards)
    sent(shards)
    assert forgot(shards) is False
    assert reset(shards) is False, "the code that confirms it is no code for a password"
    assert not waiting(shards)


def test_the_address_before_gets_no_code_and_what_it_was_sent_is_of_no_use(shards):
    confirmed(shards)
    forgot(shards, code=WRONG)
    want(shards, OTHER)
    confirm(shards)
    assert reset(shards, WRONG, OTHER) is reset(shards, WRONG) is False
    assert forgot(shards) is False
    assert password_of(shards) == OLD


def test_who_waits_for_approval_gets_in_by_no_code():
    shards = Moving()
    shards.ada = shards.account_on(0)
    shards.register(shards.ada)
    shards.do("await_approval", shards.ada, "hash", b"", "", 8, 0, "why")
    confirmed(shards)
    assert forgot(shards) is reset(shards) is False
    assert password_of(shards) is None


# ---- what is mailed of notices --------------------------------------------------------------------------------------


def mention(shards):
    return shards.post(shards.bob, "hello", mentions=[shards.ada])


def test_a_notice_is_mailed_at_once_if_its_type_is_and_else_a_day_later_with_the_others(shards):
    confirmed(shards)
    assert shards.do("set_mail", shards.ada, MENTION, None) == [ADDRESS, "", MENTION, True]
    tweet_id = mention(shards)
    (what, address, username, _, notice), *_ = [facts for facts in told(shards) if facts is not None]
    assert (what, address, username) == ("notice", ADDRESS, f"user{shards.ada}")
    assert notice[1:] == ["mention", shards.bob, tweet_id]
    assert sorted(about for about, _ in waiting(shards)) == [NOTICED, DIGEST]
    shards.do("follow", shards.bob, shards.ada)
    assert len(waiting(shards)) == 2, "one mail of the day is enough"
    digests = [facts for facts in told(shards) if facts is not None and facts[0] == "digest"]
    assert [(facts[4], [notice[1] for notice in facts[5]]) for facts in digests] == [(1, ["follow"])]


def test_a_digest_waits_for_a_day_and_the_next_one_waits_for_it(shards):
    confirmed(shards)
    mention(shards)
    papers = shards.state_of(shards.ada).papers
    assert papers.outbound.next_ms == shards.now_ms + limits.DAY_MS
    shards.now_ms += limits.DAY_MS
    mention(shards)
    assert len(waiting(shards)) == 1
    sent(shards)
    mention(shards)
    assert len(waiting(shards)) == 1


def test_nothing_is_mailed_of_what_was_read_taken_back_or_of_somebody_who_is_blocked_now(shards):
    confirmed(shards)
    shards.do("set_mail", shards.ada, MENTION, None)
    first = mention(shards)
    shards.do("delete", first, shards.bob)
    mention(shards)
    shards.do("like", shards.bob, shards.post(shards.ada))
    newest = shards.read("notices", shards.ada, 1023, 2, [], 0, 0, 0, 1)[0][0][0]
    assert [facts and facts[0] for facts in told(shards)] == ["digest", None, "notice"]
    shards.do("set_markers", shards.ada, 0, newest)
    assert [facts and facts[0] for facts in told(shards)] == [None, None, "notice"]
    shards.do("block", shards.ada, shards.bob)
    assert [facts and facts[0] for facts in told(shards)] == [None, None, None]


def test_who_has_read_on_a_later_day_gets_no_digest(shards):
    confirmed(shards)
    mention(shards)
    assert [facts[0] for facts in told(shards)] == ["digest"]
    shards.now_ms += limits.DAY_MS
    for command in (["tick", shards.now_ms], ["touch", [shards.ada]]):
        shards.run(0, command)
    assert told(shards) == [None]


def test_what_isnt_wanted_any_more_goes_at_once(shards):
    confirmed(shards)
    shards.do("set_mail", shards.ada, MENTION, None)
    mention(shards)
    assert shards.do("set_mail", shards.ada, 0, False) == [ADDRESS, "", 0, False]
    assert waiting(shards) == []
    mention(shards)
    assert waiting(shards) == []
    assert shards.do("set_mail", shards.ada, 0, False) == [ADDRESS, "", 0, False]


def test_who_gets_much_has_the_rest_in_the_mail_of_the_day(shards):
    confirmed(shards)
    shards.do("set_mail", shards.ada, MENTION, None)
    for _ in range(limits.MAIL_NOTICES_PER_HOUR_MAX + 5):
        mention(shards)
    abouts = [about for about, _ in waiting(shards)]
    assert (abouts.count(NOTICED), abouts.count(DIGEST)) == (limits.MAIL_NOTICES_PER_HOUR_MAX, 1)
    shards.now_ms += limits.HOUR_MS + 1_000
    mention(shards)
    assert len(waiting(shards)) == len(abouts) + 1


def test_an_address_that_refuses_for_good_gets_no_notices_and_codes_all_the_same(shards):
    confirmed(shards)
    shards.do("set_mail", shards.ada, MENTION, None)
    mention(shards)
    state = shards.state_of(shards.ada)
    key = next(
        key for key in state.papers.keys(CHANNEL.kind, shards.ada)
        if read_outbound(state.papers.get(CHANNEL.kind, shards.ada, key)).subscription == NOTICED
    )  # fmt: skip
    shards.run(0, ["outcome", shards.now_ms, [[CHANNEL.kind.number, shards.ada, key, 0, SendVerdict.GONE, 0]]])
    assert shards.read("mailbox", shards.ada) == [ADDRESS, "", 0, False]
    assert forgot(shards) is True
    settle_item(state, CHANNEL, shards.bob, 1, SendVerdict.GONE, shards.now_ms, 0)  # nothing of anybody's
    assert mailbox_of(state, shards.bob) == read_mailbox(None)


def test_without_an_address_nothing_can_be_mailed(shards):
    for op, args in (("set_mail", [1, True]), ("test_mail", [])):
        with pytest.raises(InvalidError, match="no confirmed address"):
            shards.do(op, shards.ada, *args)
    mention(shards)
    assert waiting(shards) == []


def test_a_test_is_mailed_to_the_address(shards):
    confirmed(shards)
    item_id = shards.do("test_mail", shards.ada)
    assert waiting(shards) == [(TOLD, ("test", ADDRESS, b"", ""))]
    assert shards.state_of(shards.ada).papers.keys(CHANNEL.kind, shards.ada) == [item_id]


# ---- levels and documents -------------------------------------------------------------------------------------------


def test_below_its_level_there_are_none():
    old = Shards(level=NOTICES_FROM_LEVEL - 1)
    old.register(old.account_on(0))
    for op, args in (("want_address", [ADDRESS, RIGHT, NONCE]), ("set_mail", [0, False]), ("test_mail", [])):
        with pytest.raises(OverloadedError):
            old.do(op, old.account_on(0), *args)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 1), (1, b"x"), (2, b"x" * 33), (3, -1), (4, limits.MAIL_TRIES_MAX + 1), (10, 1 << 17), (11, 1)],
)
def test_what_a_move_brings_is_looked_at(place, value):
    document = list(read_mailbox(None))
    check_mailbox(document)
    document[place] = value
    with pytest.raises(RookeryError):
        check_mailbox(document)


def test_what_a_later_version_adds_is_passed_over():
    assert read_mailbox([*read_mailbox([ADDRESS]), "new"]) == read_mailbox([ADDRESS])


def test_a_mailbox_moves_and_goes_with_its_account(shards):
    confirmed(shards)
    forgot(shards)
    shards.move(1, shards.ada)
    assert shards.shard_of(shards.ada) == 1
    assert shards.read("mailbox", shards.ada) == [ADDRESS, "", 0, True]
    assert reset(shards) is True
    shards.do("delete_account", shards.ada, NEW)
    assert shards.replicas[1].state.papers.get(MAILBOX, shards.ada) is None
    assert shards.replicas[1].state.papers.keys(mail.CHANNEL.kind, shards.ada) == []
