"""The pure parts of writing, in a browser: counting is held to the server's rules, the outbox to its definition."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from actors.core.errors import RookeryError
from api import fields
from api.mastodon.inputs import Params
from api.mastodon.writing import POLL_OPTION_CHARS_MAX, poll_given, said_of
from api.web.assets import client_files

MODEL = Path(__file__).parent / "models" / "outbox_model.js"
CHARS_MAX = 12
SEEDS = 300
TAKEN = [
    "a", " ", "\n", "\r\n", "\r", "e\u0301", "\u00e9", "\u1100\u1161\u11a8", "\U0001f600", "\U0001f469\u200d\U0001f467",
    "\u200b", "\u3164", "\u2800", "\u0600", "\u00ad", "\u200f", "\u2028", "\u0958", "\ufb1d", "\ufffc", "\u115f", "#",
    "\U0001d159", "\U000110bd", "\u00a0", "\U000e0041", "\u061c", "\u0344",
]  # fmt: skip
REFUSED = ["\x07", "\t", "\ufeff", "\ufffe", "\x85"]


@pytest.fixture
def modules(open_page):
    """Return what evaluates JavaScript with a module of the client as `it`."""
    open_page.allow("favicon.ico")
    page = open_page("/robots.txt")

    def run(name, code, given=None):
        address = client_files().address(name)
        return page.evaluate(
            f"async ([address, given]) => {{ const it = await import(address); {code} }}", [address, given]
        )

    return run


def server_takes(text, warning, has_media, options):
    """Return whether the server takes a status of these."""
    values = {"status": text, "spoiler_text": warning}
    if options is not None:
        values["poll"] = {"options": [each for each in options if each.strip()], "expires_in": 300}
    params = Params(values)
    try:
        said_of(params, CHARS_MAX, has_media)
        poll_given(params)
    except RookeryError:
        return False
    return True


def test_what_a_text_counts_is_what_the_server_counts(modules):
    chosen = random.Random(20)
    cases = [("", "", False, None), ("a" * CHARS_MAX, "", False, None), ("a" * (CHARS_MAX + 1), "", False, None),
             ("😀" * CHARS_MAX, "", False, None), ("e\u0301" * CHARS_MAX, "", False, None), ("", "a", False, None),
             ("", "a", True, None), ("", "", True, None), ("a", " b ", False, None)]  # fmt: skip

    def some(*counts: int) -> str:
        said = chosen.choices(TAKEN, k=chosen.choice(counts))
        return "".join(said + chosen.choices(REFUSED, k=chosen.random() < 0.05))

    for _ in range(4_000):
        options = [some(0, 1, 1, 2, 2, 51) for _ in range(chosen.randrange(2, 6))] if chosen.random() < 0.3 else None
        if options is not None and not any(each.strip() for each in options):
            options = None  # the server would be sent none
        cases.append((some(*range(16)), some(0, 0, 1, 4), chosen.random() < 0.3, options))
    code = """return given.cases.map(([text, warning, hasMedia, options]) => {
        const {left, problem} = it.verdictOf({...given.bounds, text, warning, hasMedia, options});
        return [problem === "", left];
    })"""
    bounds = {"max": CHARS_MAX, "optionMax": POLL_OPTION_CHARS_MAX}
    verdicts = modules("state/counting.js", code, {"bounds": bounds, "cases": [list(each) for each in cases]})
    takes = 0
    for case, (is_taken, left) in zip(cases, verdicts, strict=True):
        assert is_taken == server_takes(*case), case
        takes += is_taken
        text, warning = case[0], case[1]
        whole = fields.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
        other = fields.normalize("NFC", warning.replace("\r\n", "\n").replace("\r", "\n")).strip()
        assert left == CHARS_MAX - len(whole) - len(other) or not is_taken or not text.strip(), case
    assert takes > 500


def test_in_any_order_of_events_a_draft_is_one_post_and_never_lost(modules):
    source = MODEL.read_text()
    code = """const model = await import(URL.createObjectURL(new Blob([given.source], {type: "text/javascript"})));
        let posts = 0;
        for (let seed = 1; seed <= given.seeds; seed++) {
            try { posts += model.live(it, seed); } catch (error) { return `seed ${seed}: ${error.message}`; }
        }
        return posts;"""
    posts = modules("state/outbox.js", code, {"source": source, "seeds": SEEDS})
    assert isinstance(posts, int), posts
    assert posts > SEEDS


@pytest.mark.parametrize(("one", "other", "shown"), [
    ("public", "private", "private"), ("direct", "public", "direct"), ("unlisted", "public", "unlisted"),
])  # fmt: skip
def test_a_reply_has_the_narrower_visibility_and_speaks_to_all_but_oneself(modules, one, other, shown):
    code = """const draft = it.newDraft({id: "d", key: "k", account: "1", now: 0, visibility: given[0]});
        const status = {id: "7", account: {acct: "Bob"}, mentions: [{acct: "ada"}, {acct: "cleo"}, {acct: "Bob"}],
            visibility: given[1], content: "<p>So &amp; so<br>on</p>", spoiler_text: "", language: "de"};
        const reply = it.replying(draft, status, "Ada");
        return [reply, it.isUntouched(reply), it.bodyOf(reply)]"""
    reply, is_untouched, body = modules("state/drafts.js", code, [one, other])
    assert reply["visibility"] == shown
    assert reply["text"] == "@Bob @cleo "
    assert reply["replyTo"] == {"id": "7", "acct": "Bob", "text": "So & so on"}
    assert is_untouched
    assert body.pop("visibility") == shown
    assert body == {
        "status": "@Bob @cleo ", "spoiler_text": "", "sensitive": False, "language": "de", "in_reply_to_id": "7",
    }  # fmt: skip


def test_what_is_shared_says_everything_once(modules):
    code = "return given.map(each => it.sharedText(each))"
    given = [
        {"title": "A", "text": "A and B", "url": "https://a.example"},
        {},
        {"url": "https://a.example", "text": "see https://a.example"},
    ]
    assert modules("state/drafts.js", code, given) == ["A\n\nA and B\n\nhttps://a.example", "", "see https://a.example"]
