"""The accounts' index: whole names, beginnings, typing mistakes, and the popular first."""

from __future__ import annotations

import pytest

from actors.core.errors import MalformedError
from actors.search.accounts import EDGE_CHARS_MAX, AccountIndex
from actors.search.documents import band_of, digest_of

ROWS = [
    [1, "ada", "Ada Lovelace", "Enchantress of numbers, mathematician", 1_000],
    [2, "ada_fan", "Fan of Ada", "reads all of it", 3],
    [3, "grace", "Grace Hopper", "compilers and nanoseconds", 5_000],
    [4, "gracehopper2", "Not the real one", "parody", 2],
    [5, "tokyo", "東京マラソン", "走る人", 40],
    [6, "jose", "José Ñandú", "café", 0],
    [7, "a_very_long_user_name_of_thirty", "Longname", "", 1],
    [8, "a_very_long_user_name_of_nobody", "Longname", "", 0],
    [9, "popular", "Somebody", "likes ada", 1_000_000],
    [10, "empty", "", "", 0],
    [11, "emoji", "Zoë 👍🏽 <b>bold</b>", "", 0],
]  # fmt: skip


@pytest.fixture
def index(tmp_path):
    made = AccountIndex(tmp_path)
    for row in ROWS:
        made.add(row)
    made.commit()
    yield made
    made.close()


def found(index, *words):
    return [account_id for account_id, _ in index.search(list(words), 10)]


def suggested(index, *words):
    return [account_id for account_id, _ in index.suggest(list(words), 10)]


def test_a_handle_counts_most_then_words_then_mentions_in_the_bio(index):
    assert found(index, "ada")[0] == 1
    assert set(found(index, "ada")) == {1, 2, 9}
    assert dict(index.search(["ada"], 10))[1] > dict(index.search(["ada"], 10))[2]


def test_every_word_must_be_found(index):
    assert found(index, "grace", "hopper") == [3]
    assert found(index, "grace", "nanoseconds") == [3]
    assert found(index, "grace", "nosuchword") == []


def test_a_mistyped_word_is_found_after_the_right_ones(index):
    assert found(index, "lovelcae") == [1]
    assert found(index, "graec")[0] == 3
    assert found(index, "hoper") == [3]
    assert found(index, "abc") == []  # too short to be a mistyped ada


def test_beginnings_are_suggested_the_popular_first(index):
    assert suggested(index, "gr") == [3, 4]
    assert suggested(index, "grace", "ho") == [3]
    assert suggested(index, "love") == [1]
    assert suggested(index, "a")[0] == 1


def test_what_begins_nothing_suggests_nothing(index):
    assert suggested(index, "lovelcae") == []  # another shard may have it: who asks all of them decides


def test_bios_are_searched_but_not_suggested(index):
    assert found(index, "compilers") == [3]
    assert 9 not in suggested(index, "ada")


def test_case_accents_scripts_and_markup_do_not_matter(index):
    assert found(index, "jose", "nandu") == [6]
    assert found(index, "東京") == [5]
    assert found(index, "京マ") == [5]
    assert suggested(index, "東") == [5]
    assert found(index, "zoe") == [11]
    assert found(index, "bold") == [11]
    assert found(index, "b") == [11]  # the beginning of bold, not the tag


@pytest.mark.parametrize("length", [1, EDGE_CHARS_MAX, EDGE_CHARS_MAX + 1, 25, 27, 31])
def test_a_long_handle_is_suggested_at_every_letter(index, length):
    wanted = {7, 8} if length <= 25 else {7}
    assert wanted <= set(suggested(index, ROWS[6][1][:length]))
    if length > 25:
        assert 8 not in suggested(index, ROWS[6][1][:length])


def test_an_account_that_is_fed_again_is_there_once_as_it_is_now(index):
    index.add([1, "ada", "Countess", "", 8_000_000])
    index.commit()
    assert found(index, "lovelace") == []
    assert found(index, "countess") == [1]
    assert found(index, "ada")[0] == 1
    assert index.document_count == len(ROWS)


def test_an_account_that_is_taken_out_is_found_no_more(index):
    index.remove(3)
    index.remove(3)
    index.remove(12345)
    assert found(index, "grace", "hopper") == [3]  # until the commit
    index.commit()
    assert found(index, "grace", "hopper") == []
    assert index.document_count == len(ROWS) - 1


def test_contents_are_ids_and_digests_in_parts(index):
    ids, digests = index.contents()
    assert ids.tolist() == sorted((row[0] for row in ROWS), reverse=True)
    digest_by_id = {row[0]: digest_of(*row[1:4], band_of(row[4])) for row in ROWS}
    assert digests.tolist() == [digest_by_id[account_id] for account_id in ids.tolist()]
    parts = [index.contents(below, 4)[0].tolist() for below in (0, 8, 4)]
    assert parts == [[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1]]
    assert index.contents(1)[0].tolist() == []


def test_an_empty_index_finds_nothing(tmp_path):
    empty = AccountIndex(tmp_path)
    assert empty.search(["ada"], 5) == []
    assert empty.suggest([], 5) == []
    assert [column.tolist() for column in empty.contents()] == [[], []]
    empty.close()


@pytest.mark.parametrize(
    "row",
    [
        None, [], [1], [0, "a", "b", "c", 0], ["1", "a", "b", "c", 0], [1, None, "b", "c", 0], [1, "a", 7, "c", 0],
        [1, "a", "b", b"c", 0], [1, "a", "b", "c", -1], [1, "a", "b", "c", "9"], [1 << 63, "a", "b", "c", 0],
    ],
)  # fmt: skip
def test_what_is_no_row_is_refused_and_changes_nothing(index, row):
    with pytest.raises(MalformedError, match="can't be read"):
        index.add(row)
    index.commit()
    assert index.document_count == len(ROWS)
    assert found(index, "ada")[0] == 1
