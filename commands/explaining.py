"""`explain`: why a tweet is, or isn't, in an account's home timeline, from a running cluster."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from actors.core.errors import NotFoundError, OverloadedError
from actors.core.ids import bucket_of_account
from actors.core.terms import EXPLAIN_FROM_LEVEL
from actors.text.explanations import ToldExplanation, accounts_in, in_words
from cluster.client.cluster_client import ClusterClient
from commands.deleting import find_account

TIMEOUT_S = 20.0  # the owner's shard asks every other one


async def explain(client: ClusterClient, account: str, tweet_id: int) -> ToldExplanation:
    """Explain one pair. account: @name or id. Raises NotFoundError for an account that isn't there, InvalidError."""
    if client.level < EXPLAIN_FROM_LEVEL:
        raise OverloadedError("the cluster is being upgraded; it can explain once all of it is")
    account_id, username = await find_account(client, account)
    packed = await client.call(bucket_of_account(account_id), "explain", [account_id, tweet_id], TIMEOUT_S)
    names = {each: await _name(client, each) for each in sorted(accounts_in(packed))}
    return in_words(packed, f"@{username}", names.__getitem__)


async def _name(client: ClusterClient, account_id: int) -> str:
    """Return how an account is called: by its name, or by its id if it is gone."""
    try:
        _, username, _ = await client.account(account_id, "account")
    except NotFoundError:
        return f"account {account_id}"
    return f"@{username}"


def as_json(told: ToldExplanation) -> dict[str, Any]:
    """Return an explanation as the command prints it as JSON."""
    return {**told._asdict(), "rules": [rule._asdict() for rule in told.rules]}


def print_explanation(told: ToldExplanation, out: Console) -> None:
    """Print an explanation: the verdict, the rules in their order, and where the tweet is."""
    out.print(told.sentence, highlight=False, markup=False)
    for rule in told.rules:
        out.print(
            f"  {'yes' if rule.passed else 'NO ':3}  {rule.rule:8} {rule.sentence}", highlight=False, markup=False
        )
    out.print(f"  where    {told.place_sentence}", highlight=False, markup=False)
