"""Bookmarks: tweets that an account keeps for itself. Nobody else is told, nothing is counted (`tweet_marks.py`)."""

from actors.core import limits
from actors.core.terms import Kind, Owner
from actors.core.tweet_marks import tweet_marks

BOOKMARK = Kind(3, "bookmark", Owner.ACCOUNT, Owner.TWEET, limits.BOOKMARKS_COUNT_MAX)
FEATURE = tweet_marks(BOOKMARK, "bookmark", "unbookmark", "bookmarks")
