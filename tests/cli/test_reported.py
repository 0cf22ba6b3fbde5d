"""What an operator reads of reports, asked of every shard, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core.errors import OverloadedError
from commands import reported
from tests.core.harness import Shards


class Client:
    """A client of shards in this process."""

    def __init__(self, shards: Shards) -> None:
        self.shards, self.shard_count, self.level, self.asked = shards, len(shards.replicas), 3, 0

    async def call_shard(self, shard: int, op: str, args: list[Any]) -> Any:
        self.asked += 1
        return self.shards.replicas[shard].read(op, args)


@pytest.mark.parametrize("page", [1, 2, 800])
async def test_reports_of_all_shards_are_listed_the_oldest_first(page, monkeypatch):
    monkeypatch.setattr(reported, "PAGE_COUNT", page)
    shards = Shards(2)
    accounts = [shards.account_on(n % 2, n // 2) for n in range(4)]
    shards.register(*accounts)
    made = []
    for n, by in enumerate(accounts):
        shards.now_ms += 1
        made.append(shards.do("report", by, 399, "spam", f"number {n}", [7], []))
    client: Any = Client(shards)
    found = await reported.list_reports(client)
    assert [(each.report_id, each.by, each.comment) for each in found] == [
        (report_id, by, f"number {n}") for n, (report_id, by) in enumerate(zip(made, accounts, strict=True))
    ]
    assert found[-1].at_ms == shards.now_ms
    assert [each.report_id for each in await reported.list_reports(client, made[1])] == made[2:]


async def test_a_cluster_that_is_being_upgraded_has_none_yet():
    client: Any = Client(Shards(1, level=2))
    client.level = 2
    with pytest.raises(OverloadedError, match="being upgraded"):
        await reported.list_reports(client)
    assert client.asked == 0
