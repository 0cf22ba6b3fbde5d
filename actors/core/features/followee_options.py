"""What an account keeps of those that it follows, or has asked, beside that it does: kinds alone, which go with it.

    NO_REPOSTS    whose reposts it wants none of in its home timeline     looked up by `kernels.is_candidate`
    BELL          of whose tweets it wants to be notified; with it goes what it was told of them
    LANGUAGES     a paper: in which languages it wants somebody's tweets, with a mark beside it (SOME_LANGUAGES) that
                  reads look up: home, and lists' timelines, leave out what he writes in others (`timelines/wishes.py`)
    ENDORSEMENT   whom it shows on its profile

Rules of this file
- None of them is there without the follow, or the request: where an edge goes, or a request that hasn't become one,
  `forget_followee` takes them along.
- From level 3 of the cluster on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, flags, limits
from actors.core.errors import InvalidError
from actors.core.features.list_members import drop_member
from actors.core.terms import NOTIFICATION_TYPE_OF, Feature, Kind, Owner, PaperKind

if TYPE_CHECKING:
    from actors.core.state import ShardState

_OF_BELL: Final = NOTIFICATION_TYPE_OF["status"]
_OPTIONS: Final = limits.FOLLOW_OPTIONS_COUNT_MAX
NO_REPOSTS: Final = Kind(
    25, "followee without reposts", Owner.ACCOUNT, Owner.ACCOUNT, _OPTIONS, from_level=3, relation=flags.NO_REPOSTS
)
BELL: Final = Kind(
    26, "followee with notifications", Owner.ACCOUNT, Owner.ACCOUNT, _OPTIONS, from_level=3, is_inverted=True
)
ENDORSEMENT: Final = Kind(27, "endorsement", Owner.ACCOUNT, Owner.ACCOUNT, limits.ENDORSEMENTS_COUNT_MAX, from_level=3)


def check_languages(document: Any) -> None:
    """Refuse what is no list of languages. Raises RookeryError."""
    if not document or len(set(document)) != len(document):
        raise InvalidError("languages must be some, and each once", "languages")
    for code in arguments.listed(list(document), limits.FOLLOW_LANGUAGES_COUNT_MAX, "languages"):
        if not arguments.text(code, limits.LANGUAGE_BYTES_MAX, "languages"):
            raise InvalidError("a language must not be empty", "languages")


LANGUAGES: Final = PaperKind(28, "followee with languages", Owner.ACCOUNT, _OPTIONS, check_languages, from_level=3)


SOME_LANGUAGES: Final = Kind(
    23, "followee in some languages", Owner.ACCOUNT, Owner.ACCOUNT, _OPTIONS, from_level=3,
    relation=flags.SOME_LANGUAGES,
)  # fmt: skip


def drop_bell(state: ShardState, account_id: int, target: int) -> None:
    """Have an account be told of somebody's tweets no more; what it was told of them goes."""
    if state.shelves.drop(BELL, account_id, target):
        state.notices.drop(account_id, _OF_BELL, target)


def forget_followee(state: ShardState, account_id: int, target: int) -> None:
    """Drop what an account keeps of somebody whom it follows no more."""
    drop_bell(state, account_id, target)
    for kind in (NO_REPOSTS, ENDORSEMENT, SOME_LANGUAGES):
        state.shelves.drop(kind, account_id, target)
    state.papers.drop(LANGUAGES, account_id, target)
    drop_member(state, account_id, target)


FEATURE = Feature("followee_options", kinds=(NO_REPOSTS, BELL, ENDORSEMENT, SOME_LANGUAGES), papers=(LANGUAGES,))
