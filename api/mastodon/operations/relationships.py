"""How one stands to other accounts: follow, block, mute, notes, endorsements; and the lists of these.

    POST --> is there such an account? --settled write--> the account's shard --> the relationship again

Rules of this file
- The answer is read once the write is settled, so it says what every later read says.
- Doing it again, or taking back what isn't there, is answered as if it had done something; of a follow or mute that
  stands, options that are said become what is said.
- Whom one blocks or mutes is listed as everybody sees them: a block hides accounts from each other everywhere else.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import orjson

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.asked_follows import FOLLOW_REQUEST
from actors.core.features.blocks import BLOCK, MUTE
from actors.core.features.followee_options import ENDORSEMENT
from actors.core.limits import MUTE_MS_MAX, RELATIONS_COUNT_MAX
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.accounts import account_of, accounts_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.following import follow_op, languages_of
from api.mastodon.relations import existing, relationships_of, require_account
from api.mastodon.shelf_pages import ACCOUNTS_DEFAULT, ACCOUNTS_MAX, ShelfPage, accounts_page, shelf_of_account
from api.mastodon.table import Operation

NOTE_CHARS_MAX: Final = 2_000
FAMILIAR_IDS_MAX, FAMILIAR_COUNT_MAX = 40, 40  # accounts that may be asked about, and shown of each
_NOBODY: Final = 0


async def relationships(call: Call) -> Answer:
    """How you stand to some accounts, as far as there are such."""
    wanted = await existing(call.services, call.params.ids("id", RELATIONS_COUNT_MAX))
    return answer(await relationships_of(call.services, call.viewer, wanted))


async def follow(call: Call) -> Answer:
    """Follow an account, with its reblogs or not, with notifications or not, in some languages or all."""
    given = call.params
    reblogs, notify = (given.flag(name) if name in given else None for name in ("reblogs", "notify"))
    languages = languages_of(given.texts("languages")) if "languages" in given else None
    op = await follow_op(call.services, call.viewer, call.id())
    return await _act(call, op, reblogs, notify, languages)


async def unfollow(call: Call) -> Answer:
    """Follow an account no more, or no longer want to."""
    await require_account(call.services, call.id())
    await call.settle("withdraw_request", call.id())
    return await _act(call, "unfollow")


async def follow_requests(call: Call) -> Answer:
    """Who wants to follow you, the newest first."""
    return await accounts_page(call, await shelf_of_account(call, FOLLOW_REQUEST, call.viewer, _window(call)))


async def authorize(call: Call) -> Answer:
    """Have somebody who has asked follow you."""
    return await _answer_request(call, True)


async def reject(call: Call) -> Answer:
    """Have a request be none any more."""
    return await _answer_request(call, False)


async def _answer_request(call: Call, on: bool) -> Answer:
    require_level(call.services, MASTODON_FROM_LEVEL)
    follower = call.id("account_id")
    await call.settle("answer_request", follower, on)
    (found,) = await relationships_of(call.services, call.viewer, [follower])
    return answer(found)


async def remove_from_followers(call: Call) -> Answer:
    """Have an account follow you no more. It is not blocked."""
    return await _act(call, "remove_follower")


async def block(call: Call) -> Answer:
    """Block an account: neither sees the other, and neither follows the other any more."""
    return await _act(call, "block")


async def unblock(call: Call) -> Answer:
    """Take a block back; what it ended stays ended."""
    return await _act(call, "unblock")


async def mute(call: Call) -> Answer:
    """Have an account's statuses left out of your timelines, for `duration` seconds or until you take it back."""
    notices, seconds = call.params.flag("notifications", True), call.params.whole("duration", 0, 0, MUTE_MS_MAX // 1000)
    return await _act(call, "mute_as", notices, seconds * 1000)


async def unmute(call: Call) -> Answer:
    """Take a mute back."""
    return await _act(call, "unmute")


async def note(call: Call) -> Answer:
    """Write down something about an account, for yourself alone; nothing takes it away."""
    comment = call.params.text("comment")
    if len(comment) > NOTE_CHARS_MAX:
        raise InvalidError(f"comment may have {NOTE_CHARS_MAX} characters, not {len(comment)}", "comment")
    return await _act(call, "note", comment)


async def endorse(call: Call) -> Answer:
    """Show an account that you follow on your profile."""
    return await _act(call, "endorse")


async def unendorse(call: Call) -> Answer:
    """Show an account on your profile no more."""
    return await _act(call, "unendorse")


async def _act(call: Call, op: str, *args: Any) -> Answer:
    """Carry out a write about another account, and answer the relationship as it is then."""
    target = call.id()
    await require_account(call.services, target)
    await call.settle(op, target, *args)
    (found,) = await relationships_of(call.services, call.viewer, [target])
    return answer(found)


async def blocks(call: Call) -> Answer:
    """Whom you block, the newest block first."""
    page = await shelf_of_account(call, BLOCK, call.viewer, _window(call))
    shown = await accounts_of(call.services, page.keys, _NOBODY)
    return call.page(shown, page.newest, page.oldest, page.has_more)


async def mutes(call: Call) -> Answer:
    """Whom you mute, the newest mute first, and until when."""
    page = await shelf_of_account(call, MUTE, call.viewer, _window(call))
    accounts = [orjson.loads(each) for each in await accounts_of(call.services, page.keys, _NOBODY)]
    stands = await relationships_of(call.services, call.viewer, page.keys)
    ends = {each["id"]: each["muting_expires_at"] for each in stands}
    shown = [orjson.dumps(account | {"mute_expires_at": ends[account["id"]]}) for account in accounts]
    return call.page(shown, page.newest, page.oldest, page.has_more)


async def endorsements(call: Call) -> Answer:
    """Whom you show on your profile, the newest first."""
    return await accounts_page(call, await _endorsed(call, call.viewer))


async def endorsements_of(call: Call) -> Answer:
    """Whom an account shows on its profile, the newest first."""
    await account_of(call.services, call.id(), call.viewer)  # is there one, that you may see?
    return await accounts_page(call, await _endorsed(call, call.id()))


async def _endorsed(call: Call, account_id: int) -> ShelfPage:
    return await shelf_of_account(call, ENDORSEMENT, account_id, _window(call))


async def familiar_followers(call: Call) -> Answer:
    """Who of those that you follow follows some accounts, too."""
    services, viewer = call.services, call.viewer
    asked = await existing(services, call.params.ids("id", FAMILIAR_IDS_MAX))
    following, _ = await services.ask_account(viewer, "reader") if asked else (b"", b"")
    known = np.frombuffer(following, dtype="<i8")
    known = known[known != viewer].astype("<i8").tobytes()
    found = []
    for account_id in asked:  # one after the other: each is told whom one follows, which may be many
        try:
            ids = await services.ask_account(account_id, "followers_among", viewer, known, FAMILIAR_COUNT_MAX)
        except NotFoundError:  # a block stands between
            ids = []
        shown = b",".join(await accounts_of(services, ids, viewer))
        found.append(b'{"id":"%d","accounts":[%b]}' % (account_id, shown))
    return Answer(b"[" + b",".join(found) + b"]")


def _window(call: Call) -> Any:
    return call.window(ACCOUNTS_DEFAULT, ACCOUNTS_MAX)


_ACCOUNT: Final = "/api/v1/accounts/{id}"
_REQUEST: Final = "/api/v1/follow_requests/{account_id}"
_ACTIONS: Final = (
    ("follow", follow, "write:follows"), ("unfollow", unfollow, "write:follows"),
    ("remove_from_followers", remove_from_followers, "write:follows"), ("block", block, "write:blocks"),
    ("unblock", unblock, "write:blocks"), ("mute", mute, "write:mutes"), ("unmute", unmute, "write:mutes"),
    ("note", note, "write:accounts"), ("pin", endorse, "write:accounts"), ("unpin", unendorse, "write:accounts"),
    ("endorse", endorse, "write:accounts"), ("unendorse", unendorse, "write:accounts"),
)  # fmt: skip
OPERATIONS: Final = (
    Operation("GET", "/api/v1/accounts/relationships", "read:follows", "Relationship[]", relationships),
    Operation("GET", "/api/v1/accounts/familiar_followers", "read:follows", "FamiliarFollowers[]", familiar_followers),
    *(Operation("POST", f"{_ACCOUNT}/{name}", scope, "Relationship", run) for name, run, scope in _ACTIONS),
    Operation("GET", f"{_ACCOUNT}/endorsements", "", "Account[]", endorsements_of),
    Operation("GET", "/api/v1/endorsements", "read:accounts", "Account[]", endorsements),
    Operation("GET", "/api/v1/follow_requests", "read:follows", "Account[]", follow_requests),
    Operation("POST", f"{_REQUEST}/authorize", "write:follows", "Relationship", authorize),
    Operation("POST", f"{_REQUEST}/reject", "write:follows", "Relationship", reject),
    Operation("GET", "/api/v1/blocks", "read:blocks", "Account[]", blocks),
    Operation("GET", "/api/v1/mutes", "read:mutes", "MutedAccount[]", mutes),
)
