"""The tweets' index as a folder: contents in parts, another schema, damaged files, and what an old tweet's id finds."""

from __future__ import annotations

import logging
import os
import shutil

import pytest
import tantivy

from actors.core.ids import ID_MAX
from actors.search.documents import read_tweet
from actors.search.index import SEGMENT_FILES, VERSION, TweetIndex, disk_bytes
from tests.search.sample_tweets import make_sample


def row_of(tweet_id, text, likes=0, **more):
    return make_sample(tweet_id, 7, text, likes=likes, **more).row


def filled(directory, ids=range(1, 41)):
    """An index in two segments, with some tweets taken out."""
    index = TweetIndex(directory)
    for n, tweet_id in enumerate(ids):
        index.add(read_tweet(row_of(tweet_id, f"whale number{tweet_id} #ocean", likes=tweet_id)))
        if n == len(ids) // 2:
            index.commit()
    index.remove(3)
    index.commit()
    return index


WHALES = [n for n in range(40, 0, -1) if n != 3]


def test_contents_come_in_parts_that_join(tmp_path):
    index = filled(tmp_path)
    ids, likes, engagement = index.contents()
    assert ids.tolist() == likes.tolist() == engagement.tolist() == WHALES
    parts, below = [], 0
    while True:
        part = index.contents(below, 10)[0].tolist()
        parts += part
        if len(part) < 10:
            break
        below = part[-1]
    assert parts == WHALES
    assert [column.tolist() for column in index.contents(1)] == [[], [], []]
    index.close()


def test_contents_have_reposts_too(tmp_path):
    index = TweetIndex(tmp_path)
    index.add(read_tweet(row_of(5, "hello", is_repost=True)))
    index.commit()
    assert index.contents()[0].tolist() == index.contents(6, 5)[0].tolist() == [5]
    index.close()


def test_an_empty_index_answers(tmp_path):
    index = TweetIndex(tmp_path)
    assert index.latest(["word", "whale"], 0, 5) == []
    assert list(index.candidates(["word", "whale"], 5)) == [[], []]
    assert [column.tolist() for column in index.contents()] == [[], [], []]
    assert index.vocabulary() == index.hashtags("", 5) == index.tagged("ocean", 5) == []
    index.close()


def test_words_hashtags_and_tagged_tweets_are_counted(tmp_path):
    index = filled(tmp_path)
    assert ("whale", 39) in index.vocabulary()
    assert index.vocabulary("number1")[0][0].startswith("number1")
    assert index.hashtags("oc", 5) == [("ocean", 39)]
    assert index.hashtags("whale", 5) == []
    assert index.tagged("ocean", 3) == [40, 39, 38]
    index.close()


def test_what_is_fed_again_or_taken_out_counts_no_twice_for_words_and_hashtags(tmp_path):
    index = filled(tmp_path)
    for likes in range(5):
        index.add(read_tweet([*row_of(1, "whale number1 #ocean", likes=likes)[:9], 0]))
        index.commit()
    index.add(read_tweet(row_of(90, "whale #ocean", is_repost=True)))
    index.remove(2)
    index.commit()
    assert dict(index.vocabulary())["whale"] == 39
    assert "number2" not in dict(index.vocabulary())
    assert index.hashtags("oc", 5) == [("ocean", 38)]
    index.close()


def test_ids_at_both_ends_of_their_range_are_found(tmp_path):
    index = TweetIndex(tmp_path)
    for tweet_id in (1, ID_MAX):
        index.add(read_tweet(row_of(tweet_id, "whale")))
    index.commit()
    whale = ["word", "whale"]
    assert index.latest(whale, 0, 5) == [ID_MAX, 1]
    assert index.latest(whale, ID_MAX, 5) == [1]
    assert index.latest(whale, 0, 5, min_id=1) == [ID_MAX]
    assert index.latest(whale, 0, 5, min_id=ID_MAX) == []
    assert index.latest(["and", whale, ["ids", ID_MAX, 0]], 0, 5) == [ID_MAX]
    assert index.latest(["and", whale, ["ids", 0, 1]], 0, 5) == []
    assert index.latest(["and", whale, ["ids", 9, 5]], 0, 5) == []
    index.close()


@pytest.mark.parametrize("value", [".*", "wh.le", "(", "[a", "\\", "whale|number1", "a{9}", "^", "$", "#", "~", "&&"])
def test_a_prefix_is_taken_literally(tmp_path, value):
    index = filled(tmp_path)
    assert index.latest(["prefix", value], 0, 5) == []
    index.close()


def test_the_longest_word_is_found_whole_by_its_beginning_and_in_a_phrase(tmp_path):
    index = TweetIndex(tmp_path)
    word = "ж" * 64
    index.add(read_tweet(row_of(9, f"{word}жжж whale")))
    index.commit()
    assert index.latest(["word", word], 0, 5) == [9]
    assert index.latest(["prefix", word], 0, 5) == [9]
    assert index.latest(["phrase", [word, "whale"]], 0, 5) == [9]
    index.close()


# ---- the folder ------------------------------------------------------------------------------------------------------


def files_of(index, kind):
    return sorted(index.directory.glob(f"*.{kind}"))


def test_what_was_committed_is_there_when_the_folder_is_opened_again(tmp_path):
    filled(tmp_path).close()
    again = TweetIndex(tmp_path)
    assert again.latest(["word", "whale"], 0, 99) == WHALES
    assert disk_bytes(tmp_path) > 1_000
    again.close()


def put(path, data):
    """Have other bytes in a file's place: a thread of the index's may still have the old ones mapped (SIGBUS)."""
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_bytes(data)
    fresh.replace(path)


def truncate(path):
    put(path, path.read_bytes()[: path.stat().st_size // 2])


def scribble(path):
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 8] = bytes(byte ^ 0x5A for byte in data[middle : middle + 8])
    put(path, data)


def garbage(path):
    put(path, os.urandom(500))


def empty(path):
    put(path, b"")


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, scribble, garbage, empty, remove])
@pytest.mark.parametrize("kind", [*SEGMENT_FILES, "del"])
def test_a_damaged_file_has_the_index_made_anew(tmp_path, caplog, kind, damage):
    index = filled(tmp_path)
    index.close()
    damage(files_of(index, kind)[0])
    with caplog.at_level(logging.WARNING, "rookery.search"):
        again = TweetIndex(tmp_path)
    assert "made anew" in caplog.text
    assert again.contents()[0].tolist() == []
    again.add(read_tweet(row_of(5, "a whale again")))
    again.commit()
    assert again.latest(["word", "whale"], 0, 5) == [5]
    again.close()


@pytest.mark.parametrize("damage", [truncate, garbage, empty, remove])
@pytest.mark.parametrize("name", ["meta.json", ".managed.json"])
def test_a_damaged_list_of_files_has_the_index_made_anew_or_does_not_matter(tmp_path, name, damage):
    index = filled(tmp_path)
    index.close()
    damage(index.directory / name)
    again = TweetIndex(tmp_path)
    assert again.latest(["word", "whale"], 0, 99) in ([], WHALES)
    again.add(read_tweet(row_of(50, "a whale again")))
    again.commit()
    assert again.latest(["word", "whale"], 0, 1) == [50]
    again.close()


def test_meta_that_is_json_of_another_kind_has_the_index_made_anew(tmp_path):
    index = filled(tmp_path)
    index.close()
    for text in ("[]", "7", "{}", '{"segments": [{}]}', '{"segments": 7}'):
        (index.directory / "meta.json").write_text(text)
        again = TweetIndex(tmp_path)
        assert again.contents()[0].tolist() == []
        again.close()


def test_an_index_of_other_fields_is_made_anew(tmp_path):
    folder = TweetIndex(tmp_path)
    folder.close()
    shutil.rmtree(folder.directory)
    folder.directory.mkdir()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("words", tokenizer_name="raw")
    other = tantivy.Index(builder.build(), path=str(folder.directory))
    writer = other.writer(15_000_000, 1)
    writer.add_document(tantivy.Document(words="whale"))
    writer.commit()
    writer.wait_merging_threads()
    again = filled(tmp_path)
    assert again.latest(["word", "whale"], 0, 99) == WHALES
    again.close()


def test_files_that_no_commit_knows_do_not_matter(tmp_path):
    index = filled(tmp_path)
    index.close()
    (index.directory / "0123456789abcdef0123456789abcdef.idx").write_bytes(b"half of a segment")
    again = TweetIndex(tmp_path)
    assert again.latest(["word", "whale"], 0, 99) == WHALES
    again.close()


def test_folders_of_other_versions_are_removed(tmp_path):
    (tmp_path / "tweets-0").mkdir()
    (tmp_path / "tweets-0" / "meta.json").write_text("{}")
    (tmp_path / "accounts-0").mkdir()
    TweetIndex(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accounts-0", f"tweets-{VERSION}"]
