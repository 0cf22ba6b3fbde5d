"""Readers of graphs, texts and accounts: what they take, and how they say what is wrong."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import InvalidError
from actors.core.ids import ID_MAX
from commands import input_files
from commands.input_files import read_accounts, read_edges, read_texts

ACCOUNT_IDS = st.integers(1, ID_MAX)


def write(path: Path, data: bytes) -> Path:
    packed = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix)
    path.write_bytes(packed(data) if packed else data)
    return path


@pytest.mark.parametrize("name", ["graph.txt", "graph.gz", "graph.zst"])
def test_a_graph_is_read_whatever_it_is_packed_with(tmp_path, name):
    edges = read_edges(write(tmp_path / name, b"# comment\n1 2\n\n3\t4\r\n  5 5"))
    assert list(zip(edges.followers.tolist(), edges.followees.tolist(), strict=True)) == [(1, 2), (3, 4), (5, 5)]
    assert edges.accounts().tolist() == [1, 2, 3, 4, 5]


@given(pairs=st.lists(st.tuples(ACCOUNT_IDS, ACCOUNT_IDS)), comment=st.booleans())
def test_the_fast_parser_reads_what_the_plain_one_reads(pairs, comment):
    block = b"".join(b"%d %d\n" % pair for pair in pairs) + (b"# end\n" if comment else b"")
    fast = input_files._parse_fast(block) if block else None
    slow = input_files._parse_slowly(Path("graph"), block, 0)
    assert slow.tolist() == [list(pair) for pair in pairs]
    assert fast is None or np.array_equal(fast, slow)


@pytest.mark.parametrize(
    "line",
    ["1", "1 2 3", "1 x", "0 1", "-1 2", f"1 {ID_MAX + 1}", "1,2", "1 2 # why", "+1 2", "--1 2", "1_0 2", "٥ 2",
     "1e3 2", "1.0 2", "1 " + "9" * 5_000],
)  # fmt: skip
def test_a_bad_line_is_named_with_file_and_line(tmp_path, line):
    path = write(tmp_path / "graph.txt", f"1 2\n3 4\n{line}\n5 6\n".encode())
    with pytest.raises(InvalidError, match=r"graph\.txt, line 3: "):
        read_edges(path)


def test_line_numbers_go_on_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(input_files, "BLOCK_BYTES", 8)
    path = write(tmp_path / "graph.gz", b"1 2\n" * 50 + b"oops\n")
    with pytest.raises(InvalidError, match="line 51"):
        read_edges(path)


CUT = gzip.compress(b"1 2\n" * 999, mtime=0)[:-9]  # with the time in it, two workers may name the test differently


@pytest.mark.parametrize(("name", "data"), [("cut.gz", CUT), ("no.zst", b"not zstd")])
def test_a_damaged_file_is_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidError, match=f"{name} can't be read"):
        read_edges(tmp_path / name)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("name", ["t.txt", "t.gz", "t.zst"])
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 1 << 20])
def test_lines_end_as_any_machine_ends_them(tmp_path, monkeypatch, name, end, block_bytes):
    monkeypatch.setattr(input_files, "BLOCK_BYTES", block_bytes)
    for last in (b"", end):
        lines = [b"1 2", b"", b"# comment", b"3 4", b"5 6"]
        edges = read_edges(write(tmp_path / name, end.join(lines) + last))
        assert edges.followers.tolist() == [1, 3, 5]
        texts = read_texts(write(tmp_path / name, end.join(lines) + last), str)
        assert [line.number for line in texts] == [1, 3, 4, 5]
        assert texts[-1].text == "5 6"
        with pytest.raises(InvalidError, match="line 6: "):
            read_edges(write(tmp_path / name, end.join([*lines, b"oops"]) + last))
        (account,) = read_accounts(
            write(tmp_path / name, end.join([b"[", b'{"id":7,', b'"username":"ada"}', b"]"]) + last)
        )
        assert account.username == "ada"


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 1 << 20])
@pytest.mark.parametrize("name", ["t.txt", "t.gz", "t.zst"])
def test_a_byte_order_mark_at_the_beginning_is_passed_over(tmp_path, monkeypatch, name, block_bytes):
    monkeypatch.setattr(input_files, "BLOCK_BYTES", block_bytes)
    mark, path = input_files.BYTE_ORDER_MARK, tmp_path / name
    assert read_edges(write(path, mark + b"1 2\r\n3 4")).followers.tolist() == [1, 3]
    assert read_edges(write(path, mark + b"# comment\n3 4")).followers.tolist() == [3]
    assert [line.text for line in read_texts(write(path, mark + "é\n#b".encode()), str)] == ["é", "#b"]
    assert read_accounts(write(path, mark + b'[{"id":7,"username":"ada"}]'))[0].username == "ada"
    for nothing in (mark, mark + b"\n", b""):
        assert read_texts(write(path, nothing), str) == []
        assert read_edges(write(path, nothing)).followers.tolist() == []
    for twice in (mark + mark + b"1 2\n", b"1 2\n" + mark + b"3 4\n", mark[:2] + b"1 2\n", mark[:1]):
        with pytest.raises(InvalidError, match=r"line [12]: expected two account ids"):
            read_edges(write(path, twice))


@given(data=st.text("a\r\n", max_size=12), block_bytes=st.integers(1, 5))
def test_blocks_hold_the_lines_of_the_file_however_it_is_cut(tmp_path_factory, data, block_bytes):
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(data.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_files, "BLOCK_BYTES", block_bytes)
        found = b"".join(input_files.read_blocks(path)).decode()
    lines = re.split("\r\n|\r|\n", data)
    assert found.split("\n")[:-1] == (lines[:-1] if not lines[-1] else lines)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidError, match="nowhere can't be read: No such file"):
        read_edges(tmp_path / "nowhere")


def test_texts_keep_their_line_numbers(tmp_path):
    found = read_texts(write(tmp_path / "t.gz", "one\n\nthrée\r\n#4".encode()), str.upper)
    assert [(line.number, line.text) for line in found] == [(1, "ONE"), (3, "THRÉE"), (4, "#4")]


def test_a_text_that_cannot_be_a_tweet_is_named(tmp_path):
    def refuse(text: str) -> str:
        raise InvalidError("too long")

    with pytest.raises(InvalidError, match=r"t\.txt, line 1: too long"):
        read_texts(write(tmp_path / "t.txt", b"x\n"), refuse)
    with pytest.raises(InvalidError, match="line 2: not UTF-8 at byte 1"):
        read_texts(write(tmp_path / "t.txt", b"ok\nx\xff\n"), str)


def test_accounts_are_read(tmp_path):
    entries = [{"id": "7", "username": "ada", "token": "t", "bio": None}, {"id": 8, "username": "bo", "password": "p"}]
    found = read_accounts(write(tmp_path / "a.json", orjson.dumps(entries)))
    assert [(a.account_id, a.username, a.token, a.password, a.bio) for a in found] == [
        (7, "ada", "t", "", ""), (8, "bo", "", "p", "")]  # fmt: skip


NINES = "9" * 5_000
ODD_IDS = ('"+5"', '" 5"', '"5_0"', '"٥"', '"--5"', '"-5"', '""', "5.0", "1e3", "true", f'"{NINES}"', "9" * 30)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1"), ("{}", "a list"), ("[1]", "account 0: must be an object"),
        ('[{"id": 0}]', "account 0: id must"),
        *((f'[{{"id": {bad}}}]', "account 0: id must be 1 to") for bad in ODD_IDS),
        ('[{"id": 1}]', "username is required"), ('[{"id": 1, "username": "a", "x": 1}]', "unknown field 'x'"),
        ('[{"id": 1, "username": 5}]', "username must be a text"),
        ('[{"id": 1, "username": "a"}, {"id": 2, "username": "A"}]', "account 1: 'a' comes twice"),
        ('[{"id": 1, "username": "a", "email": "x@y.z"}, {"id": 2, "username": "b", "email": "X@y.z"}]',
         "account 1: 'x@y.z' comes twice"),
    ],
)  # fmt: skip
def test_a_bad_accounts_file_is_explained(tmp_path, text, says):
    with pytest.raises(InvalidError, match=says):
        read_accounts(write(tmp_path / "a.json", text.encode()))


def test_an_accounts_file_may_be_one_line_of_any_length(tmp_path):
    entries = [{"id": n, "username": f"user{n}", "bio": "x" * 400} for n in range(1, 3_001)]
    path = write(tmp_path / "a.json", json.dumps(entries).encode())
    assert path.stat().st_size > input_files.LINE_BYTES_MAX
    assert [account.account_id for account in read_accounts(path)] == list(range(1, 3_001))
