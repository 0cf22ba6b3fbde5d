"""An operator reads what people have reported of each other.

Rules of this file
- It goes over the lane, as an API worker's request does, and changes nothing: what is to be done, `delete` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.core.errors import OverloadedError
from actors.core.features.reports import REPORT
from actors.core.ids import ms_of_tweet
from cluster.client.cluster_client import ClusterClient

PAGE_COUNT: Final = 800  # as many as one answer may hold


@dataclass(frozen=True, slots=True)
class ReportMade:
    """A report: who tells what of whom, and when (Unix ms)."""

    report_id: int
    by: int
    account_id: int
    category: str
    comment: str
    tweet_ids: list[int]
    rule_ids: list[int]

    @property
    def at_ms(self) -> int:
        """When it was made."""
        return ms_of_tweet(self.report_id)


async def list_reports(client: ClusterClient, after: int = 0) -> list[ReportMade]:
    """Return the reports with ids above `after`, of all shards, the oldest first. Raises what shards raise."""
    if client.level < REPORT.from_level:
        raise OverloadedError("the cluster is being upgraded; there are reports once all of it is")
    found: list[ReportMade] = []
    for shard in range(client.shard_count):
        last = after
        while rows := await client.call_shard(shard, "reports", [last, PAGE_COUNT]):
            found += [ReportMade(*row) for row in rows]
            last = rows[-1][0]
    return sorted(found, key=lambda report: report.report_id)
