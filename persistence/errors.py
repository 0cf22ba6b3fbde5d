"""Errors of storage: what is wrong on disk, where, and what an operator can do about it.

Rules of this file
- All are `StorageError`, with a 503 status hint: the client did nothing wrong, and the shard can't serve as it is.
- A message names the file, or the server and the key; damage also names the byte offset, or the entry's id.
- Everything but the message is an attribute with a default, so that errors pickle (they cross Ray actor calls).
"""

from __future__ import annotations

from actors.core.errors import RookeryError

NEWER = "a newer Rookery wrote it, and that one or a later one has to read it"
"""What every refusal of such a thing says."""


class StorageError(RookeryError):
    """Base of every refusal of the storage layer."""

    code, status = "storage", 503


class JournalCorruptError(StorageError):
    """Bytes that were durable once are wrong or missing. Nothing was changed. `path` and `offset` say where."""

    code = "journal_corrupt"

    def __init__(
        self,
        message: str,
        field: str | None = None,
        retry_after_s: float | None = None,
        *,
        path: str = "",
        offset: int = 0,
    ) -> None:
        super().__init__(message, field, retry_after_s)
        self.path = path
        self.offset = offset


class JournalFailedError(StorageError):
    """A write or sync of the journal failed, now or earlier. It stays failed until it is opened again."""

    code = "journal_failed"


class JournalUnavailableError(StorageError):
    """The journal's server takes no writes just now: nothing was acknowledged, and asking again may help.

    The journal keeps what was appended, and tries the same bytes with the next `flush`. `reason` says why in a few
    words, without an address: it may be shown to clients.
    """

    code = "journal_unavailable"

    def __init__(
        self, message: str, field: str | None = None, retry_after_s: float | None = None, *, reason: str = ""
    ) -> None:
        super().__init__(message, field, retry_after_s)
        self.reason = reason


class ServerUnfitError(StorageError):
    """The server must not be trusted with a journal as it is set up; the message says what to change."""

    code = "server_unfit"


class JournalLostError(StorageError):
    """The server no longer has what it acknowledged: it went back further than this owner could make good."""

    code = "journal_lost"


class JournalClosedError(StorageError):
    """The journal was closed; a call came after."""

    code = "journal_closed"


class JournalLockedError(StorageError):
    """Another process (or another object of this one) has the journal open; the message names its pid."""

    code = "journal_locked"


class FencedError(StorageError):
    """A newer epoch has written here: this owner is an old one and must stop."""

    code = "fenced"


class PositionGapError(StorageError):
    """The journal doesn't go on from the asked position: records between them are missing."""

    code = "position_gap"


class CheckpointDamagedError(StorageError):
    """The checkpoint file can't be read; the message names it."""

    code = "checkpoint_damaged"


class CheckpointLockedError(StorageError):
    """Another process has the checkpoint file open."""

    code = "checkpoint_locked"


class CheckpointMismatchError(StorageError):
    """The checkpoint is another shard's, or of another schema version, or has tables that this version can't read."""

    code = "checkpoint_mismatch"


class CheckpointFailedError(StorageError):
    """A write of the checkpoint failed and changed nothing; it may be tried again."""

    code = "checkpoint_failed"


class NewerFormatError(StorageError):
    """A newer version wrote this file, which is whole: nothing is to be put aside. The message names it."""

    code = "newer_format"


class ReplicaFileError(StorageError):
    """The file that holds a replica's promises can't be trusted; the message names it and what to do."""

    code = "replica_file"
