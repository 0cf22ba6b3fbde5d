"""The keys of what leaves the cluster, of those by which a process is a member of it."""

from __future__ import annotations

from api.outgoing_keys import CODES, LINKS, SECRETS, OutgoingKeys
from cluster.lane.handshake import LaneKeys, key_for


def outgoing_keys(keys: LaneKeys) -> OutgoingKeys:
    """Return them: the same in every process."""
    return OutgoingKeys(*(key_for(keys.secret, purpose) for purpose in (CODES, LINKS, SECRETS)), keys.vapid)
