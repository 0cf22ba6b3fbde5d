"""Finds the links of a text by the rules that Twitter publishes (twitter-text 3), in time that grows with its length.

Rules of this file
- The rules are those of `twitter-text-parser`, and so is all data: top-level domains, sets of characters, and the
  patterns of what follows a host. Only the search for hosts is ours. The library's own pattern tries the whole chain of
  labels from each place at which a host may begin, and at each dot each of 1,500 top-level domains: 280 characters of
  `.".".` took it 0.2 s, 1,000 of them 1.6 s, and that is the worker's only thread.
- tests/api/test_text_urls.py compares the two on short texts. They differ in this: whether the DNS could have a name
  is asked of what becomes a link, not of all that is glued to it, and asked of UTS #46 (as browsers do; pydantic has it
  in Rust). The library's `idna` codec of 2003 is quadratic in a label's distinct characters: 10 ms for 280 of them.
  And a path belongs to the host that it follows; the library gives it to the last name of ASCII before it, whatever
  stands between. An i with another number of dots is none.

How it works
A host is labels with dots between, and the text after one of the dots is a top-level domain. So a text is cut into runs
of what hosts are made of, and only those count that have such a dot. In a run, from right to left, each label learns up
to which dot a host that begins with it may reach; then, from left to right, the first place where a host can begin gets
the longest that it can have. Each character is looked at a fixed number of times.

    foo_bar.example.com日本.jp/a     one run; com and jp are top-level domains, so there are two dots that count
    |---------------------> jp|      the host that begins with its first label: it goes as far as it can
            |---------> com          the name in it that is a link if no http:// stands before

Without `http://` or `https://` only names of ASCII and Latin letters are links: those inside of the host.

Costs: 2 us for a text whose dots end sentences, 8 us a link. The worst 280 characters, 46 links, take 0.4 ms.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import regex  # type: ignore[import-untyped]
from pydantic_core import Url

from api.text.url_rules import TCO_SLUG_CHARS_MAX, URL_CHARS_MAX, patterns_of

HOST_LABEL_CHARS_MAX: Final = 63  # RFC 1035: octets, and an encoded label has more of them than characters
Span = tuple[str, int, int]

# -- the library's rules -----------------------------------------------------------------------------------------------

(
    _INVALID_DOMAIN_CHARS, _LATIN_ACCENT_CHARS, _CCTLD, _GTLD, _PORT_NUMBER, _PUNYCODE_WRITTEN, _TCO_URL_WRITTEN,
    _PRECEDING_CHARS, _IN_PATH, _PATH_ENDING_CHARS, _QUERY_CHARS, _QUERY_ENDING_CHARS,
) = patterns_of(
    "invalid_domain_chars", "latin_accent_chars", "valid_cctld", "valid_gtld", "valid_port_number", "valid_punycode",
    "valid_tco_url", "valid_url_preceding_chars", "valid_general_url_path_chars", "valid_url_path_ending_chars",
    "valid_url_query_chars", "valid_url_query_ending_chars",
)  # fmt: skip
_HOST_RUN = regex.compile(rf"[[^{_INVALID_DOMAIN_CHARS}]||[._\-]]++", regex.V1)
_NO_EDGE = "-_"  # what a label neither begins nor ends with
_MAY_PRECEDE = re.compile(_PRECEDING_CHARS.replace("|^", ""), re.IGNORECASE)
_BEGINNING = re.compile(rf"(?<={_MAY_PRECEDE.pattern})[^-_]", re.IGNORECASE)  # of a host, within a label
_PROTOCOL = re.compile(r"https?://", re.IGNORECASE)
_LONGEST_PROTOCOL: Final = len("https://")
# What follows a host. The library's pattern of a path is quadratic in pairs of parentheses: it lets them go one by one
# to see whether the rest ends as a path may. This says the same and never goes back: parentheses, then again and again
# whatever a path may hold up to what may end it, and parentheses right behind that.
_ENDS_PATH = _PATH_ENDING_CHARS.partition("|")[0]
_PAIR = rf"\((?:{_IN_PATH}++(?:\)|\({_IN_PATH}++\){_IN_PATH}*+\))|\({_IN_PATH}++\){_IN_PATH}*+\))"  # or one in another
_PATH = rf"(?:{_PAIR})*+(?:(?:(?:(?!{_ENDS_PATH}){_IN_PATH})++|{_PAIR})*+{_ENDS_PATH}++(?:{_PAIR})*+)*+"
_REST = re.compile(
    rf"(?::{_PORT_NUMBER})?(/{_PATH})?"
    rf"(?:\?{_QUERY_CHARS}*{_QUERY_ENDING_CHARS})?",
    re.IGNORECASE,
)
_ASCII_CHAIN = re.compile(rf"[\-a-z0-9{_LATIN_ACCENT_CHARS}]++(?:\.[\-a-z0-9{_LATIN_ACCENT_CHARS}]++)*+", re.IGNORECASE)
_NO_LINK_AFTER = frozenset("-_./")  # without a protocol
_ANY_DOT = re.compile("[.\u3002\uff0e\uff61]")  # as UTS #46 has them
_PUNYCODE = re.compile(_PUNYCODE_WRITTEN, re.IGNORECASE)
_TCO_URL = re.compile(_TCO_URL_WRITTEN, re.IGNORECASE)
_LETTERS = re.compile(r"[0-9a-z]++", re.IGNORECASE)
_NO_TLD_BEFORE = re.compile(r"[0-9a-z@+-]", re.IGNORECASE)


def _names_of(pattern: str) -> list[str]:
    """Return the top-level domains of one of the library's patterns, in its order."""
    names = re.fullmatch(r"\(\?:\(\?:(.*)\)\(\?=\[\^0-9a-zA-Z@\+-\]\|\$\)\)", pattern)
    assert names is not None, "twitter-text-parser writes its top-level domains in another way"
    return names[1].split("|")


_TLDS = [name for written in (_GTLD, _CCTLD) for name in _names_of(written)]
_ASCII_TLDS = frozenset(name for name in _TLDS if name.isascii())
_OTHER_TLDS: dict[str, list[str]] = {}  # by first character
for _name in _TLDS:
    if not _name.isascii():
        _OTHER_TLDS.setdefault(_name[0], []).append(_name)


# -- the search --------------------------------------------------------------------------------------------------------


def find_urls(text: str) -> list[Span]:
    """Return the links of a text, in order: each as it stands there, from where to where."""
    found: list[Span] = []
    tld_after: dict[int, int] = {}  # dot -> where the top-level domain behind it ends
    dot = text.find(".")
    while dot >= 0:
        end = _tld_end(text, dot + 1)
        if end:
            tld_after[dot] = end
        dot = text.find(".", dot + 1)
    done = looked_at = 0
    for dot in tld_after:
        if dot >= looked_at:
            first = max(looked_at, text.rfind(" ", looked_at, dot) + 1)  # no run goes over a blank
            run = next(run for run in _HOST_RUN.finditer(text, first) if run.end() > dot)
            looked_at = run.end()
            if looked_at > done:
                done = _search_run(text, run.start(), looked_at, tld_after, done, found)
    return found


def _search_run(text: str, start: int, end: int, tld_after: dict[int, int], done: int, found: list[Span]) -> int:
    """Add the links whose hosts lie in a run. done: where the last host's link ended; returns where the next did."""
    dots = [at for at in range(start, end) if text[at] == "."]
    tlds = [tld_after.get(at, 0) for at in dots]
    begins = [start, *(at + 1 for at in dots)]
    reach = _reaches(text, begins, dots, tlds)
    for label, dot in enumerate(dots):
        last = reach[label + 1] if reach[label + 1] >= 0 else label
        if dot <= done or not tlds[last] or dot == begins[label] or text[dot - 1] in _NO_EDGE:
            continue
        low = begins[label]
        if last == label:  # the label before the top-level domain has no underscore
            low = max(low, text.rfind("_", low, dot) + 1)
        host_at, url_at = _host_beginning(text, start, low, dot, done)
        if host_at >= 0:
            done = _add_link(text, url_at, host_at, last, dots, tlds, found)
    return done


def _reaches(text: str, begins: list[int], dots: list[int], tlds: list[int]) -> list[int]:
    """Return for each label, taken from its first character on, the last dot that a host from there can end at; -1."""
    reach = [-1] * (len(dots) + 1)
    for label in range(len(dots) - 1, -1, -1):
        first, dot = begins[label], dots[label]
        if first == dot or text[first] in _NO_EDGE or text[dot - 1] in _NO_EDGE:
            continue
        if reach[label + 1] >= 0:
            reach[label] = reach[label + 1]
        elif tlds[label] and "_" not in text[first:dot]:
            reach[label] = label
    return reach


def _tld_end(text: str, at: int) -> int:
    """Return where a top-level domain ends that begins there, 0 if none does."""
    letters = _LETTERS.match(text, at)
    if letters is not None:
        end = letters.end()
        if text[end : end + 1] not in ("@", "+", "-") and letters.group().casefold() in _ASCII_TLDS:
            return end
    for name in _OTHER_TLDS.get(text[at : at + 1].lower(), ()):
        end = at + len(name)
        if text[at:end].lower() == name and not _NO_TLD_BEFORE.match(text, end):
            return end
    punycode = _PUNYCODE.match(text, at) if letters is not None else None
    return 0 if punycode is None else punycode.end()


def _host_beginning(text: str, run_at: int, low: int, dot: int, done: int) -> tuple[int, int]:
    """Return the first place from `low` on at which a host, and the link with it, can begin before a dot; -1, -1.

    The character before isn't part of an earlier link.
    """
    if low == run_at and text[low] not in _NO_EDGE and text.endswith("://", 0, low):
        protocol = _PROTOCOL.search(text, max(0, low - _LONGEST_PROTOCOL), low)
        if protocol is not None and protocol.end() == low:
            url_at = protocol.start()
            if url_at == 0 or (url_at > done and _MAY_PRECEDE.match(text, url_at - 1)):
                return low, url_at
    after_first = dot > 1 and text[1] not in _NO_EDGE and _MAY_PRECEDE.match(text)
    if low == 0 and text[0] not in _NO_EDGE and not after_first:
        return 0, 0  # what begins the text needs nothing before it; but if its first character can be that, it is
    beginning = _BEGINNING.search(text, max(low, done + 1), dot)
    return (-1, -1) if beginning is None else (beginning.start(), beginning.start())


def _add_link(
    text: str, url_at: int, host_at: int, last: int, dots: list[int], tlds: list[int], found: list[Span]
) -> int:
    """Add what is a link of one host and what follows it; return where that ends. last: the host's last dot."""
    host_end = tlds[last]
    rest = _REST.match(text, host_end)
    assert rest is not None, "every part of it may be missing"
    end = rest.end()
    if url_at < host_at:
        short = _TCO_URL.match(text[url_at:end])
        if short is not None:
            found += [(short[0], url_at, url_at + len(short[0]))] if len(short[1]) <= TCO_SLUG_CHARS_MAX else []
        elif end - url_at <= URL_CHARS_MAX and _has_address(text[host_at:host_end]):
            found.append((text[url_at:end], url_at, end))
    elif host_at == 0 or text[host_at - 1] not in _NO_LINK_AFTER:
        for first, name_end in _ascii_names(text, host_at, last, dots, tlds):
            url_end = end if name_end == host_end and rest[1] else name_end
            if url_end - first <= URL_CHARS_MAX and _has_address(text[first:name_end]):
                found.append((text[first:url_end], first, url_end))
    return end


def _ascii_names(text: str, start: int, last: int, dots: list[int], tlds: list[int]) -> list[tuple[int, int]]:
    """Return from where to where the names of ASCII and Latin letters go in a host: of each chain of labels one."""
    names = []
    for chain in _ASCII_CHAIN.finditer(text, start, tlds[last]):
        dot = bisect_right(dots, chain.end(), hi=last + 1) - 1  # the one behind the chain counts
        while dot >= 0 and dots[dot] > chain.start():
            if tlds[dot]:
                names.append((chain.start(), tlds[dot]))
                break
            dot -= 1
    return names


def _has_address(host: str) -> bool:
    """Return whether the DNS could have a host: each label, encoded, has 1 to HOST_LABEL_CHARS_MAX characters."""
    if host.isascii():  # then no label is empty, as no host that was found has one
        return len(host) <= HOST_LABEL_CHARS_MAX or _fit(host.split("."))
    if not _fit(_ANY_DOT.split(host)):
        return False
    try:
        encoded = Url(f"http://{host}").host
    except ValueError:  # pydantic's word for a name that can't be encoded
        return False
    return encoded is not None and _fit(encoded.split("."))


def _fit(labels: list[str]) -> bool:
    sizes = [len(label) for label in labels]
    return min(sizes) > 0 and max(sizes) <= HOST_LABEL_CHARS_MAX
