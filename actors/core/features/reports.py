"""Reports: what an account tells the server's operator of another one.

    report --> a paper of the reporting account, by the report's id

Rules of this file
- Nobody but the operator reads one: neither who is reported, nor others. What is reported isn't looked at: accounts
  and tweets may be gone by the time somebody reads of them.
- Of more than REPORTS_COUNT_MAX the oldest goes. They go with the account that made them.
- From level 3 of the cluster on.

Cost: 100 bytes and the comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Key, Owner, PaperKind, Prepared, Read, Write

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

TARGET, CATEGORY, COMMENT, TWEETS, RULES = range(5)  # of a document: for ever, never used otherwise
CATEGORIES: Final = ("other", "spam", "legal", "violation")


def check_report(document: Any) -> None:
    """Refuse what is no report. Raises RookeryError."""
    arguments.an_id(document[TARGET], "account_id")
    if document[CATEGORY] not in CATEGORIES:
        raise InvalidError(f"category must be one of {', '.join(CATEGORIES)}", "category")
    arguments.text(document[COMMENT], limits.REPORT_BYTES_MAX, "comment")
    arguments.id_list(list(document[TWEETS]), limits.REPORTED_COUNT_MAX, "status_ids")
    arguments.id_list(list(document[RULES]), limits.REPORTED_COUNT_MAX, "rule_ids")


REPORT: Final = PaperKind(48, "report", Owner.ACCOUNT, limits.REPORTS_COUNT_MAX, check_report, from_level=3)


def report(state: ShardState, account_id: int, report_id: int, packed: bytes) -> bool:
    """Keep a report; the oldest goes if there are too many."""
    state.clock.observe(report_id)
    keys = state.papers.keys(REPORT, account_id)
    for oldest in keys[: max(0, len(keys) - REPORT.limit + 1)]:
        state.papers.drop(REPORT, account_id, oldest)
    return state.papers.put_packed(REPORT, account_id, report_id, packed)


def prepare_report(
    shard: Lookups, now_ms: int, account_id: int, target: int, category: str, comment: str, tweet_ids: list[int],
    rule_ids: list[int],
) -> Prepared:  # fmt: skip
    """Report an account; the reply is the report's id. Raises InvalidError; OverloadedError if there is no room."""
    shard.require_level(REPORT.from_level)
    shard.row(account_id)
    document = {TARGET: target, CATEGORY: category, COMMENT: comment, TWEETS: tweet_ids, RULES: rule_ids}
    for name, values in ((TWEETS, tweet_ids), (RULES, rule_ids)):
        arguments.id_list(values, limits.REPORTED_COUNT_MAX, ("status_ids", "rule_ids")[name == RULES])
    check_report(document)
    packed, keys = pack_document(document), shard.state.papers.keys(REPORT, account_id)
    shard.state.papers.require_room(REPORT, account_id, len(packed), len(keys) < REPORT.limit, "comment")
    report_id = shard.next_thing_id(account_id, now_ms)
    return Prepared(["report", account_id, report_id, packed], lambda _: report_id)


def answer_reports(shard: Lookups, after: int, count: int) -> list[list[Any]]:
    """Reports of this shard's accounts with ids above `after`, the oldest first, for operators:
    `[[report id, reporter, target, category, comment, tweet ids, rule ids], ...]`.
    """
    arguments.an_id_or_zero(after, "after")
    arguments.page_count(count)
    owners, keys, _ = shard.state.papers.dump(REPORT.number)
    newer = sorted((key, owner) for owner, key in zip(owners.tolist(), keys.tolist(), strict=True) if key > after)
    found = []
    for report_id, owner in newer[:count]:
        document = shard.state.papers.get(REPORT, owner, report_id)
        named = [document[name] for name in (TARGET, CATEGORY, COMMENT)]
        found.append([report_id, owner, *named, list(document[TWEETS]), list(document[RULES])])
    return found


FEATURE = Feature(
    "reports",
    papers=(REPORT,),
    writes=(Write("report", prepare_report),),
    reads=(Read("reports", answer_reports, Key.SHARD),),
    commands={"report": report},
)
