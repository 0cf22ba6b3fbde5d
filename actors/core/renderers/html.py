"""A tweet's text as HTML, as clients of Mastodon's API expect it, and as no text can break out of.

    text, entities --> paragraphs and line breaks, links, mentions, hashtags

Rules of this file
- Every piece of text goes through `html.escape`, quotation marks too; what isn't text is written here. No input makes
  an element or an attribute of its own.
- A link leads to http or https, whatever the entity says; anything else stays text.
- Entities come from a client's text by `api/text/entities.py`, and from bulk loads as they are: one that overlaps the
  one before, or lies outside the text, is passed over.
- Elements and classes are Mastodon's closed list (docs.joinmastodon.org, "HTML sanitization"): p, br, span, a.

Cost: linear; 6 us for a tweet with a link and a mention.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, Final

SHOWN_CHARS_MAX: Final = 30  # of a link, without its scheme; clients show "…" behind that
_SCHEMES: Final = ("https://", "http://")

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3

Span = tuple[int, int, str]  # start, end, HTML


def html_of(text: str, entities: dict[str, Any], base: str) -> str:
    """Return a text as HTML. entities: unpacked, as `pack_entities` packs them; base: the public address, no slash."""
    parts: list[str] = []
    at = 0
    for start, end, shown in sorted(_spans(text, entities, base)):
        if at <= start < end <= len(text):
            parts += _plain(text[at:start]), shown
            at = end
    parts.append(_plain(text[at:]))
    return paragraphs("".join(parts))


def plain_html(text: str) -> str:
    """Return a text without entities as HTML: a bio, a field of a profile."""
    return paragraphs(_plain(text))


def paragraphs(shown: str) -> str:
    """Return escaped text in paragraphs: an empty line ends one. No text, no paragraph."""
    blocks = [block.strip("\n") for block in shown.split("\n\n")]
    return "".join(f"<p>{block.replace(chr(10), '<br />')}</p>" for block in blocks if block)


def profile_url(base: str, username: str) -> str:
    """Return the address of a profile's page."""
    return f"{base}/@{_encoded(username)}"


def tag_url(base: str, name: str) -> str:
    """Return the address of a hashtag's page."""
    return f"{base}/tags/{_encoded(name.lower())}"


def _encoded(segment: str) -> str:
    """Return a text as a segment of a path."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in segment.encode())


def _plain(text: str) -> str:
    return escape(text.replace("\r\n", "\n").replace("\r", "\n"))


def _spans(text: str, entities: dict[str, Any], base: str) -> Iterable[Span]:
    for _, name, start, end in entities.get("mentions", ()):
        yield start, end, mention_html(base, name)
    for name, start, end in entities.get("hashtags", ()):
        yield start, end, hashtag_html(base, name)
    for url, start, end in entities.get("urls", ()):
        yield start, end, link_html(url)


def mention_html(base: str, username: str) -> str:
    """Return a link to a profile."""
    return (
        f'<span class="h-card" translate="no"><a href="{escape(profile_url(base, username))}" class="u-url mention">'
        f"@<span>{escape(username)}</span></a></span>"
    )


def hashtag_html(base: str, name: str) -> str:
    """Return a link to a hashtag."""
    return f'<a href="{escape(tag_url(base, name))}" class="mention hashtag" rel="tag">#<span>{escape(name)}</span></a>'


def link_html(url: str) -> str:
    """Return a link, shortened to be read: what is left out is in it all the same, so that a copy is whole."""
    scheme = next((known for known in _SCHEMES if url.lower().startswith(known)), "")
    if not scheme and "://" in url:
        return escape(url)
    address = url if scheme else "https://" + url
    rest = url[len(scheme) :].removeprefix("www.")
    hidden = url[: len(url) - len(rest)]
    shown, cut = rest[:SHOWN_CHARS_MAX], rest[SHOWN_CHARS_MAX:]
    kind = "ellipsis" if cut else ""
    return (
        f'<a href="{escape(address)}" target="_blank" rel="nofollow noopener" translate="no">'
        f'<span class="invisible">{escape(hidden)}</span><span class="{kind}">{escape(shown)}</span>'
        f'<span class="invisible">{escape(cut)}</span></a>'
    )
