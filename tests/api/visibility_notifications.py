"""What notifications show to whom: a surface of `test_visibility_matrix.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.api.visibility_rules import NOBODY

if TYPE_CHECKING:
    from tests.api.test_visibility_matrix import Matrix


def read_notifications(matrix: Matrix) -> None:
    """Of what an account was told before something came between only what it may see is shown, and by whom."""
    shown_count = 0
    for world, who in matrix.readers():
        if who == NOBODY:
            continue
        page = world.ask(who, f"/{world.user_id[who]}/notifications")["notifications"]
        shown = {world.name_of[each["tweet"]["tweet_id"]] for each in page if each["tweet"]}
        assert shown <= world.case.by_id(who), (world.case, who)
        who_acted = {world.who_is[each["user"]["user_id"]] for each in page}
        kind, *both = world.case.relation or ("", "", "")
        assert kind != "block" or not any({who, other} == set(both) for other in who_acted), (world.case, who)
        shown_count += len(page)
    assert shown_count > len(matrix.worlds)
