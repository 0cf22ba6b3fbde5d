"""Where a user's bytes are gone through: every pattern and every loop, a row each, for `test_linear_time.py`.

Rules of this file
- A row is fed texts of any length and shape, and does with them what the product does. What the product refuses is
  refused here, too, and must be refused as fast.
- Whoever writes a pattern names it in a row, by module and name (or the function that has it), or in NOT_FED with the
  reason: `test_linear_time.py` compares both with all patterns that there are.
- A row of what has a bound of its own is fed texts up to that bound as well as beyond it.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import orjson
import uvicorn
from starlette.requests import Request
from uvicorn.server import ServerState

from actors.core import arguments, normal_form
from actors.core.entries import Entry
from actors.core.errors import RookeryError
from actors.core.facts import Facts, pack_facts
from actors.core.postings.lists import Document, Postings
from actors.core.render import render_entities, render_tweet
from actors.search import documents, terms
from actors.search.accounts import AccountIndex, _document
from actors.search.index import TweetIndex
from actors.search.searches import Searches
from actors.search.tags import TagRings
from actors.search.trend_scores import term_keys
from actors.search.trends import ShardTrends
from actors.text import query, text
from actors.text.corrections import Vocabulary
from actors.text.highlight import highlights
from api import fields, filter_sets, links, media_files, params, positions
from api.access import auth
from api.access.mail_addresses import hash_of_address, is_address
from api.access.passwords import prepare_password
from api.app import create_app
from api.http import body
from api.http.addresses import parse_address
from api.http.edge import allowed_methods
from api.http.heads import problem_of
from api.http.protocol import BoundedHttpProtocol
from api.http.proxies import is_host
from api.http.request_log import RequestLog
from api.limits import HOST_BYTES_MAX, QUERY_BYTES_MAX, SEARCH_QUERY_CHARS_MAX, TAG_CHARS_MAX
from api.links import cached_origin
from api.mastodon import fast_home
from api.mastodon.filtering import text_of
from api.metrics import Metrics
from api.native.hot import FAST_HOME
from api.native.routes import search as search_routes
from api.native.routes import wrk2
from api.oauth.codes import challenge_of, parse_code, read_challenge
from api.oauth.redirects import check_redirect, with_answer
from api.oauth.sessions import cookies_of
from api.outgoing_keys import account_of_link, hash_of_code
from api.posting import idempotency_key
from api.search import cursor as search_cursor
from api.search import fast_read, hashtags
from api.search import reads as search_reads
from api.settings import ApiSettings
from api.text.entities import find_entities, find_mentions, pack_entities
from api.text.text_urls import find_urls
from api.times import clean_time
from cluster.lane.protocol import DECODE_ERRORS, FrameDecoder, check_request, pack
from commands import input_files
from tests.api.fake_cluster import FakeCluster
from tests.fuzz.stream_bytes import as_a_stream

NOW_MS = 1_790_000_000_000
TWEET_ID = NOW_MS << 16


class Row(NamedTuple):
    """One way in.

    patterns: that it goes through, by module; loops: what else; chars_max: beyond which it is refused, 0 if nowhere;
    weight: how many times as much as most it takes a character: it is fed as many times less.
    """

    name: str
    work: Callable[[str], object]
    patterns: str = ""
    loops: str = ""
    chars_max: int = 0
    weight: int = 1


def _utf8(given: str) -> bytes:
    return given.encode("utf-8", "surrogatepass")


def _well_formed(given: str) -> str:
    return given.encode("utf-8", "replace").decode()


def _header(given: str) -> bytes:
    return _utf8(given).replace(b"\r", b" ").replace(b"\n", b" ")


class _World:
    """What rows need that takes a moment to make: an API worker without sockets, and a search engine's indexes."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory(prefix="rookery-linear-")
        self.folder = Path(self._folder.name)
        fake = FakeCluster()
        fake.add_account(1, "ada")
        limits = {"enabled": False, "trusted_proxies": ["10.0.0.0/8"]}
        self.app = create_app(fake, ApiSettings.from_mapping({"auth_mode": "open", "rate_limits": limits}))
        self.services = self.app.state.services
        self.log = RequestLog(self.services.settings, Metrics("x"), lambda: 0.0)
        self.config = uvicorn.Config(
            self.app, http=functools.partial(BoundedHttpProtocol, services=self.services), ws="none",  # type: ignore[arg-type]
            lifespan="off", loop="none", log_config=None, access_log=False, proxy_headers=False, server_header=False,
        )  # fmt: skip
        self.config.load()
        tweets, accounts = TweetIndex(self.folder), AccountIndex(self.folder)
        for number, said in enumerate(("the blue whale", "日本語 #tag", "a b c d"), 1):
            packed = pack_facts(Facts(said, "ada"))
            tweets.add(documents.read_tweet([number << 16, 1, 0, 0, 0, 0, 0, packed, None, documents.NEW]))
            accounts.add([number, f"ada_{number}", said, said, 5])
        tweets.commit()
        accounts.commit()
        self.searches = Searches(tweets, accounts)


world = functools.cache(_World)


# ---- the HTTP API ------------------------------------------------------------------------------------------------


def _signing_in(given: str) -> None:
    is_address(given), hash_of_address(given), parse_code(given), challenge_of(given)
    hash_of_code(given), account_of_link(given)
    read_challenge(given, "S256"), with_answer(given, state=given)
    cookies_of([(b"cookie", given.encode("latin-1", "replace"))])
    with suppress(RookeryError):
        check_redirect(given)


def _time(given: str) -> None:
    with suppress(RookeryError):
        clean_time({"scheduled_at": given}, "scheduled_at")


def _fields(given: str) -> None:
    for check in (
        lambda: fields.clean_text(given, "status", 10_000, lines=True),
        lambda: fields.clean_text(given, "location", 100),
        lambda: fields.clean_username(given),
        lambda: fields.clean_link("http://" + given, "url", 10_000),
        lambda: fields.clean_visibility({"visibility": given}),
        lambda: fields.clean_media_ids({"media_ids": given}),
        lambda: fields.clean_profile_fields(given),
        lambda: fields.clean_profile_fields({given: given}),
        lambda: idempotency_key(given, 1),
        lambda: auth.bearer_of(given),
        lambda: auth.parse_token("rk_" + given),
        lambda: parse_address(given),
        lambda: parse_address(f"[{given}]:80"),
        lambda: search_cursor.parse_cursor_of_top("t" + given),
        lambda: search_cursor.parse_cursor_of_top(given),
        lambda: fields.new_password(given),
        lambda: prepare_password(given),
        lambda: fields.clean_medium(given),
        lambda: params.parse_id(given, "id"),
        lambda: params.parse_count({"count": given}, 20, 200),
        lambda: params.parse_page({"max_id": given}, 20, 200),
        lambda: search_reads.parse_flag({"exact": given}, "exact"),
        lambda: wrk2._offset({"start": given}, "start"),
        lambda: wrk2._media_ids({"media_ids": given, "media_types": given}),
        lambda: wrk2._name_field({"username": given}, "username"),
    ):
        with suppress(RookeryError):
            check()


def tweet_as_posted(given: str) -> None:
    """All that an API worker does with the text of a tweet."""
    status = fields.clean_text(given, "status", 100_000, chars_min=1, lines=True)
    found = find_entities(status)
    pack_entities(found, {name.lower(): 1 for name, _, _ in found.mentions})


def _tweet(given: str) -> None:
    tweet_as_posted(given)
    find_mentions(given)
    list(wrk2._URL.finditer(given))


def _query_string(given: str) -> None:
    raw = _utf8(given)
    for read in (
        lambda: params.parse_query(raw),
        lambda: search_routes._split_tags(b"any=" + raw),
        lambda: search_routes._split_tags(raw),
        lambda: links.kept_in_links({_well_formed(given): _well_formed(given), "a": "b"}),
        lambda: fast_read.FAST_SEARCH.plain.fullmatch(raw),
        lambda: fast_read._PLAIN_WORDS.fullmatch(raw),
        lambda: fast_read._read_words(world().services, b"query=" + raw),
        lambda: FAST_HOME.plain.fullmatch(raw),
        lambda: fast_home.FAST_HOME.plain.fullmatch(raw),
        lambda: fast_home._LIST_ID.fullmatch(raw),
        lambda: params.split_pairs(raw, "the form"),
    ):
        with suppress(RookeryError):
            read()


def _head(given: str) -> None:
    raw = _header(given)
    world().log.id_of([(b"x-request-id", raw)])
    client, services = ("10.0.0.1", 1), world().services
    cached_origin.__wrapped__("http", raw)
    problem_of(b"/" + raw, [(b"host", raw), (b"content-type", raw)], False)
    problem_of(b"/" + raw, [(b"host", raw[:HOST_BYTES_MAX]), (b"content-type", raw[:512])], False)
    is_host(given)
    for name in (b"x-forwarded-for", b"x-forwarded-host", b"forwarded"):
        services.limiter.proxies.client_of(client[0], [(name, raw)])
        services.limiter.proxies.origin_of(client[0], [(name, raw)])
    allowed_methods(world().app.routes, "/" + given)
    allowed_methods(world().app.routes, "/search/tags/" + given)
    with suppress(RookeryError):
        positions.positions_of([(b"rookery-position", raw)])


def _media_file(given: str) -> None:
    media_files._NAME.fullmatch(given.encode(errors="replace"))
    media_files._RANGE.fullmatch(given.encode(errors="replace"))


def _bodies(given: str) -> None:
    raw = _utf8(given)
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n--b--\r\n' % raw
    for content_type, sent in (
        (body.JSON, raw),
        (body.JSON, b'{"status":' + raw),
        (body.JSON, b'{"status":"' + raw + b'"}'),
        (body.JSON, b'{"a":' + b"[" * len(raw)),
        (body.FORM, raw),
        (body.FORM, b"status=" + raw),
        (f"{body.MULTIPART}; boundary=b", part),
        (f"{body.MULTIPART}; boundary=b; charset=punycode", part),
        (f"{body.MULTIPART}; boundary=b", raw),
        (f"{body.MULTIPART}; boundary=b", part.replace(b'name="a"', b'name="' + raw)),
        (f'{body.MULTIPART}; boundary="' + _header(given).decode("latin-1"), part),
    ):
        with suppress(RookeryError):
            world().loop.run_until_complete(body.read_body(_request(content_type, sent), 1 << 20))
    body._gather([(name, "x") for name in given.split(" ")[:64]])


def _request(content_type: str, sent: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent, "more_body": False}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}, receive)


class _Wire(asyncio.Transport):
    """A connection without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.is_closed, self.is_paused = b"", False, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 9) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def _sent(*pieces: bytes) -> bytes:
    """Send a request to a worker, in pieces as they are read; return what comes back."""

    async def exchange() -> bytes:
        wire = _Wire()
        protocol = world().config.http_protocol_class(config=world().config, server_state=ServerState(), app_state={})
        protocol.connection_made(wire)
        for piece in pieces:
            if not wire.is_closed:
                protocol.data_received(piece)
            while wire.is_paused and not wire.is_closed:  # noqa: ASYNC110 - a few turns of the loop
                await asyncio.sleep(0)
        while not wire.said and not wire.is_closed:  # noqa: ASYNC110
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        return wire.said

    return world().loop.run_until_complete(exchange())


def _get(target: bytes, *headers: bytes, host: bytes = b"x") -> bytes:
    target = target.replace(b" ", b"+").replace(b"\n", b"+").replace(b"\t", b"+").replace(b"\r", b"+")
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"GET %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, host, lines)


def _paths(given: str) -> None:
    raw = "".join(f"%{byte:02X}" for byte in _utf8(given[: len(given) // 6])).encode()
    for path in (b"/search/tags/" + raw, b"/" + raw, b"/" + _utf8(given), b"/" + _utf8(given) + b"/followers"):
        _sent(_get(path))
    _sent(_get(b"/docs-assets/" + _utf8(given)))


def _queries(given: str) -> None:
    for path in (b"/api/v1/search", b"/search/tags/a", b"/feed", b"/healthz"):
        _sent(_get(path + b"?query=" + _utf8(given)))


def _cookies(given: str) -> None:
    _sent(_get(b"/1/profile", b"cookie: " + _header(given), b'cookie: a="' + _header(given) + b'"'))


def _headers(given: str) -> None:
    line = _header(given)
    _sent(_get(b"/1/profile", b"x-a: " + line, b"authorization: Bearer " + line, b"connection: " + line))
    _sent(_get(b"/1/profile", *(b"x-%d: a" % n for n in range(len(given) // 16))))
    _sent(_get(b"/1/followers", b"accept: " + line, b"x-request-id: " + line, host=line))


def _pieces(given: str) -> None:
    """Heads and bodies that come byte by byte."""
    head = _get(b"/" + _utf8(given), b"x-a: " + _header(given))
    _sent(*(bytes([byte]) for byte in head))
    post = b"POST /tweet HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    _sent(post + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * len(given) + b"0\r\n\r\n")
    _sent(post + b"content-length: %d\r\n\r\n" % len(given), *([b" "] * len(given)))


# ---- the search engine and the text library ------------------------------------------------------------------------


def tweet_in_engine(given: str) -> None:
    """All that an engine does with a tweet, but for the index."""
    row = [
        TWEET_ID,
        1,
        0,
        0,
        0,
        0,
        0,
        pack_facts(Facts(_well_formed(given), "u")),
        None,
        documents.NEW,
    ]
    facts = documents.read_tweet(row)
    terms.terms_of(facts)
    term_keys(facts.lang, facts.hashtags, facts.plain, facts.links)


def _signs(given: str) -> None:
    text.hashtags(given), text.cashtags(given), text.mentions(given)
    text.leading_tags(given)
    text.leading_tags("#a" + given)


def _counted(given: str) -> None:
    """What is counted and listed of a tweet with many tags."""
    tags = [tag.word for tag in text.hashtags(given)]
    ShardTrends(NOW_MS).add(NOW_MS, 1, "en", tags, given.split(), given.split())
    rings = TagRings(lambda tag, count: [], lambda *args: [])
    rings._ring("a")
    rings.add(1, 5, tags)
    rings.add(2, 6, given.split())
    rings._ring("b")
    rings.remove([5])
    found = list(dict.fromkeys(given.split()))
    Postings().append([Document(5, 0, "en", len(found), found, [1] * len(found), ["#" + tag for tag in tags])])


def _account(given: str) -> None:
    given = _well_formed(given)
    _document([1, "ada", given, given, 5])
    _document([1, given, "", "", 5])


def _query_of(given: str) -> None:
    """A query from its text to its tree and back; `corrected_text` reads it three times."""
    tree = query.parse(given).tree
    query.check_tree(tree, False)
    query.names_of(tree), query.has_follows(tree), query.wants_reposts(tree)
    words = query.words_of(tree)
    query.resolve(query.replace_words(tree, {word: word + "x" for word in words}), {})
    terms.query_of(tree)
    with suppress(RookeryError):
        query.to_text(tree)
        query.corrected_text(given, {word: word + "x" for word in words})


def _asked(given: str) -> None:
    with suppress(RookeryError):
        search_reads.parsed.__wrapped__(search_reads.required_text({"query": given}))
    with suppress(RookeryError):
        search_reads.parse_question({"query": given, "cursor": given, "order": "top"}, 20, 200, 0, NOW_MS)


def _searched(given: str) -> None:
    """A query of up to 500 characters in the indexes."""
    world().searches.answer("suggest", [given, 10])
    words = text.words(given)
    world().searches.answer("accounts", [words[:50], 10])
    Vocabulary(lambda: [("whale", 9), ("wal", 3)]).suggest("".join(words)[: text.WORD_CHARS_MAX] or "a", 1.0)
    with suppress(RookeryError):
        tree = query.resolve(query.parse(given).tree, {})
        if not query.has_follows(tree):
            world().searches.answer("latest", [tree, 0, 10, 0, b""])
            world().searches.answer("top", [tree, 10, b""])


def _stems(given: str) -> None:
    found = text.words(given)
    for lang in ("en", "ar", "hi"):
        text.stems(found, lang)
    for word in found[:4]:
        text._query_stems.__wrapped__(word)
    text.join_words(found)


_MANY_TERMS = [
    "and",
    *(["word", f"w{n}"] for n in range(6)),
    *(["prefix", letter] for letter in ("a", "é", "日", "w1")),
    *(["phrase", [unit] * 9] for unit in ("a", "日日", "1")),
    ["tag", "a"], ["mention", "a"], ["cash", "a"],
]  # fmt: skip


# ---- the shards, and what operators load ---------------------------------------------------------------------------


def _arguments(given: str) -> None:
    given = _well_formed(given)
    spans = [[word, at, at + 1] for at, word in enumerate(given.split())]
    packed = msgpack.packb({"mentions": [], "hashtags": spans, "urls": spans})
    entry = Entry(TWEET_ID, 1, 0, 0, TWEET_ID, 1, 0, 0, 0, pack_facts(Facts(given, given, 0, [], packed)), [], None)
    render_tweet(entry)
    render_entities(packed)
    for check in (
        lambda: arguments.text(given, 1 << 16, "status"),
        lambda: arguments.entities(packed),
        lambda: arguments.entities(_utf8(given)),
        lambda: arguments.registration([given, 1, given, given, given, []]),
        lambda: arguments.profile({"bio": given, "fields": [[given, given]]}),
        lambda: arguments.original(_utf8(given)),
        lambda: arguments.shown(given),
    ):
        with suppress(RookeryError, ValueError, TypeError):
            check()


def _lane(given: str) -> None:
    raw = _utf8(given)
    for sent in (raw, pack([1, "post", [_well_formed(given)]]), b"\x93" * len(raw), b"\x81\xa1a" * len(raw)):
        for size in (1, 4_096):
            decoder = FrameDecoder()
            with suppress(*DECODE_ERRORS):
                for at in range(0, len(sent), size):
                    decoder.feed(sent[at : at + size])
                    for message in decoder.unpacker:
                        decoder.partial_bytes = 0
                        check_request(message)


def _files(given: str) -> None:
    raw, path = _utf8(given), world().folder / "input"
    for content, read in (
        (raw, input_files.read_edges),
        (b"1 2\n" * len(raw), input_files.read_edges),
        (b"1 2#\n" + raw, input_files.read_edges),
        (raw, functools.partial(input_files.read_texts, clean=lambda line: fields.clean_text(line, "x", 10_000))),
        (raw, input_files.read_accounts),
        (orjson.dumps([{"id": 1, "username": _well_formed(given)}]), input_files.read_accounts),
    ):
        path.write_bytes(content)
        with suppress(RookeryError):
            read(path)


def _filtered(text: str) -> None:
    """Look for words of filters in what a status says, of which the text has many beginnings."""
    said = filter_sets.fold(text_of(f"<p>{text}</p>"))
    for word in (filter_sets.fold(text[:8]), "a", filter_sets.fold(text[:40])):
        if word.strip():
            filter_sets.occurs(word, said, True)


ROWS = [
    Row("a hashtag that is asked for", lambda given: hashtags.folded_tag(given, "hashtag"), "hashtags: _FITS_TAG",
        "is_word, fold", TAG_CHARS_MAX),
    Row("a query string", _query_string,
        "links: _PLAIN; fast_read: FAST_SEARCH _PLAIN_WORDS; hot: FAST_HOME; "
        "fast_home: FAST_HOME _LIST_ID",
        "parameters, percent codes, hashtags with commas", QUERY_BYTES_MAX // 4),
    Row("a time", _time, "times: _OWN _RFC_3339"),
    Row("single values", _fields,
        "fields: _USERNAME _REFUSED _REFUSED_IN_LINE _CONTROL clean_link; texts: _UNSEEN; passwords: _BLANK; "
        "cursor: _OLD_FORM; addresses: _BRACKETED _IPV4_WITH_PORT",
        "lists with commas, tokens, numbers, cursors"),
    Row("a status", _tweet, "entities: _HASHTAG _HASHTAG_LETTER _MENTION; wrk2: _URL", "what overlaps a link"),
    Row("what signing in reads", _signing_in,
        "redirects: _ALLOWED _SCHEME; codes: _CHALLENGE; mail_addresses: _LOCAL _HOST", "cookies", weight=2),
    Row("links", find_urls,
        "text_urls: _HOST_RUN _MAY_PRECEDE _BEGINNING _PROTOCOL _REST _ASCII_CHAIN _ANY_DOT _TCO_URL _PUNYCODE "
        "_LETTERS _NO_TLD_BEFORE", "runs, labels, dots, names"),
    Row("normal forms", lambda given: normal_form.normalize("NFKC", given), "normal_form: long_runs"),
    Row("a head's lines", _head,
        "request_log: _FIT_REQUEST_ID; positions: _FORM; edge: allowed_methods; proxies: _HOST _PAIR _BETWEEN; "
        "heads: _AUTHORITY",
        "forwarded addresses, the router's patterns"),
    Row("streams", as_a_stream, "handshake: _TOKEN; opening: _NATIVE; cursors: _PLAIN", "frames, keys, channels"),
    Row("statuses and filters", _filtered, "", "words of filters in what statuses say, HTML as it is read"),
    Row("files of media", _media_file, "media_files: _NAME _RANGE"),
    Row("bodies", _bodies, "", "JSON, forms, parts and their headers, lists of one name", weight=2),
    Row("requests: paths", _paths, "", "the HTTP parser, the router", weight=4),
    Row("requests: queries", _queries, "", "FastAPI's own reading of them", weight=3),
    Row("requests: cookies", _cookies, "", "FastAPI's own reading of them", weight=2),
    Row("requests: headers", _headers, "", "the HTTP parser, FastAPI", weight=3),
    Row("requests in pieces", _pieces, "", "heads and bodies byte by byte", weight=32),
    Row("words", text.words,
        "text: _MARKUP _SCAN _PLAIN_WORD _ASCII_APOSTROPHE; folding: _DROPPED _STRAY_JOINER _PLAIN _EXPANDING",
        "folding until nothing changes"),
    Row("words with offsets", text.tokens, "text: _CLUSTER", "cluster by cluster", weight=4),
    Row("a name or tag", text.fold),
    Row("a language", text.language_of, "text: _NOT_LANGUAGE", "the detector"),
    Row("words without names", lambda given: text.plain_words(given, []), "text: _NAMED"),
    Row("one word", lambda given: (text.is_pair(given), text.is_word(given, 1 << 20)),
        "text: _PAIR _BLANK_OR_SURROGATE"),
    Row("signs", _signs, "text: _HASHTAG _TAG_LETTER _CASHTAG _MENTION _SIGNED", "leading_tags", weight=2),
    Row("stems", _stems, "", "stems, query_stems, join_words", weight=2),
    Row("a tweet in the engine", tweet_in_engine, "", "read_tweet, terms_of, term_keys", weight=2),
    Row("what is counted of a tweet", _counted, "", "ShardTrends.add, TagRings, Postings.append", weight=8),
    Row("an account in the engine", _account, "", "_document", weight=2),
    Row("a query", _query_of, "query: _OPERATOR _NAME _LANG _NUMBER _DATE _matching",
        "_items, _Parser, _join, check_tree, corrected_text", SEARCH_QUERY_CHARS_MAX, weight=2),
    Row("a search", _asked, "reads: _PLAIN_WORDS", "parse_question", SEARCH_QUERY_CHARS_MAX),
    Row("what an index is asked", _searched, "", "Builder, accounts, corrections, suggestions", SEARCH_QUERY_CHARS_MAX,
        weight=12),
    Row("highlights", lambda given: highlights(given, _MANY_TERMS, "en"), "", "each leaf over all tokens", weight=8),
    Row("arguments", _arguments, "", "arguments, render"),
    Row("a lane", _lane, "", "FrameDecoder", weight=16),
    Row("files", _files, "", "blocks, lines", weight=8),
]  # fmt: skip

# Patterns that no user's byte reaches.
NOT_FED = {
    "assets: _IMPORT": "our own files",
    "assets: _JS_COMMENTS": "our own files",
    "assets: _CSS_COMMENTS": "our own files",
    "assets: _BLANKS": "our own files",
    "pages: _LIST_PATH": "the path of a head; a text of at most 19 digits fits, and nothing is tried twice",
    "dashboards: _FIGURE": "expressions of our own",
    "rules: annotations_of": "sentences of our own",
    "hopeless: _DECORATION": "of passwords and names, which have 256 bytes at most",
    "folding: _is_plain": "single characters, when the module is loaded",
    "text_urls: _names_of": "the library's own patterns",
    "credentials: _LANGUAGE": "of a language, which has 16 characters at most",
    "description: _IN_PATH": "paths of rows, when the description is made",
    "entities: _CHOICE": "types of entities, when schemas are made",
    "instance_folder: _NUMBER": "names of an operator's files",
    "instance_folder: _SHORTCODE": "names of an operator's files",
    "statuses: _PARENT": "the first 200 bytes of a status that we have made",
    "statuses: _PARENT_AUTHOR": "the first 200 bytes of a status that we have made",
    "mastodon_reading: _TAG": "statuses that we have made, in which whatever isn't our own markup has no <",
    "http_api: _LINK": "headers of the server that a command talks to, of 64 KiB at most",
}
