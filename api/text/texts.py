"""What a text is, before any field's own rules: how its lines end, and whether there is anything to see in it.

Rules of this file
- A line ends with a line feed, whatever its client ends lines with: browsers send CR LF for every line end of a form.
- Unicode's properties decide (through `regex`, which has them all), not a list of characters that somebody once met. By
  hand are only those few that no property has and that fonts show as nothing.
- Something to see is enough: what else a text holds, and how it looks, is nobody's business here.

Cost: 0.4 us for a text that begins with something to see; linear for any.
"""

from __future__ import annotations

import regex  # type: ignore[import-untyped]

# U+2800 is the Braille cell without a dot, U+1D159 a note without a head, U+16FE4 fills a place in Khitan, U+13441 and
# U+13442 in hieroglyphs, U+FFFC stands for an object that isn't there. Of format characters, those that go before
# Arabic numbers are to be seen.
_UNSEEN = regex.compile(
    r"[\p{White_Space}\p{Z}\p{Cc}\p{Default_Ignorable_Code_Point}[\p{Cf}--\p{Prepended_Concatenation_Mark}]"
    "\u2800\ufffc\U0001d159\U00016fe4\U00013441\U00013442]*+",
    regex.V1,
)


def with_line_feeds(text: str) -> str:
    """Return a text in which every CR LF, and every CR alone, is a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def is_blank(text: str) -> bool:
    """Return whether a text has nothing but blanks and characters that nobody sees, or nothing at all."""
    return _UNSEEN.fullmatch(text) is not None
