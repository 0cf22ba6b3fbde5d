"""Push subscriptions: where the client of a token is told of notifications.

Rules of this file
- One a token. Making one anew replaces it; what it wants is what is given, and nothing else.
- Messages are encrypted as RFC 8291 has it for who says `standard`, else as its 4th draft, as in Mastodon.
- An address is https, or http where an operator's own networks may be reached. Where it leads is looked at when a
  message is sent, by every connection (`actors/outgoing/posting.py`).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

from actors.core.errors import InvalidError
from actors.core.features.push import AUTH_BYTES, KEY_BYTES, POLICIES
from actors.core.limits import WEBHOOK_URL_BYTES_MAX
from actors.core.mailbox import FROM_LEVEL
from actors.core.terms import NOTIFICATION_TYPE_OF
from api.access.auth import parse_token
from api.errors import NotConfiguredError
from api.levels import require_level
from api.mastodon.call import Answer, Call, answer
from api.mastodon.inputs import Params
from api.mastodon.table import Operation
from api.params import shown
from api.reach import Reach
from api.vapid import vapid_of

ALERTS: Final = (
    "mention", "quote", "status", "reblog", "follow", "follow_request", "favourite", "poll", "update", "quoted_update",
    "admin.sign_up", "admin.report",
)  # fmt: skip
_BITS: Final = {
    name: 1 << NOTIFICATION_TYPE_OF[name] | (1 << NOTIFICATION_TYPE_OF["reply"] if name == "mention" else 0)
    for name in ALERTS if name in NOTIFICATION_TYPE_OF
}  # fmt: skip
_KEY_CHARS_MAX: Final = 128


def require_push(call: Call) -> None:
    """Raise NotConfiguredError where nothing is pushed, OverloadedError below its level."""
    if not call.services.settings.sends_push or not call.services.outgoing_keys.vapid:
        raise NotConfiguredError("this server pushes nothing")
    require_level(call.services, FROM_LEVEL)


async def subscribe(call: Call) -> Answer:
    """Have the client of this token told of notifications."""
    require_push(call)
    given, data = call.params.inside("subscription"), call.params.inside("data")
    keys = given.inside("keys")
    endpoint = _endpoint(given.text("endpoint"), call.services.settings.webhook_networks)
    key, auth = _decoded(keys.text("p256dh"), KEY_BYTES, "p256dh"), _decoded(keys.text("auth"), AUTH_BYTES, "auth")
    if key[0] != 4 or not _is_on_curve(key):
        raise InvalidError("p256dh is no public key of P-256", "subscription[keys][p256dh]")
    wants = [_types(data), _policy(data, 0), given.flag("standard")]
    return _shown(call, await _ask(call, "subscribe", endpoint, key, auth, *wants))


async def read_subscription(call: Call) -> Answer:
    """The subscription of this token."""
    require_push(call)
    return _shown(call, await _ask(call, "push_subscription"))


async def change_subscription(call: Call) -> Answer:
    """Change which notifications are told, and of whom."""
    require_push(call)
    data = call.params.inside("data")
    return _shown(call, await _ask(call, "change_subscription", _types(data), _policy(data, None)))


async def unsubscribe(call: Call) -> Answer:
    """Be told nothing any more."""
    require_push(call)
    await _ask(call, "unsubscribe")
    return answer({})


async def _ask(call: Call, op: str, *args: Any) -> Any:
    return await call.services.ask_account(call.viewer, op, parse_token(call.token).secret_hash, *args)


def _shown(call: Call, row: list[Any]) -> Answer:
    subscription_id, endpoint, types, policy, standard = row
    alerts = {name: bool(types & _BITS.get(name, 0)) for name in ALERTS}
    key = vapid_of(call.services.outgoing_keys.vapid).public_key
    return answer(
        {
            "id": str(subscription_id), "endpoint": endpoint, "standard": standard, "alerts": alerts,
            "policy": POLICIES[policy], "server_key": key,
        }
    )  # fmt: skip


def _types(data: Params) -> int:
    alerts = data.inside("alerts")
    return sum(bit for name, bit in _BITS.items() if alerts.flag(name))


def _policy(data: Params, default: int | None) -> int | None:
    policy = data.text("policy")
    if not policy:
        return default
    if policy not in POLICIES:
        raise InvalidError(f"policy must be one of {', '.join(POLICIES)}, not {shown(policy)}", "data[policy]")
    return POLICIES.index(policy)


def _endpoint(text: str, networks: tuple[str, ...]) -> str:
    schemes = ("https", "http") if networks else ("https",)
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        is_good = parts.scheme in schemes and bool(host) and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a broken IPv6 host, or a port that is none
        host, is_good = "", False
    plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if is_good and _is_address(host):
        is_good = Reach(networks, parts.scheme == "http").may_reach(host)
    if not is_good or not plain or len(text) > WEBHOOK_URL_BYTES_MAX:
        raise InvalidError(
            f"endpoint must be a public address such as https://push.example/abc, not {shown(text)}",
            "subscription[endpoint]",
        )
    return text


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _decoded(text: str, size: int, name: str) -> bytes:
    plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(text) > _KEY_CHARS_MAX or len(data) != size:
        raise InvalidError(f"{name} must be {size} bytes in base 64, not {shown(text)}", f"subscription[keys][{name}]")
    return data


def _is_on_curve(key: bytes) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        return False
    return True


OPERATIONS: Final = (
    Operation("GET", "/api/v1/push/subscription", "push", "WebPushSubscription", read_subscription),
    Operation("POST", "/api/v1/push/subscription", "push", "WebPushSubscription", subscribe),
    Operation("PUT", "/api/v1/push/subscription", "push", "WebPushSubscription", change_subscription),
    Operation("DELETE", "/api/v1/push/subscription", "push", "", unsubscribe),
)
