"""Who is at the other end of a socket, as far as the kernel knows.

A Unix socket's peers are the process that connected and the one that listened. Only processes of our own user, and
root's, are let in or talked to: another user can't listen in our place, however writable the folder is, and pass
everything on.

Rules of this file
- What the operating system can't say (`peer_user` gives None) is left to the proofs of lane/handshake.py.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

from cluster.lane.protocol import LaneImpostorError

_UCRED = struct.Struct("=iII")  # Linux: pid, uid, gid
_XUCRED = struct.Struct("=II")  # macOS, FreeBSD: version, uid, and groups
_XUCRED_BYTES = 76
_SOL_LOCAL = 0
ROOT = 0


def peer_user(sock: socket.socket) -> int | None:
    """Return the user id at the other end of a connected Unix socket, None where the system doesn't say. 1 us."""
    if hasattr(socket, "SO_PEERCRED"):
        packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(packed)[1])
    if hasattr(socket, "LOCAL_PEERCRED"):
        packed = sock.getsockopt(_SOL_LOCAL, socket.LOCAL_PEERCRED, _XUCRED_BYTES)
        return int(_XUCRED.unpack_from(packed)[1])
    return None


def is_ours(user: int | None) -> bool:
    """Whether a user may be at the other end: our own, root, or nobody knows."""
    return user is None or user in (os.geteuid(), ROOT)


def require_our_user(sock: socket.socket, path: str) -> None:
    """Raise LaneImpostorError unless our own user, or root, listens at the other end."""
    user = peer_user(sock)
    if not is_ours(user):
        raise LaneImpostorError(f"user {user} listens at {path}; this process is user {os.geteuid()}'s")


def address_group(host: str) -> str:
    """Return what counts as one address: any of a machine's own, an IPv6 network of 64 bits, else the address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return "loopback" if address.is_loopback else str(ipaddress.ip_network((int(address), 64), strict=False))
        address = address.ipv4_mapped
    return "loopback" if address.is_loopback else str(address)
