"""Whose notifications an account wants to see, kept apart, or not at all: its own paper, as its clients set it.

    set_notification_policy --> one paper of the account: [a verdict for each of GROUPS]

Rules of this file
- The order of GROUPS and of VERDICTS is that of documents, for ever; later versions may add some at the end.
- Who has set nothing accepts everybody's, and an account that accepts everybody's again has no paper.
- For the account itself alone. From level 3 of the cluster on.

Cost: 10 bytes an account that has set something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Full, Kind, Owner, PaperKind, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

GROUPS: Final = ("not_following", "not_followers", "new_accounts", "private_mentions", "limited_accounts")
VERDICTS: Final = ("accept", "filter", "drop")
ACCEPTS_ALL: Final = [0] * len(GROUPS)


def check_policy(document: Any) -> None:
    """Refuse what is no policy. Raises RookeryError."""
    policy = arguments.listed(list(document), limits.POLICY_GROUPS_MAX, "policy")
    if len(policy) < len(GROUPS):
        raise InvalidError(f"a policy has {len(GROUPS)} verdicts, not {len(policy)}", "policy")
    for verdict in policy:
        arguments.whole(verdict, 0, len(VERDICTS) - 1, "policy")


POLICY: Final = PaperKind(
    49, "notification policy", Owner.ACCOUNT, limits.NOTIFICATION_POLICIES_COUNT_MAX, check_policy, from_level=3
)


ACCEPTED_SENDER: Final = Kind(
    22, "accepted sender", Owner.ACCOUNT, Owner.ACCOUNT, limits.ACCEPTED_SENDERS_COUNT_MAX, Full.OLDEST, from_level=3
)
"""Of whom an account wants to be notified whatever its policy says."""


def set_notification_policy(state: ShardState, account_id: int, policy: list[int]) -> bool:
    """Have an account's policy be this one; whether that changed anything."""
    if any(policy):
        return state.papers.put(POLICY, account_id, 0, policy)
    return state.papers.drop(POLICY, account_id, 0)


def prepare_set_notification_policy(shard: Lookups, now_ms: int, account_id: int, verdicts: list[Any]) -> Prepared:
    """Set a policy; the reply is the whole of it. verdicts: numbers in VERDICTS by GROUPS, None for what stays.

    Raises InvalidError, and OverloadedError if the shard has no room.
    """
    shard.require_level(POLICY.from_level)
    shard.row(account_id)
    said = arguments.listed(verdicts, len(GROUPS), "verdicts")
    if len(said) != len(GROUPS):
        raise InvalidError(f"verdicts are {len(GROUPS)}, not {len(said)}", "verdicts")
    known = list(shard.state.papers.get(POLICY, account_id) or ACCEPTS_ALL)
    policy = known[:]
    for place, verdict in enumerate(said):
        if verdict is not None:
            policy[place] = arguments.whole(verdict, 0, len(VERDICTS) - 1, "verdicts")
    if policy == known:
        return nothing(policy[: len(GROUPS)])
    shard.state.papers.require_room(POLICY, account_id, len(pack_document(policy)), not any(known), "verdicts")
    return Prepared(["set_notification_policy", account_id, policy], lambda _: policy[: len(GROUPS)])


def answer_notification_policy(shard: Lookups, account_id: int) -> list[int]:
    """An account's policy, for itself alone: a number in VERDICTS for each of GROUPS."""
    shard.row(account_id)
    return list(shard.state.papers.get(POLICY, account_id) or ACCEPTS_ALL)[: len(GROUPS)]


FEATURE = Feature(
    "notification policies",
    kinds=(ACCEPTED_SENDER,),
    papers=(POLICY,),
    writes=(Write("set_notification_policy", prepare_set_notification_policy),),
    reads=(Read("notification_policy", answer_notification_policy),),
    commands={"set_notification_policy": set_notification_policy},
)
