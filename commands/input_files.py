"""Readers of the files that `load` takes: follow graphs, texts, accounts.

Rules of this file
- A file is read and checked as a whole before anything of it is used: an error names the file and the line, and
  nothing has been loaded.
- `.gz` and `.zst` are unpacked while reading, block by block; what is in memory is numbers and texts, not the file.
- A UTF-8 byte order mark at the beginning is passed over. A line ends with LF, CR LF or CR. In graphs, lines that are
  empty or start with `#` are passed over; in texts every line that isn't blank is a tweet.

How it works: a block of whole lines is looked at with NumPy. If every line is two runs of digits, the block is parsed
at once (12 million lines/s); otherwise its lines are gone through one by one, which finds comments and errors.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import orjson
import zstandard

from actors.core.errors import InvalidError, RookeryError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number

Ints = npt.NDArray[np.int64]
BLOCK_BYTES = 1 << 20  # per read: the temporary arrays of one block take ten times as much
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_BYTES_MAX = 1 << 20  # a file without line ends is not one of ours
SHOWN_CHARS_MAX = 60  # of what is wrong, in a message
DIGITS_MAX = 18  # numbers of so many digits fit in int64 whatever they are; longer ones are looked at one by one
_SPACE, _TAB, _NEWLINE, _ZERO, _NINE = 32, 9, 10, 48, 57

OnBytes = Callable[[int, int], None]
"""Called with (bytes of the file read so far, bytes of the file)."""


class Edges(NamedTuple):
    """A follow graph in the file's order: followers[i] follows followees[i]."""

    followers: Ints
    followees: Ints

    def accounts(self) -> Ints:
        """Return every account of the graph once, ascending."""
        return np.union1d(self.followers, self.followees)


class TextLine(NamedTuple):
    """One tweet of a file; number counts from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class ImportedAccount:
    """One entry of an accounts file."""

    account_id: int
    username: str
    password: str = ""
    token: str = ""
    display_name: str = ""
    bio: str = ""
    email: str = ""
    app: str = ""


def read_blocks(path: Path, on_bytes: OnBytes | None = None) -> Iterator[bytes]:
    """Yield the unpacked file in blocks of whole lines, each with a line feed at its end, whatever the file has there.

    Raises InvalidError when the file can't be read or unpacked.
    """
    rest, held = b"", b""
    for block in _unpacked_blocks(path, on_bytes):
        if held or b"\r" in block:
            block, held = _with_line_feeds(held + block)
        lines, newline, rest = (rest + block).rpartition(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise InvalidError(f"{path}: a line of more than {LINE_BYTES_MAX} bytes")
        if newline:
            yield lines + newline
    if rest or held:
        yield rest + b"\n"


def read_json_list(path: Path, of: str) -> list[Any]:
    """Read a JSON list, on however many lines. of: what it holds. Raises InvalidError, also for what is no list."""
    try:
        entries = orjson.loads(b"".join(_unpacked_blocks(path, None)))
    except orjson.JSONDecodeError as error:
        raise InvalidError(f"{path}, line {error.lineno}: {error.msg}") from error
    if not isinstance(entries, list):
        raise InvalidError(f"{path} must hold a list of {of}")
    return entries


def _unpacked_blocks(path: Path, on_bytes: OnBytes | None) -> Iterator[bytes]:
    """Yield what is in a file. Raises InvalidError when it can't be read or unpacked."""
    try:
        size = path.stat().st_size
        with path.open("rb") as raw:
            for block in _without_mark(_unpacked(raw, path.suffix)):
                if on_bytes is not None:
                    on_bytes(min(raw.tell(), size), size)
                yield block
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidError(f"{path} can't be read: {reason}") from error


def _without_mark(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what is in a stream but for a byte order mark at its beginning, which some editors write."""
    start = b""
    while len(start) < len(BYTE_ORDER_MARK) and (more := stream.read(len(BYTE_ORDER_MARK) - len(start))):
        start += more
    if start := start.removeprefix(BYTE_ORDER_MARK):
        yield start
    while block := stream.read(BLOCK_BYTES):
        yield block


def _with_line_feeds(block: bytes) -> tuple[bytes, bytes]:
    """Return a block whose lines end with line feeds; and a CR at its end, whose line feed may be yet to come."""
    whole = block.removesuffix(b"\r")
    return whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), block[len(whole) :]


def _unpacked(raw: BinaryIO, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if suffix == ".zst":
        return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw


# ---- follow graphs ----------------------------------------------------------------------------------------------


def read_edges(path: Path, on_bytes: OnBytes | None = None) -> Edges:
    """Read `follower followee` lines. Raises InvalidError with file and line for one that isn't two account ids."""
    parts: list[Ints] = []
    lines_before = 0
    for block in read_blocks(path, on_bytes):
        pairs = _parse_fast(block)
        parts.append(_parse_slowly(path, block, lines_before) if pairs is None else pairs)
        lines_before += block.count(b"\n")
    pairs = np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int64)
    return Edges(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))


def _parse_fast(block: bytes) -> Ints | None:
    """Parse a block in which every line is two plain numbers; None for any other."""
    chars = np.frombuffer(block, dtype=np.uint8)
    digit = (chars >= _ZERO) & (chars <= _NINE)
    newline = chars == _NEWLINE
    if not (digit | newline | (chars == _SPACE) | (chars == _TAB)).all():
        return None
    edge = np.flatnonzero(np.diff(digit.view(np.int8), prepend=0, append=0))  # where a number starts, where it ends
    starts, ends = edge[::2], edge[1::2]
    line_count = int(newline.sum())
    line_of = np.cumsum(newline)[starts]
    if len(starts) != 2 * line_count or not np.array_equal(line_of, np.repeat(np.arange(line_count), 2)):
        return None
    if int((ends - starts).max()) > DIGITS_MAX:
        return None
    values = np.fromstring(block.decode("ascii"), dtype=np.int64, sep=" ")
    return values.reshape(-1, 2) if int(values.min()) >= 1 else None


def _parse_slowly(path: Path, block: bytes, lines_before: int) -> Ints:
    pairs: list[tuple[int, int]] = []
    for number, line in enumerate(block.split(b"\n")[:-1], lines_before + 1):
        fields = line.split()
        if not fields or fields[0].startswith(b"#"):
            continue
        if len(fields) != 2 or not all(field.isdigit() and len(field) <= 19 for field in fields):
            raise InvalidError(f"{path}, line {number}: expected two account ids, found {_shown(line)}")
        pair = int(fields[0]), int(fields[1])
        if not 1 <= min(pair) <= max(pair) <= ID_MAX:
            raise InvalidError(f"{path}, line {number}: account ids are 1 to {ID_MAX}, found {_shown(line)}")
        pairs.append(pair)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _shown(line: bytes) -> str:
    return repr(_cut(line.decode("utf-8", "replace").strip()))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 3] + "..."


# ---- texts ------------------------------------------------------------------------------------------------------


def read_texts(path: Path, clean: Callable[[str], str], on_bytes: OnBytes | None = None) -> list[TextLine]:
    """Read one tweet a line, UTF-8.

    clean: returns the text as it will be stored, empty if there is none in the line, or raises RookeryError.

    Raises InvalidError with file and line for a text that can't be a tweet.
    """
    found: list[TextLine] = []
    number = 0
    for block in read_blocks(path, on_bytes):
        for line in block.split(b"\n")[:-1]:
            number += 1
            try:
                text = line.decode("utf-8")
                text = clean(text) if text else ""
                if text:
                    found.append(TextLine(number, text))
            except UnicodeDecodeError as error:
                raise InvalidError(f"{path}, line {number}: not UTF-8 at byte {error.start}") from error
            except RookeryError as error:
                raise InvalidError(f"{path}, line {number}: {error.message}") from error
    return found


# ---- accounts ---------------------------------------------------------------------------------------------------

_ACCOUNT_TEXTS = ("username", "password", "token", "display_name", "bio", "email", "app")


def read_accounts(
    path: Path, clean: Callable[[ImportedAccount], ImportedAccount] = lambda account: account
) -> list[ImportedAccount]:
    """Read a JSON list of `{id, username, password?, token?, display_name?, bio?, email?, app?}`; ids are numbers or
    decimal texts; app: the client id of the app whose the token is.

    clean: returns an account as it will be stored, or raises RookeryError for values that the API would not take.
    Raises InvalidError that names the entry: malformed, or an id, name or address that comes twice.
    """
    entries = read_json_list(path, "accounts")
    accounts: list[ImportedAccount] = []
    seen: set[int | str] = set()
    for index, entry in enumerate(entries):
        try:
            account = clean(_account(entry))
        except RookeryError as error:
            raise InvalidError(f"{path}, account {index}: {error.message}") from error
        for key in (account.account_id, account.username.lower(), account.email.lower()):
            if key in seen:
                raise InvalidError(f"{path}, account {index}: {key!r} comes twice")
            if key:
                seen.add(key)
        accounts.append(account)
    return accounts


def _account(entry: Any) -> ImportedAccount:
    if not isinstance(entry, dict):
        raise InvalidError("must be an object {id, username, ...}")
    given = {name: value for name, value in entry.items() if value is not None}
    unknown = sorted(set(given) - {"id", *_ACCOUNT_TEXTS})
    if unknown:
        raise InvalidError(f"unknown field {unknown[0]!r}; there are id, {', '.join(_ACCOUNT_TEXTS)}")
    account_id = whole_number(given.get("id"), ID_MAX)
    if account_id is None or not 1 <= account_id <= ID_MAX:
        raise InvalidError(f"id must be 1 to {ID_MAX}, not {_cut(repr(given.get('id')))}")
    texts = {name: given.get(name, "") for name in _ACCOUNT_TEXTS}
    wrong = [name for name, value in texts.items() if not isinstance(value, str)]
    if wrong:
        raise InvalidError(f"{wrong[0]} must be a text")
    if not texts["username"]:
        raise InvalidError("username is required")
    return ImportedAccount(account_id, **texts)
