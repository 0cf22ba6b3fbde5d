"""The router's files: the persisted shard map, the cluster secret, the certificate authority of lanes, and the key that
signs push messages.

Rules of this file
- A file is replaced whole or not at all: write a temporary, fsync, rename, fsync the directory.
- What can't be trusted is an error that names the file and what to do, never a silent new beginning: a fresh map over
  old shards would send accounts to shards that don't have them.

Bytes of router.msgpack: ["rookery-router", 1, crc32 of body, body: bin], body = msgpack [cluster_id, map wire].
Costs: save 0.4 ms (two fsyncs), load 0.1 ms.
"""

from __future__ import annotations

import os
import secrets
import stat
import zlib
from pathlib import Path

import msgpack

from actors.core.errors import InvalidError, RookeryError
from cluster.lane.handshake import SECRET_BYTES
from cluster.lane.protocol import pack
from cluster.placement.shard_map import ShardMap

STATE_NAME = "router.msgpack"
SECRET_NAME = "cluster.secret"
AUTHORITY_NAME = "cluster-ca.pem"
VAPID_NAME = "vapid.pem"
BACKED_UP_NAME = "backed.up"  # its time is that of the last backup's end
RESTORING_NAME = "restore.unfinished"  # there while a restore fills the folder, and after one that was interrupted
FILE_NAME = "rookery-router"
FILE_VERSION = 1
CLUSTER_ID_BYTES = 8


class RouterStateError(RookeryError):
    """A file of the router can't be trusted; the message names it and what to do."""


def note_backup(data_dir: Path) -> None:
    """Note that a backup of the cluster with this folder has ended now; nothing where there is no such folder."""
    if data_dir.is_dir():
        (data_dir / BACKED_UP_NAME).touch()


def backup_time_s(data_dir: Path) -> float | None:
    """Return when the last backup ended, in Unix time; None if none was noted. 2 us."""
    try:
        return (data_dir / BACKED_UP_NAME).stat().st_mtime
    except OSError:
        return None


def new_cluster_id() -> str:
    """Return 16 random hex digits that name a cluster for good."""
    return secrets.token_hex(CLUSTER_ID_BYTES)


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put a file in place durably; afterwards, also after a power cut, it holds either the old bytes or the new."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def save_state(data_dir: Path, cluster_id: str, shard_map: ShardMap) -> None:
    """Persist the map. Raises OSError, and leaves the file as it was, when the disk refuses."""
    body = pack([cluster_id, shard_map.to_wire()])
    replace_file(data_dir / STATE_NAME, pack([FILE_NAME, FILE_VERSION, zlib.crc32(body), body]))


def load_state(data_dir: Path) -> tuple[str, ShardMap] | None:
    """Return (cluster id, map), or None if there is no file.

    Raises RouterStateError if it is damaged or too new, or a restore that was interrupted left a part of a cluster.
    """
    if (data_dir / RESTORING_NAME).exists():
        raise RouterStateError(
            f"{data_dir} holds a part of a cluster: a restore goes on, or was interrupted; restore again"
        )
    path = data_dir / STATE_NAME
    if not path.exists():
        return None
    try:
        name, version, crc, body = msgpack.unpackb(path.read_bytes(), raw=False)
        if name != FILE_NAME:
            raise ValueError("it is another kind of file")
        if version != FILE_VERSION:
            raise ValueError(f"it has format {version!r}, this version reads {FILE_VERSION}")
        if zlib.crc32(body) != crc:
            raise ValueError("its checksum does not match")
        cluster_id, wire = msgpack.unpackb(body, raw=False)
        if not isinstance(cluster_id, str):
            raise ValueError("its cluster id is not a string")
        return cluster_id, ShardMap.from_wire(wire)
    except (ValueError, TypeError, msgpack.UnpackException, InvalidError) as error:
        raise RouterStateError(
            f"{path} can't be used: {error}. Restore it from a backup; if the shard count never changed, moving "
            "it away makes the same map again"
        ) from error


def load_or_create_secret(data_dir: Path, create: bool) -> bytes:
    """Return the cluster secret; create: this is a new cluster, make one if there is none.

    Raises RouterStateError if it is missing or not 32 bytes. A file that others may read is closed to them.
    """
    path = data_dir / SECRET_NAME
    if not path.exists():
        if not create:
            raise RouterStateError(
                f"{path} is missing, but the cluster exists. Restore it, or stop every actor, "
                f"write {SECRET_BYTES} random bytes there and start again"
            )
        replace_file(path, secrets.token_bytes(SECRET_BYTES), 0o600)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise RouterStateError(f"{path} has {len(secret)} bytes; the secret has {SECRET_BYTES}. Restore the file")
    _close_to_others(path)
    return secret


def load_or_create_vapid(data_dir: Path) -> bytes:
    """Return the key that signs push messages (P-256, PEM); made when there is none, as in folders of older versions.

    Raises RouterStateError if it can't be used. A file that others may read is closed to them. With a new one all
    subscriptions to push messages are of no use any more: their services know the key by which they were made.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = data_dir / VAPID_NAME
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        replace_file(path, key.private_bytes(*form), 0o600)
    pem = path.read_bytes()
    try:
        loaded = serialization.load_pem_private_key(pem, None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.curve.name != "secp256r1":
            raise ValueError("it is no key of P-256")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RouterStateError(
            f"{path} can't be used: {error}. Restore it; or move it away: another one is made, and whoever had push "
            "messages subscribes anew"
        ) from error
    _close_to_others(path)
    return pem


def load_or_create_authority(data_dir: Path, cluster_id: str) -> bytes:
    """Return certificate and key of the cluster's authority; made when there is none, as in folders of older versions.

    Raises RouterStateError if it can't be used. A file that others may read is closed to them. A new one is another
    authority: processes that joined before it was lost and those that join afterwards reach each other by actor calls
    only, until the former have restarted.
    """
    from cluster.lane.certificates import make_authority, require_authority

    path = data_dir / AUTHORITY_NAME
    if not path.exists():
        replace_file(path, make_authority(cluster_id), 0o600)
    authority = path.read_bytes()
    try:
        require_authority(authority)
    except ValueError as error:
        raise RouterStateError(
            f"{path} can't be used: {error}. Move it away and restart the whole cluster: another one is made"
        ) from error
    _close_to_others(path)
    return authority


def _close_to_others(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
