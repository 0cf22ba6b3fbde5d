"""The query language: from what somebody typed to a tree, and back.

Rules of this file
- Pure, and linear in the query; nothing recurses deeper than TREE_DEPTH_MAX.
- Whatever can't be read raises QueryError, a MalformedError with field "query" that says where (`position`, 0-based;
  the message counts from 1), what stands there and what would be right.
- A tree is nested lists, as DESIGN.md has them. `parse` gives them in one form: no `and` inside an `and`, no `or`
  inside an `or`, nothing twice beside each other, no `not` of a `not`, and something that finds in the whole, in every
  branch of an `or` and in what a `not` leaves out. Of trees from elsewhere `check_tree` asks that last rule, the kinds
  and the limits.
- Words in a tree are as `text.py` gives them.

How it works
    either  = both {"OR" both}
    both    = part {["AND"] part}
    part    = {"-" | "NOT"} ("(" either ")" | "quoted" | piece)
A piece is what stands between blanks, quotes and parentheses: an operator, a hashtag, a cashtag, a mention, a prefix
or words. One with several words ("e-mail", a run of CJK) is a phrase of them, one without any ("!!!") isn't there.

CJK: a run is the phrase of its pairs, without the last character's own token, so it is found inside longer runs. A
single character at the end of a piece is a prefix (月 finds 月曜), and as a phrase can't end in a prefix, "3月" is
3 AND 月*.

Costs: 13 us a word to parse, 6 us to check a tree of three words.
Not here: names to ids (`names_of` and `resolve` leave the asking to the caller).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NoReturn

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from actors.text.costs import TERMS_MAX, TermBudget
from actors.text.text import NAME_CHARS_MAX, TAG_CHARS_MAX, is_pair, is_word, join_words, leading_tags, tokens, words

QUERY_CHARS_MAX: Final = 500  # of one query; Twitter takes 512, Mastodon less
DEPTH_MAX: Final = 10  # parentheses inside each other
TREE_DEPTH_MAX: Final = 3 * (DEPTH_MAX + 2)  # nodes inside each other: a parenthesis makes a not, an or and an and
TREE_NODES_MAX: Final = 4 * TERMS_MAX  # with what joins them
PREFIX_CHARS_MIN: Final = 2  # before the star; one letter begins a tenth of all words
LIKES_MAX: Final = 1_000_000_000
ACCOUNTS_MAX: Final = 100  # ids in one author or to node; the parser makes one
SHOWN_CHARS_MAX: Final = 20  # of what stands at a position, in a message

Node = list[Any]

_QUOTES = frozenset('"“”„‟«»＂')
_STOPS = _QUOTES | frozenset("()")
_OPERATOR = re.compile(r"([A-Za-z_]+):(?!//)(.*)", re.DOTALL)
_NAME = re.compile(rf"@?([A-Za-z0-9_]{{1,{NAME_CHARS_MAX}}})")
_LANG = re.compile(r"[A-Za-z]{2,3}")
_NUMBER = re.compile(r"[0-9]{1,10}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MS_PER_DAY: Final = 86_400_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class QueryError(MalformedError):
    """A query that can't be read. `position` is where, in characters from 0."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message, "query")
        self.position = position


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was typed, and what it means."""

    text: str
    tree: Node


def parse(text: str) -> Query:
    """Read a query. Raises QueryError, and nothing else. Cost: 13 us a word."""
    if len(text) > QUERY_CHARS_MAX:
        trouble = f"a query has at most {QUERY_CHARS_MAX} characters, this one has {len(text)}"
        raise QueryError(trouble, position=QUERY_CHARS_MAX)
    return Query(text, _Parser(text).parse())


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Item:
    """A piece of a query: kind is one of ( ) "-" "quoted" "piece" "AND" "OR" "NOT" "end"."""

    kind: str
    body: str
    start: int
    end: int


def _items(text: str) -> Iterator[_Item]:
    """Cut a query into items; the last is `end`. Raises QueryError for a quote that isn't closed."""
    at, size = 0, len(text)
    while at < size:
        char, start = text[at], at
        if char.isspace():
            at += 1
        elif char in "()":
            at += 1
            yield _Item(char, char, start, at)
        elif char in _QUOTES:
            at += 1
            while at < size and text[at] not in _QUOTES:
                at += 1
            if at == size:
                _fail(text, start, 'a quote that is never closed; put another " after the phrase')
            at += 1
            yield _Item("quoted", text[start + 1 : at - 1], start, at)
        elif char == "-":
            while at < size and text[at] == "-":
                at += 1
            if at < size and not text[at].isspace() and text[at] != ")":  # else it is a dash
                for minus_at in range(start, at):
                    yield _Item("-", char, minus_at, minus_at + 1)
        else:
            while at < size and not text[at].isspace() and text[at] not in _STOPS:
                at += 1
            body = text[start:at]
            yield _Item(body if body in {"AND", "OR", "NOT"} else "piece", body, start, at)
    yield _Item("end", "", size, size)


def _fail(text: str, position: int, trouble: str) -> NoReturn:
    """Raise a QueryError: where, what stands there, and what is wrong with it."""
    rest = text[position : position + SHOWN_CHARS_MAX]
    stands = f'"{rest}{"..." if len(text) > position + SHOWN_CHARS_MAX else ""}"' if rest else "the end"
    raise QueryError(f"character {position + 1} of the query, {stands}: {trouble}", position)


class _Parser:
    """Recursive descent; None is a part in which there is no word."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._items = list(_items(text))
        self._at = 0
        self._depth = 0
        self._counts = TermBudget()

    def parse(self) -> Node:
        tree = self._either()
        item = self._items[self._at]
        if item.kind == ")":
            _fail(self._text, item.start, 'there is no "(" before that this closes; leave it out or put it in quotes')
        if tree is None:
            _fail(self._text, 0, "there is no word in this query; give a word, a #tag, @name or an operator")
        if not _finds(tree):
            _fail(self._text, 0, "this says only what to leave out; add a word or operator without - or NOT")
        return tree

    def _either(self) -> Node | None:
        starts, branches = [self._items[self._at].start], [self._both()]
        while self._items[self._at].kind == "OR":
            self._operand_must_follow("OR")
            starts.append(self._items[self._at].start)
            branches.append(self._both())
        if len(branches) == 1:
            return branches[0]
        for start, branch in zip(starts, branches, strict=True):
            if branch is not None and not _finds(branch):
                _fail(self._text, start, "this side of OR says only what to leave out; give it a word without - too")
        return _join("or", branches)

    def _both(self) -> Node | None:
        first = self._items[self._at]
        if first.kind in {"AND", "OR"}:
            _fail(self._text, first.start, f"nothing stands before {first.kind}; put a word there, or write it small")
        parts: list[Node | None] = []
        while self._items[self._at].kind not in {"OR", ")", "end"}:
            if self._items[self._at].kind == "AND":
                self._operand_must_follow("AND")
            parts.append(self._part())
        return _join("and", parts)

    def _operand_must_follow(self, word: str) -> None:
        """Step over AND, OR or NOT."""
        self._at += 1
        item = self._items[self._at]
        if item.kind in {"AND", "OR", ")", "end"}:
            _fail(self._text, item.start, f"a word, phrase or operator must follow {word} (or write {word.lower()!r})")

    def _part(self) -> Node | None:
        negated = False
        while (item := self._items[self._at]).kind in {"-", "NOT"}:
            negated = not negated
            if item.kind == "NOT":
                self._operand_must_follow("NOT")
            else:
                self._at += 1
        self._at += 1
        if item.kind == "(":
            node = self._in_parentheses(item)
        elif item.kind == "quoted":
            node = _words_node(item.body, exact=True)
        elif item.kind == "piece" or self._items[self._at - 2].kind == "-":  # -OR is no operator
            node = _piece_node(self._text, item)
        else:
            _fail(self._text, item.start, "a word, phrase or operator must stand here")
        if item.kind != "(" and node is not None:
            for trouble in filter(None, map(self._counts.add, _leaves(node))):
                _fail(self._text, item.start, trouble)
        return _negate(node) if negated and node is not None else node

    def _in_parentheses(self, opening: _Item) -> Node | None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            _fail(self._text, opening.start, f"at most {DEPTH_MAX} parentheses may stand inside each other")
        item = self._items[self._at]
        if item.kind == ")":
            _fail(self._text, opening.start, "nothing stands in these parentheses; put a word there or leave them out")
        node = self._either()
        if self._items[self._at].kind != ")":
            _fail(self._text, opening.start, 'this "(" is never closed; put a ")" where it ends')
        self._at += 1
        self._depth -= 1
        return node


# -- pieces ------------------------------------------------------------------------------------------------------------


def _piece_node(text: str, item: _Item) -> Node | None:
    """Return what a piece without blanks, quotes and parentheses means; None if nothing."""
    operator = _OPERATOR.fullmatch(item.body)
    if operator is not None:
        name, value = operator[1].lower(), operator[2]
        value_at = item.start + operator.start(2)
        if name in _OPERATORS:
            make, wanted = _OPERATORS[name]
            node = make(value)
            if node is None:
                stands = f'not "{value[:SHOWN_CHARS_MAX]}"' if value else "right after the colon"
                _fail(text, value_at, f"here should stand {wanted}, {stands}")
            return node
        if value and (value[0].isalnum() or value[0] == "_"):
            known = ", ".join(f"{known}:" for known in _OPERATORS)
            _fail(text, item.start, f'there is no operator "{operator[1]}:"; there are {known}. Quotes make it words')
    if item.body.endswith("*"):
        return _prefix_node(text, item)
    tagged, rest = leading_tags(item.body)
    if any(len(value) > TAG_CHARS_MAX for _, value in tagged):
        _fail(text, item.start, f"a hashtag has at most {TAG_CHARS_MAX} characters")
    return _join("and", [*([kind, value] for kind, value in tagged), _words_node(rest, exact=False)])


def _prefix_node(text: str, item: _Item) -> Node | None:
    body = item.body.rstrip("*")
    if body[:1] in {"#", "＃", "$", "@", "＠"}:
        _fail(text, item.start, "only words can be shortened with *, not tags and names; leave the * out")
    found = words(body)
    if not found:
        return None
    if is_pair(found[-1]):
        return _words_node(body, exact=False)  # of CJK everything is found by what it begins with
    if len(found) > 1:
        _fail(text, item.start, f"only a single word can be shortened with *, these are {len(found)}; write them apart")
    if len(found[0]) < PREFIX_CHARS_MIN and found[0].isalnum():  # one emoji is enough
        _fail(text, item.start, f"at least {PREFIX_CHARS_MIN} letters or digits must stand before *")
    return ["prefix", found[0]]


def _words_node(body: str, exact: bool) -> Node | None:
    """Return the node of some words in a row. exact: they were quoted, so one alone isn't to be stemmed."""
    found = words(body)
    singles: list[Node] = []
    while found and is_pair(found[-1]) and len(found[-1]) == 1:
        single = found.pop()
        if found and len(found[-1]) == 2 and is_pair(found[-1]):
            break  # the own token of a run's last character is only there where the run ends
        singles.insert(0, ["prefix", single])
    parts: list[Node] = []
    if found:
        parts.append(["phrase", found] if exact or len(found) > 1 or is_pair(found[0]) else ["word", found[0]])
    return _join("and", parts + singles)


# -- operators ---------------------------------------------------------------------------------------------------------


_Make = Callable[[str], Node | None]  # from the value of an operator to its node; None: it can't be one


def _named(kind: str) -> tuple[_Make, str]:
    def make(value: str) -> Node | None:
        match = _NAME.fullmatch(value)
        return [kind, match[1].lower()] if match else None

    return make, f"a user name (1 to {NAME_CHARS_MAX} of a-z, 0-9, _)"


HAS: Final = ("media", "image", "video", "audio", "alt", "links")


def _chosen(kind: str, *choices: str) -> tuple[_Make, str]:
    def make(value: str) -> Node | None:
        return [kind, value.lower()] if value.lower() in choices else None

    return make, f"{', '.join(choices[:-1])} or {choices[-1]}"


def _midnight_ms(value: str) -> int | None:
    """Return the Unix time at which a day begins in UTC, in ms, or None if there is no such day."""
    if _DATE.fullmatch(value) is None:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return None
    return (day.toordinal() - _EPOCH_DAY) * _MS_PER_DAY


def _since(value: str) -> Node | None:
    ms = _midnight_ms(value)
    return None if ms is None else ["ids", min(max(ms, 0) << 16, ID_MAX), 0]


def _until(value: str) -> Node | None:
    ms = _midnight_ms(value)
    return None if ms is None else ["ids", 0, min(max(ms << 16, 1), ID_MAX)]  # 0 would be open; no tweet has the id 0


def _min_likes(value: str) -> Node | None:
    return ["likes", int(value)] if _NUMBER.fullmatch(value) and int(value) <= LIKES_MAX else None


_A_DAY = "a day that exists, as 2026-01-31"
_OPERATORS: Final[dict[str, tuple[_Make, str]]] = {  # with what a value is
    "from": _named("from"),
    "to": _named("to_name"),
    "mentions": _named("mention"),
    "lang": (lambda v: ["lang", v.lower()] if _LANG.fullmatch(v) else None, "a code of 2 or 3 letters, as en"),
    "since": (_since, _A_DAY),
    "until": (_until, _A_DAY),
    "has": _chosen("has", *HAS),
    "is": _chosen("is", "reply", "repost"),
    "min_likes": (_min_likes, f"a whole number from 0 to {LIKES_MAX}"),
    "filter": (lambda v: ["follows"] if v.lower() == "follows" else None, "follows"),
}


# -- trees -------------------------------------------------------------------------------------------------------------


def _join(kind: str, parts: Iterable[Node | None]) -> Node | None:
    """Return `and` or `or` of the parts: flattened, each once; a part itself if it is the only one, None if none is."""
    kept: list[Node] = []
    seen: set[str] = set()
    for part in filter(None, parts):
        for node in part[1:] if part[0] == kind else [part]:
            key = repr(node)
            if key not in seen:
                seen.add(key)
                kept.append(node)
    if not kept:
        return None
    return kept[0] if len(kept) == 1 else [kind, *kept]


def _negate(node: Node) -> Node:
    """Return `not` of a node; of one that only leaves out, what it leaves out."""
    if node[0] == "not":
        inner: Node = node[1]
        return inner
    if not _finds(node):
        joined = _join("or", [part[1] for part in node[1:]])
        assert joined is not None
        return joined
    return ["not", node]


def _finds(node: Node) -> bool:
    """Whether a node of a tree in its one form finds something, and doesn't only leave out."""
    if node[0] == "and":
        return any(part[0] != "not" for part in node[1:])
    return bool(node[0] != "not")


def _signed_leaves(tree: Node) -> Iterator[tuple[Node, bool]]:
    """Yield each leaf from left to right, and whether it is to be there rather than not."""
    stack = [(tree, True)]
    while stack:
        node, positive = stack.pop()
        if node[0] in {"and", "or", "not"}:
            stack += [(part, positive != (node[0] == "not")) for part in reversed(node[1:])]
        else:
            yield node, positive


def _leaves(tree: Node) -> Iterator[Node]:
    return (leaf for leaf, _ in _signed_leaves(tree))


def positive_leaves(tree: Node) -> Iterator[Node]:
    """Yield the leaves that are to be there, from left to right."""
    return (leaf for leaf, positive in _signed_leaves(tree) if positive)


def _map_leaves(tree: Node, change: Callable[[Node], Node]) -> Node:
    """Return the tree with each leaf changed, in its one form."""
    if tree[0] == "not":
        return _negate(_map_leaves(tree[1], change))
    if tree[0] in {"and", "or"}:
        joined = _join(tree[0], [_map_leaves(part, change) for part in tree[1:]])
        assert joined is not None
        return joined
    return change(tree)


def words_of(tree: Node) -> list[str]:
    """Return the words that are to be there, but for those of phrases and prefixes: each once, in order."""
    return list(dict.fromkeys(leaf[1] for leaf in positive_leaves(tree) if leaf[0] == "word"))


def replace_words(tree: Node, new_of: dict[str, str]) -> Node:
    """Return the tree with other words in its `word` nodes, negated ones too; a new one that is several is a phrase."""

    def change(leaf: Node) -> Node:
        if leaf[0] != "word" or leaf[1] not in new_of:
            return leaf
        return _words_node(new_of[leaf[1]], exact=False) or leaf

    return _map_leaves(tree, change)


def corrected_text(text: str, new_of: dict[str, str]) -> str:
    """Return a query as it was typed, but with other words for some: what `replace_words` makes of its tree.

    new_of: word as `words_of` gives it -> what is to stand in its place. Where no such text means that (a new word
    before a colon may become an operator), the canonical text of the tree. Raises QueryError as `parse` does.
    """
    tree = replace_words(parse(text).tree, new_of)
    pieces: list[str] = []
    done = 0
    for item in _items(text):
        node = _piece_node(text, item) if item.kind == "piece" else None
        word = next((leaf[1] for leaf in _leaves(node) if leaf[0] == "word"), None) if node is not None else None
        if word in new_of:
            found = [token for token in tokens(item.body) if token.word == word][-1:]  # tags stand before words
            for token in found:
                pieces += text[done : item.start + token.start], new_of[word]
                done = item.start + token.end
    corrected = "".join([*pieces, text[done:]])
    try:
        return corrected if parse(corrected).tree == tree else to_text(tree)
    except QueryError:
        return to_text(tree)


def names_of(tree: Node) -> set[str]:
    """Return the user names that `resolve` needs ids for."""
    return {leaf[1] for leaf in _leaves(tree) if leaf[0] in {"from", "to_name"}}


def resolve(tree: Node, ids: dict[str, int | None]) -> Node:
    """Return the tree with account ids for names; one that nobody has is an empty list, which no tweet matches."""

    def change(leaf: Node) -> Node:
        if leaf[0] not in {"from", "to_name"}:
            return leaf
        account_id = ids.get(leaf[1])
        return ["author" if leaf[0] == "from" else "to", [] if account_id is None else [account_id]]

    return _map_leaves(tree, change)


def has_follows(tree: Node) -> bool:
    """Return whether the answer depends on whom the reader follows."""
    return any(leaf[0] == "follows" for leaf in _leaves(tree))


def wants_reposts(tree: Node) -> bool:
    """Return whether reposts are asked for (`is:repost`, not negated); else they are not to be found."""
    return any(leaf == ["is", "repost"] for leaf in positive_leaves(tree))


# -- out and in --------------------------------------------------------------------------------------------------------


def to_text(tree: Node) -> str:
    """Return the canonical text of a tree of `parse`, which parses to the same tree.

    Raises InvalidError for a tree that has no text: one with account ids, or tweet ids that begin no day.
    """
    kind = tree[0]
    if kind == "or":
        return " OR ".join(map(to_text, tree[1:]))
    if kind == "and":
        return " ".join(f"({to_text(part)})" if part[0] == "or" else to_text(part) for part in tree[1:])
    if kind == "not":
        return f"-({to_text(tree[1])})" if tree[1][0] in {"and", "or"} else f"-{to_text(tree[1])}"
    if kind == "ids":
        return _ids_text(tree)
    write = (_LEAVES | _NAMED_LEAVES)[kind][1]
    if write is None:
        raise InvalidError(f"a node {kind!r} can't be written as a query", "query")
    return write(*tree[1:])


def _ids_text(node: Node) -> str:
    low, high = node[1], node[2]
    kind, tweet_id = ("until", high) if high else ("since", low)
    day = date.max if tweet_id == ID_MAX else date.fromordinal(_EPOCH_DAY + (tweet_id >> 16) // _MS_PER_DAY)
    text = f"{kind}:{day.isoformat()}"
    if (_until if high else _since)(day.isoformat()) != node:
        raise InvalidError(f"the tweet ids {low} to {high} can't be written as days", "query")
    return text


# What the arguments of a leaf must be, and its text (None: it has none).
_Leaf = tuple[tuple[Callable[[Any], bool], ...], Callable[..., str] | None]


def _is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _are_accounts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= ACCOUNTS_MAX and all(_is_int(one, 1, ID_MAX) for one in value)


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= TERMS_MAX and all(map(is_word, value))


def _matching(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


_is_name = _matching(rf"[a-z0-9_]{{1,{NAME_CHARS_MAX}}}")
_LEAVES: Final[dict[str, _Leaf]] = {
    "word": ((is_word,), lambda word: str(word)),
    "phrase": ((_are_words,), lambda found: f'"{join_words(found)}"'),
    "prefix": ((is_word,), lambda word: f"{word}*"),
    "tag": ((lambda value: is_word(value, TAG_CHARS_MAX),), lambda tag: f"#{tag}"),
    "cash": ((is_word,), lambda tag: f"${tag}"),
    "mention": ((_is_name,), lambda name: f"@{name}"),
    "author": ((_are_accounts,), None),
    "to": ((_are_accounts,), None),
    "lang": ((_matching("[a-z]{2,3}"),), lambda code: f"lang:{code}"),
    "ids": ((lambda low: _is_int(low, 0, ID_MAX), lambda high: _is_int(high, 0, ID_MAX)), None),  # _ids_text
    "has": ((_matching("|".join(HAS)),), lambda what: f"has:{what}"),
    "is": ((_matching("reply|repost"),), lambda what: f"is:{what}"),
    "likes": ((lambda value: _is_int(value, 0, LIKES_MAX),), lambda count: f"min_likes:{count}"),
    "follows": ((), lambda: "filter:follows"),
}
_NAMED_LEAVES: Final[dict[str, _Leaf]] = {
    "from": ((_is_name,), lambda name: f"from:{name}"),
    "to_name": ((_is_name,), lambda name: f"to:{name}"),
}


def check_tree(tree: Any, resolved: bool = True) -> None:
    """Raise QueryError unless this is a tree within the limits in which something finds, whatever it may be.

    resolved: names must have become account ids. Nothing else is raised. Cost: 1.6 us a node.
    """
    if not _checked(tree, _LEAVES if resolved else _LEAVES | _NAMED_LEAVES, _Counts(), 1):
        raise QueryError("a tree must have something that finds, not only what to leave out")


class _Counts(TermBudget):
    nodes = 0  # of a tree so far


def _checked(node: Any, leaves: dict[str, _Leaf], counts: _Counts, depth: int) -> bool:
    """Return whether a node finds something."""
    counts.nodes += 1
    if depth > TREE_DEPTH_MAX or counts.nodes > TREE_NODES_MAX:
        raise QueryError(f"a tree has at most {TREE_NODES_MAX} nodes, {TREE_DEPTH_MAX} inside each other")
    if not isinstance(node, list) or not node or not isinstance(node[0], str):
        raise QueryError("a node of a tree is a list that begins with its kind")
    kind, arguments = node[0], node[1:]
    if kind == "not" and len(arguments) == 1:
        if not _checked(arguments[0], leaves, counts, depth + 1):
            raise QueryError("what a not leaves out must be something that finds")
        return False
    if kind in {"and", "or"} and arguments:
        finds = [_checked(part, leaves, counts, depth + 1) for part in arguments]
        if kind == "or" and not all(finds):
            raise QueryError("every branch of an or must find something")
        return any(finds)
    checks = leaves[kind][0] if kind in leaves else None
    if checks is None or len(checks) != len(arguments):
        raise QueryError(f"there is no node {kind[:SHOWN_CHARS_MAX]!r} with {len(arguments)} arguments")
    for check, argument in zip(checks, arguments, strict=True):
        if not check(argument):
            raise QueryError(f"an argument of the node {kind!r} is not what DESIGN.md says, or too large")
    if trouble := counts.add(node):
        raise QueryError(trouble)
    return True
