"""Hashtags as somebody asks for them, made what the index has."""

from __future__ import annotations

import re

from actors.core.errors import InvalidError
from actors.text import text
from actors.text.text import is_word
from api.limits import SEARCH_QUERY_CHARS_MAX, TAG_CHARS_MAX
from api.params import shown

# More than a hashtag may be made of, but no ASCII that it can't. One set, not a choice of two: `(?:\w|[^\x00-\x7f])+`
# takes each "é" in two ways, and 40 of them before a "!" in 2**40.
_FITS_TAG = re.compile(r"[\w\u0080-\U0010ffff]+")


def bare_tag(given: str) -> str:
    """Return what somebody gives as a hashtag without its #, and blanks around it."""
    return given.strip().lstrip("#\uff03")


def folded_tag(given: str, field: str) -> str:
    """Return a hashtag as the index has it. Raises InvalidError."""
    bare = bare_tag(given)
    if is_word(bare, SEARCH_QUERY_CHARS_MAX):  # which is asked first: folding leaves blanks out, and takes its time
        tag = text.fold(bare)
        if is_word(tag, TAG_CHARS_MAX) and _FITS_TAG.fullmatch(tag):
            return tag
    raise InvalidError(f"{shown(given)} is no hashtag: letters, digits and _, at most {TAG_CHARS_MAX}", field)
