"""What scopes mean, for people."""

from __future__ import annotations

from typing import Final

from actors.core.scopes import spell

_WORDS: Final = {
    "profile": "see your name and profile, to know who you are",
    "push": "receive your notifications",
    "follow": "follow, block and mute accounts, and see whom you do",
    "read": "read everything of your account",
    "write": "do everything that your account can",
    "read:collections": "see your collections",
    "write:collections": "change your collections",
    "read:accounts": "see your account",
    "read:search": "search for you",
    "write:accounts": "change your profile",
    "write:media": "upload media",
    "write:reports": "report others",
    "write:statuses": "post, edit and delete in your name",
}
_PARTS: Final = {"read": "see your {}", "write": "change your {}"}


def in_words(mask: int) -> list[str]:
    """Return what a mask allows, a phrase for each scope that was granted."""
    return [_phrase(name) for name in spell(mask).split()]


def _phrase(name: str) -> str:
    if name in _WORDS:
        return _WORDS[name]
    way, _, what = name.partition(":")
    return _PARTS[way].format(what)
