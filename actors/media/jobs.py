"""Jobs, seen from outside their cages: start one, wait for it, end it, and look at what it has left.

Rules of this file
- A job is a process group of its own, in a folder of its own, and both are gone when `Jobs.run` returns.
- What a cage says is only looked at within bounds: known kinds and endings, whole numbers, files of its folder.
- Blocks: whoever calls it has a thread for that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from actors.core.errors import InvalidError, TooLargeError
from actors.media.cage import PAGE
from actors.media.page import PageFacts, told_page
from actors.media.processed import CONTENT_TYPES, KINDS, Kind, Purpose

PAGE_S: Final = 30.0
IMAGE_S: Final = 120.0  # that a picture may take on a machine that is busy
VIDEO_S: Final = 2_400.0  # well below the hour after which an upload is given up
TOLD_BYTES_MAX: Final = 16_384
RENDITIONS_MAX: Final = 3
SIDE_MAX: Final = 65_535
_FILE: Final = re.compile(r"(original|small|static)\.([a-z0-9]{3,4})", re.ASCII)
_BLURHASH: Final = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{0,40}", re.ASCII)
_ROOT: Final = Path(__file__).resolve().parents[2]


def has_ffmpeg() -> bool:
    """Whether this machine has ffmpeg. 50 us."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the settings allow, and what this machine has. idle: video waits for a processor that nobody wants."""

    image_bytes_max: int
    video_bytes_max: int
    pixels_max: int
    ffmpeg: bool
    idle: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """One rendition, as a file that is there for as long as the job's folder is."""

    rendition: str
    path: Path
    extension: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Done:
    """What a job has made."""

    kind: Kind
    pieces: tuple[Piece, ...]
    blurhash: str
    duration_ms: int
    frame_rate: float
    bitrate: int


class Jobs:
    """Runs jobs; `folder`: where each has its own."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.folder, self.bounds = folder, bounds

    @contextlib.contextmanager
    def run(self, source: Path, purpose: Purpose, timeout_s: float = VIDEO_S) -> Iterator[Done]:
        """Have what is made of a file while the block runs. Raises InvalidError with a sentence."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="job-", dir=self.folder) as folder:
            told = self._told(source, purpose, Path(folder), timeout_s)
            yield _looked_at(told, Path(folder))

    def read_page(self, source: Path, charset: str) -> PageFacts:
        """Return what a page says of itself. charset: see `page.read_page`. Raises InvalidError with a sentence."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="job-", dir=self.folder) as folder:
            told = self._told(source, PAGE, Path(folder), PAGE_S, charset)
        if isinstance(told, dict) and isinstance(told.get("refused"), str):
            raise InvalidError(told["refused"][:500], "url")
        return told_page(told.get("page") if isinstance(told, dict) else None)

    def _told(self, source: Path, purpose: str, folder: Path, timeout_s: float, charset: str = "") -> Any:
        job = {
            **asdict(self.bounds), "source": str(source), "folder": str(folder), "purpose": purpose, "charset": charset,
            "output_bytes_max": 2 * max(self.bounds.image_bytes_max, self.bounds.video_bytes_max),
        }  # fmt: skip
        packages = [path for path in sys.path if path.endswith("-packages")]
        command = [
            sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = sys.argv[2:]\n"
            "from actors.media.cage import main; main()", json.dumps(job), str(_ROOT), *packages,
        ]  # fmt: skip
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "VIPS_WARNING": "0",
            "TMPDIR": str(folder),
        }
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise InvalidError(
                f"the file took more than {timeout_s:.0f} s to process; make it smaller", "file"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if process.returncode:
            raise _broken(process.returncode)
        try:
            return json.loads(said[:TOLD_BYTES_MAX])
        except ValueError as error:
            raise _broken(0) from error


def _broken(code: int) -> InvalidError:
    """Return what people are told whose file has ended its process."""
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return InvalidError(
            "the file takes more time or memory to process than this server gives it; make it smaller", "file"
        )
    return InvalidError("the file can't be processed: it is damaged, or made to do harm", "file")


def _looked_at(told: Any, folder: Path) -> Done:
    """Return what a cage says, if it can be true. Raises InvalidError."""
    if not isinstance(told, dict):
        raise _broken(0)
    if isinstance(told.get("refused"), str):
        raise (TooLargeError if told.get("too_large") else InvalidError)(told["refused"][:500], "file")
    pieces = tuple(_piece(row, folder) for row in told.get("made", ())[: RENDITIONS_MAX + 1])
    kind, blurhash = told.get("kind"), told.get("blurhash", "")
    names = {piece.rendition for piece in pieces}
    if kind not in KINDS or "original" not in names or not 0 < len(names) == len(pieces) <= RENDITIONS_MAX:
        raise _broken(0)
    if not isinstance(blurhash, str) or not _BLURHASH.fullmatch(blurhash):
        raise _broken(0)
    rate = told.get("frame_rate", 0.0)
    if type(rate) not in (int, float) or not 0 <= rate <= 1000:
        raise _broken(0)
    return Done(
        kind, pieces, blurhash, _number(told.get("duration_ms", 0)), float(rate), _number(told.get("bitrate", 0))
    )


def _piece(row: Any, folder: Path) -> Piece:
    if not (isinstance(row, list) and len(row) == 4 and isinstance(row[1], str)):
        raise _broken(0)
    rendition, file, width, height = row
    named = _FILE.fullmatch(file)
    path = folder / file
    if (
        named is None
        or named[1] != rendition
        or named[2] not in CONTENT_TYPES
        or path.is_symlink()
        or not path.is_file()
    ):
        raise _broken(0)
    return Piece(rendition, path, named[2], _number(width, SIDE_MAX), _number(height, SIDE_MAX))


def _number(value: Any, maximum: int = 1 << 40) -> int:
    if type(value) is not int or not 0 <= value <= maximum:
        raise _broken(0)
    return value


def clear(folder: Path, older_than_s: float, now_s: float) -> int:
    """Remove files and job folders that nobody has touched for so long. Returns how many."""
    count = 0
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            if entry.lstat().st_mtime < now_s - older_than_s:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
                count += 1
    return count
