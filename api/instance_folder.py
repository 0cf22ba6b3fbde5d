"""What an operator puts into a folder for people to read: rules, policies, announcements, emojis.

    FOLDER/rules.txt               a rule a line
    FOLDER/about.html  privacy.html  terms.html
    FOLDER/announcements/7.html    7: its number, for ever; how it is known who has read it
    FOLDER/emojis/blob_cat.png     its name is its shortcode; png, gif or webp

Rules of this file
- It is configuration, not state: each worker reads it when it starts, and knows nothing of later changes.
- Everything in it is optional. What can't be shown (a name that is no shortcode, too much of something) stops the
  worker with a sentence that names the file, as any wrong setting does.
- The texts are the operator's own HTML, and passed on as they are.

Cost: what the files take in memory, EMOJI_BYTES_MAX an emoji at most.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TEXT_BYTES_MAX: Final = 256 * 1024  # of one text: a policy of 40 pages
RULE_COUNT_MAX: Final = 100
ANNOUNCEMENT_COUNT_MAX: Final = 100
EMOJI_COUNT_MAX: Final = 2_000
EMOJI_BYTES_MAX: Final = 256 * 1024  # as Mastodon has it
_MEDIA: Final = {".png": b"image/png", ".gif": b"image/gif", ".webp": b"image/webp"}
_SHORTCODE: Final = re.compile(r"[A-Za-z0-9_]{2,64}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Writing:
    """A text and when it was written. html: as it is; changed_ms: Unix ms."""

    html: str
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Emoji:
    """A picture by its shortcode. media: its type."""

    file_name: str
    data: bytes
    media: bytes


@dataclass(frozen=True, slots=True)
class InstanceFolder:
    """All that a folder holds; empty where there is none. announcements: by number, the newest first."""

    rules: tuple[str, ...] = ()
    pages: dict[str, Writing] = field(default_factory=dict)  # by the names of `PAGES`
    announcements: dict[int, Writing] = field(default_factory=dict)
    emojis: dict[str, Emoji] = field(default_factory=dict)  # by shortcode, sorted


PAGES: Final = ("about", "privacy", "terms")
EMPTY: Final = InstanceFolder()


def read_folder(folder: str) -> InstanceFolder:
    """Read a folder; "" is none. Raises ValueError that names what is wrong, OSError for what can't be read."""
    if not folder:
        return EMPTY
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"instance.folder: {folder} is no folder")
    rules = [line.strip() for line in _text(root / "rules.txt").splitlines()] if (root / "rules.txt").exists() else []
    rules = [rule for rule in rules if rule]
    if len(rules) > RULE_COUNT_MAX:
        raise ValueError(f"{root / 'rules.txt'} has {len(rules)} rules, of at most {RULE_COUNT_MAX}")
    pages = {name: _page(root / f"{name}.html") for name in PAGES if (root / f"{name}.html").exists()}
    return InstanceFolder(tuple(rules), pages, _announcements(root / "announcements"), _emojis(root / "emojis"))


def _text(path: Path) -> str:
    if path.stat().st_size > TEXT_BYTES_MAX:
        raise ValueError(f"{path} has more than {TEXT_BYTES_MAX} bytes")
    return path.read_text(encoding="utf-8")


def _page(path: Path) -> Writing:
    return Writing(_text(path), int(path.stat().st_mtime * 1000))


def _announcements(folder: Path) -> dict[int, Writing]:
    found: dict[int, Writing] = {}
    for path in _files(folder, ANNOUNCEMENT_COUNT_MAX):
        if path.suffix != ".html" or not _NUMBER.fullmatch(path.stem):
            raise ValueError(f"{path}: announcements are called by numbers, such as 1.html")
        found[int(path.stem)] = _page(path)
    return dict(sorted(found.items(), reverse=True))


def _emojis(folder: Path) -> dict[str, Emoji]:
    found: dict[str, Emoji] = {}
    for path in _files(folder, EMOJI_COUNT_MAX):
        if path.suffix not in _MEDIA or not _SHORTCODE.fullmatch(path.stem):
            raise ValueError(f"{path}: emojis are called by shortcodes of A-Z a-z 0-9 _, and are png, gif or webp")
        if path.stat().st_size > EMOJI_BYTES_MAX:
            raise ValueError(f"{path} has more than {EMOJI_BYTES_MAX} bytes")
        if path.stem in found:
            raise ValueError(f"{path}: there are two emojis of that name")
        found[path.stem] = Emoji(path.name, path.read_bytes(), _MEDIA[path.suffix])
    return found


def _files(folder: Path, count_max: int) -> list[Path]:
    """Return the files of a folder, sorted; none if there is no such folder. Hidden ones are passed over."""
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if len(found) > count_max:
        raise ValueError(f"{folder} has {len(found)} files, of at most {count_max}")
    return found
