"""The accounts' index: by name and handle, whole, by their beginnings, and mistyped; the popular first.

Rules of this file
- As in index.py: one thread adds, any searches, nothing is stored, an account is in it at most once.
- A query's words must all be found. Each counts most where it is the handle, then as a word of handle or name, then as
  the beginning of one, then mistyped; all of that times log2(2 + followers).

Costs: 20 us an account; a search 50 us, mistyped 0.3 ms.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from actors.core.arguments import COUNT_MAX, an_id, whole
from actors.core.errors import MalformedError
from actors.search.documents import UNREADABLE, band_of, digest_of
from actors.search.index import BLANKS, WRITER_HEAP_BYTES, Ints, open_index
from actors.text import text

VERSION = 1
EDGE_CHARS_MAX = 15  # beginnings that are indexed: what people type before they choose; longer ones are looked up
HANDLE_BOOST, WORD_BOOST, EDGE_BOOST, FUZZY_BOOST = 12.0, 4.0, 2.0, 1.0
FUZZY_CHARS_MIN = 4  # shorter words have too many neighbours
FUZZY_TWO_CHARS_MIN = 8
FUZZY_CHARS_MAX = 30  # longer than any handle; an automaton for 64 letters takes 3 ms to build
QUERY_WORDS_MAX = 8

MUST, SHOULD = tantivy.Occur.Must, tantivy.Occur.Should


class AccountIndex:
    """The index of one replica's accounts."""

    def __init__(self, directory: Path) -> None:
        """Open or make the index; the calling thread becomes the indexing thread."""
        self.directory = directory / f"accounts-{VERSION}"
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field("id", indexed=True, fast=True)
        builder.add_text_field("handle", tokenizer_name=BLANKS, index_option="basic")
        builder.add_text_field("words", tokenizer_name=BLANKS, index_option="basic")
        builder.add_text_field("bio", tokenizer_name=BLANKS, index_option="basic")
        builder.add_text_field("edges", tokenizer_name=BLANKS, index_option="basic")
        builder.add_unsigned_field("popularity", fast=True)
        builder.add_unsigned_field("digest", fast=True)
        self._schema = builder.build()
        self._index = open_index(self.directory, self._schema)
        self._writer = self._index.writer(WRITER_HEAP_BYTES // 2, 1)
        self._searcher = self._index.searcher()
        self.uncommitted_count = 0

    def add(self, row: Any) -> None:
        """Put an account in, in the place of what the index has of it. Row: see documents.py.

        Raises MalformedError for what is no such row; nothing changes.
        """
        try:
            document = _document(row)
        except UNREADABLE as error:
            raise MalformedError(f"an account's row can't be read: {repr(error)[:200]}") from error
        self._writer.delete_documents_by_term("id", row[0])
        self._writer.add_document(document)
        self.uncommitted_count += 1

    def remove(self, account_id: int) -> None:
        """Take an account out, if it is there."""
        self._writer.delete_documents_by_term("id", account_id)
        self.uncommitted_count += 1

    def commit(self) -> None:
        """Make what was added and removed findable."""
        self._writer.commit()
        self._index.reload()
        self._searcher = self._index.searcher()
        self.uncommitted_count = 0

    def close(self) -> None:
        """Commit, let merges end, and let the folder go."""
        self.commit()
        self._writer.wait_merging_threads()

    def search(self, words: list[str], count: int) -> list[tuple[int, float]]:
        """Return up to count (account id, score), the best first. words: folded."""
        return self._find([self._word(word, FUZZY_BOOST) for word in words[:QUERY_WORDS_MAX]], count)

    def suggest(self, words: list[str], count: int) -> list[tuple[int, float]]:
        """Return up to count (account id, score) of those whose words begin so."""
        return self._find([self._word(word, 0.0) for word in words[:QUERY_WORDS_MAX]], count)

    def _find(self, clauses: list[Any], count: int) -> list[tuple[int, float]]:
        if not clauses:
            return []
        query = tantivy.Query.boolean_query([(MUST, clause) for clause in clauses])
        searcher = self._searcher
        hits = searcher.search(query, count, count=False, weight_by_field="popularity").hits
        ids = searcher.fast_field_values("id", [place for _, place in hits])
        return [(account_id, score) for account_id, (score, _) in zip(ids, hits, strict=True)]

    def _word(self, word: str, fuzzy_boost: float) -> Any:
        ways = [("handle", HANDLE_BOOST), ("words", WORD_BOOST), ("edges", EDGE_BOOST)]
        if fuzzy_boost:
            ways.append(("bio", FUZZY_BOOST))
        clauses = [
            tantivy.Query.const_score_query(tantivy.Query.term_query(self._schema, field, word, "basic"), boost)
            for field, boost in ways
        ]
        if len(word) > EDGE_CHARS_MAX:
            begun = tantivy.Query.regex_query(self._schema, "words", f"{re.escape(word)}.*")
            clauses.append(tantivy.Query.const_score_query(begun, EDGE_BOOST))
        if fuzzy_boost and FUZZY_CHARS_MIN <= len(word) <= FUZZY_CHARS_MAX:
            distance = 2 if len(word) >= FUZZY_TWO_CHARS_MIN else 1
            near = tantivy.Query.fuzzy_term_query(self._schema, "words", word, distance)
            clauses.append(tantivy.Query.const_score_query(near, fuzzy_boost))
        return tantivy.Query.disjunction_max_query(clauses)

    def contents(self, below: int = 0, count: int = 0) -> tuple[Ints, Ints]:
        """Return (ids, digests) of what was committed, by descending id; below, count: as for tweets."""
        searcher = self._searcher
        query = tantivy.Query.all_query()
        if below:
            kind = tantivy.FieldType.Integer
            query = tantivy.Query.range_query(self._schema, "id", kind, lower_bound=1, upper_bound=below - 1)
        hits = searcher.search(query, count or max(searcher.num_docs, 1), count=False, order_by_field="id").hits
        digests = searcher.fast_field_values("digest", [place for _, place in hits])
        return np.array([key for key, _ in hits], dtype=np.int64), np.array(digests, dtype=np.int64)

    @property
    def document_count(self) -> int:
        """Accounts that can be found."""
        return int(self._searcher.num_docs)


def _document(row: Any) -> Any:
    """Return what the index keeps of an account."""
    account_id, username, display_name, bio, followers = row
    an_id(account_id, "account_id")
    whole(followers, 0, COUNT_MAX, "followers")
    handle, band = text.fold(username), band_of(followers)
    words = list(dict.fromkeys([handle, *text.words(username.replace("_", " ")), *text.words(display_name)]))
    edges = {word[:length] for word in words for length in range(1, min(len(word), EDGE_CHARS_MAX) + 1)}
    document = tantivy.Document()
    document.add_integer("id", account_id)
    document.add_text("handle", handle)
    document.add_text("words", " ".join(words))
    document.add_text("bio", " ".join(dict.fromkeys(text.words(bio))))
    document.add_text("edges", " ".join(sorted(edges)))
    document.add_unsigned("popularity", band)
    document.add_unsigned("digest", digest_of(username, display_name, bio, band))
    return document
