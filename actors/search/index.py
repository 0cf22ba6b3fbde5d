"""The tweets' index: a tantivy index in a folder, and the searches over it.

Rules of this file
- `add`, `remove`, `commit` belong to one thread, the indexing thread; searches may come from any other, and see the
  last commit.
- Nothing is stored but what finds: bodies, authors' names and rights are the shard's.
- Words come ready (`text.py`), joined by blanks; tantivy only splits at the blanks. So a query, a highlight and the
  index can't differ about what a word is.
- A tweet is in the index at most once: it is removed before it is added again, in the same commit.

Fields: id, author, to (i64); words with positions; stems, each with its language, with frequencies, which is what BM25
counts; tags, cash,
mentions, lang, marks as they are; likes and engagement as columns. `VERSION` stands in the folder's name: another
layout is another index.

Costs, a shard of 500,000 tweets: 84 bytes a tweet on disk; two words newest first 0.1 ms at the median, 2 ms where both
are among the most frequent; an add 11 us; a commit of some hundred 10 to 20 ms, on the indexing thread.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tantivy

from actors.core.ids import ID_MAX
from actors.search.documents import NEW, TweetFacts
from actors.search.queries import LANGUAGE_MARK, Builder

logger = logging.getLogger("rookery.search")

VERSION = 2
WRITER_HEAP_BYTES = 30_000_000  # what gathers before tantivy begins a segment by itself; 15 MB is its least
BLANKS = "blanks"  # the tokenizer that splits at them
SEGMENT_FILES = ("fast", "fieldnorm", "idx", "pos", "store", "term")  # of each segment, beside the deletes
FOOTER_MAGIC = 1337  # what a file of tantivy ends in

Ints = npt.NDArray[np.int64]


def schema() -> Any:
    """Return the fields of the index."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("id", indexed=True, fast=True)
    builder.add_integer_field("author", indexed=True)
    builder.add_integer_field("to", indexed=True)
    builder.add_text_field("words", tokenizer_name=BLANKS, index_option="position")
    builder.add_text_field("stems", tokenizer_name=BLANKS, index_option="freq")
    for name in ("tags", "cash", "mentions", "lang", "marks"):
        builder.add_text_field(name, tokenizer_name=BLANKS, index_option="basic")
    builder.add_integer_field("likes", fast=True)
    builder.add_unsigned_field("engagement", fast=True)
    return builder.build()


def blanks() -> Any:
    """Return the tokenizer that splits at blanks and changes nothing."""
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()


def check_files(directory: Path) -> None:
    """Raise ValueError or OSError if a committed file has gone, or isn't as tantivy wrote it.

    tantivy looks at its checksums only when it is asked, which Python can't; a damaged file would make it panic later,
    or find less than there is. 1 ms a MB.
    """
    meta = directory / "meta.json"
    if not meta.exists():
        if any(directory.glob("*.idx")):
            raise ValueError("meta.json is missing")
        return
    for segment in json.loads(meta.read_bytes())["segments"]:
        name = segment["segment_id"].replace("-", "")
        files = [f"{name}.{kind}" for kind in SEGMENT_FILES]
        if segment["deletes"]:
            files.append(f"{name}.{segment['deletes']['opstamp']}.del")
        for file in files:
            data = memoryview((directory / file).read_bytes())
            if int.from_bytes(data[-4:], "little") != FOOTER_MAGIC:
                raise ValueError(f"{file} has no end")
            footer_bytes = int.from_bytes(data[-8:-4], "little")
            if json.loads(bytes(data[-8 - footer_bytes : -8]))["crc"] != zlib.crc32(data[: -8 - footer_bytes]):
                raise ValueError(f"{file} is not as it was written")


def open_index(directory: Path, fields: Any) -> Any:
    """Open the index in a folder, or make one there. What is damaged, or has other fields, is made anew.

    Folders of other versions beside it are removed: they are of no use any more.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for other in directory.parent.glob(f"{directory.name.rpartition('-')[0]}-*"):
        if other != directory and other.is_dir():
            shutil.rmtree(other)
    try:
        check_files(directory)
        index = tantivy.Index(fields, path=str(directory))
    except (ValueError, OSError, LookupError, TypeError, AttributeError) as error:
        logger.warning("the index in %s is made anew: %r", directory.name, error)
        shutil.rmtree(directory)
        directory.mkdir(parents=True)
        index = tantivy.Index(fields, path=str(directory))
    index.register_tokenizer(BLANKS, blanks())
    return index


class TweetIndex:
    """The index of one replica's tweets."""

    def __init__(self, directory: Path) -> None:
        """Open or make the index. The calling thread becomes the indexing thread: its priority is the writer's."""
        self.directory = directory / f"tweets-{VERSION}"
        fields = schema()
        self._index = open_index(self.directory, fields)
        self._writer = self._index.writer(WRITER_HEAP_BYTES, 1)
        self._fields = fields
        self._view()
        self.uncommitted_count = 0
        self.commit_count = 0
        self.commit_seconds = 0.0

    def _view(self) -> None:
        """Look at the last commit from now on. Searches take searcher and builder together."""
        searcher = self._index.searcher()
        self._seen = searcher, Builder(self._fields, searcher.terms_with_prefix)

    # ---- the indexing thread ----------------------------------------------------------------------------------

    def add(self, facts: TweetFacts) -> None:
        """Put a tweet in, in the place of what the index has of it; of a new one it can't have anything."""
        if facts.news != NEW:
            self._writer.delete_documents_by_term("id", facts.tweet_id)
        document = tantivy.Document()
        document.add_integer("id", facts.tweet_id)
        document.add_integer("author", facts.author_id)
        if facts.reply_author:
            document.add_integer("to", facts.reply_author)
        document.add_text("words", " ".join(facts.words))
        document.add_text("stems", " ".join([f"{stem}{LANGUAGE_MARK}{facts.lang}" for stem in facts.stems]))
        document.add_text("lang", facts.lang)
        for name, values in (
            ("tags", facts.hashtags), ("cash", facts.cashtags), ("mentions", facts.mentions), ("marks", facts.marks),
        ):  # fmt: skip
            if values:
                document.add_text(name, " ".join(values))
        document.add_integer("likes", facts.likes)
        document.add_unsigned("engagement", facts.engagement)
        self._writer.add_document(document)
        self.uncommitted_count += 1

    def remove(self, tweet_id: int) -> None:
        """Take a tweet out, if it is there."""
        self._writer.delete_documents_by_term("id", tweet_id)
        self.uncommitted_count += 1

    def commit(self) -> None:
        """Make what was added and removed findable."""
        begin = time.perf_counter()
        self._writer.commit()
        self._index.reload()
        self._view()
        self.uncommitted_count = 0
        self.commit_count += 1
        self.commit_seconds += time.perf_counter() - begin

    def close(self) -> None:
        """Commit, let merges end, and let the folder go."""
        self.commit()
        self._writer.wait_merging_threads()

    # ---- searches ---------------------------------------------------------------------------------------------

    def latest(self, tree: list[Any], max_id: int, count: int, min_id: int = 0, follows: bytes = b"") -> list[int]:
        """Return up to count ids of matching tweets, newest first.

        max_id: only older than this one; min_id: only newer than that one, and of those the oldest; 0: no bound.
        follows: see `Builder.build`.
        """
        if min_id >= ID_MAX:
            return []
        searcher, builder = self._seen
        query = builder.build(tree, max_id, min_id + 1 if min_id else 0, follows=follows)
        order = tantivy.Order.Asc if min_id else tantivy.Order.Desc
        hits = searcher.search(query, count, count=False, order_by_field="id", order=order).hits
        ids = [hit[0] for hit in hits]
        return ids[::-1] if min_id else ids

    def candidates(self, tree: list[Any], count: int, follows: bytes = b"") -> tuple[list[int], list[float]]:
        """Return (ids, BM25) of the best `count` by BM25 x engagement and of the newest as many; in no order.

        BM25 is 1 throughout for a query without words. At most 2 count of them.
        """
        searcher, builder = self._seen
        query = builder.build(tree, scored=True, follows=follows)
        hits = searcher.search(query, count, count=False).hits
        if len(hits) < count:  # these are all; the shard knows their counts
            return _scored(searcher, hits)
        best = searcher.search(query, count, count=False, weight_by_field="engagement").hits
        weights = searcher.fast_field_values("engagement", [place for _, place in best])
        ids, scores = _scored(searcher, best)
        found = dict(zip(ids, (s / math.log2(2 + w) for s, w in zip(scores, weights, strict=True)), strict=True))
        plain = builder.build(tree, follows=follows)
        newest = searcher.search(plain, count, count=False, order_by_field="id").hits
        recent = builder.build(tree, since=newest[-1][0], scored=True, follows=follows)
        found.update(zip(*_scored(searcher, searcher.search(recent, count, count=False).hits), strict=True))
        return list(found), list(found.values())

    def contents(self, below: int = 0, count: int = 0) -> tuple[Ints, Ints, Ints]:
        """Return (ids, likes, engagement) of what was committed, newest first. 0.2 s for 500,000.

        below: only ids below this one; count: at most so many; 0: all.
        """
        searcher, builder = self._seen
        hits = searcher.search(
            builder.below(below), count or max(searcher.num_docs, 1), count=False, order_by_field="id"
        ).hits
        places = [place for _, place in hits]
        columns = [searcher.fast_field_values(name, places) for name in ("likes", "engagement")]
        ids = np.array([key for key, _ in hits], dtype=np.int64)
        return ids, np.array(columns[0], dtype=np.int64), np.array(columns[1], dtype=np.int64)

    def vocabulary(self, prefix: str = "") -> list[tuple[str, int]]:
        """Return (word, tweets that have it) of all words that begin so, the most frequent first. 0.2 s for all."""
        # Without a filter tweets that were taken out, or fed again, would count until their segment is merged.
        searcher, builder = self._seen
        found: list[tuple[str, int]] = searcher.terms_with_prefix("words", prefix, builder.below(0))
        return found

    def hashtags(self, prefix: str, count: int) -> list[tuple[str, int]]:
        """Return (hashtag, tweets that have it) of those that begin so, the most frequent first; without reposts."""
        searcher, builder = self._seen
        found: list[tuple[str, int]] = searcher.terms_with_prefix("tags", prefix, builder.no_reposts, count)
        return found

    def tagged(self, tag: str, count: int) -> list[int]:
        """Return the ids of the newest tweets with a hashtag, newest first."""
        return self.latest(["and", ["tag", tag], ["not", ["is", "repost"]]], 0, count)

    def figures(self) -> dict[str, Any]:
        """Return what `status` shows."""
        return {
            "documents": self._seen[0].num_docs,
            "segments": self._seen[0].num_segments,
            "uncommitted": self.uncommitted_count,
            "commits": self.commit_count,
            "commit_seconds": self.commit_seconds,
        }


def _scored(searcher: Any, hits: list[Any]) -> tuple[list[int], list[float]]:
    ids: list[int] = searcher.fast_field_values("id", [place for _, place in hits])
    return ids, [score for score, _ in hits]


def disk_bytes(directory: Path) -> int:
    """Return the size of a folder's files; those that vanish meanwhile count nothing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
