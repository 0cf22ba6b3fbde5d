"""How other programs find out what runs here, and whose a name is; pictures for who has none; alive?"""

from __future__ import annotations

import struct
import zlib
from typing import Final
from urllib.parse import urlsplit

import orjson

from actors.core.errors import MalformedError, NotFoundError
from actors.core.renderers.html import profile_url
from actors.core.renderers.mastodon import MISSING_AVATAR, MISSING_HEADER
from api.generated_avatar import avatar_of
from api.limits import USERNAME_CHARS_MAX
from api.links import host_of
from api.mastodon.accounts import account_of, id_of_name
from api.mastodon.call import Answer, Call, answer
from api.mastodon.operations.instance import picture, usage_of
from api.mastodon.table import Caller, Operation
from api.mastodon.version import VERSION
from api.params import shown

_NODEINFO: Final = "/nodeinfo/2.0"
_SCHEMA: Final = "http://nodeinfo.diaspora.software/ns/schema/2.0"
_JRD: Final = (b"content-type", b"application/jrd+json; charset=utf-8")
_KEPT: Final = ((b"cache-control", b"public, max-age=86400"),)


async def nodeinfo_links(call: Call) -> Answer:
    """Where `nodeinfo` is."""
    return answer({"links": [{"rel": _SCHEMA, "href": call.origin + _NODEINFO}]})


async def nodeinfo(call: Call) -> Answer:
    """What runs here, for counts of servers. No protocol is named, as there is no federation."""
    usage, settings = await usage_of(call), call.services.settings
    return answer({
        "version": "2.0", "software": {"name": "rookery", "version": VERSION}, "protocols": [],
        "services": {"inbound": [], "outbound": []}, "openRegistrations": settings.registrations != "closed",
        "usage": {
            "users": {"total": usage.accounts, "activeMonth": usage.month, "activeHalfyear": usage.half_year},
            "localPosts": usage.statuses,
        },
        "metadata": {"nodeName": settings.instance.title, "nodeDescription": settings.instance.description},
    })  # fmt: skip


async def webfinger(call: Call) -> Answer:
    """Whose a name is: an account of this very server, by `acct:NAME@HOST` or the address of its profile."""
    origin, resource = call.origin, call.params.text("resource")
    if not resource:
        raise MalformedError("resource is required, such as acct:ada@rookery.example", "resource")
    account_id = await id_of_name(call.services, _name_in(resource, host_of(origin)))
    username = orjson.loads(await account_of(call.services, account_id, 0))["username"]
    profile = profile_url(origin, username)
    found = {
        "subject": f"acct:{username}@{host_of(origin)}", "aliases": [profile],
        "links": [{"rel": "http://webfinger.net/rel/profile-page", "type": "text/html", "href": profile}],
    }  # fmt: skip
    return Answer(orjson.dumps(found), kind=_JRD)


def _name_in(resource: str, host: str) -> str:
    """Return the user name in a resource of this host. Raises NotFoundError."""
    scheme, _, rest = resource.partition(":")
    if scheme == "acct":
        name, _, domain = rest.removeprefix("@").partition("@")
    elif scheme in ("http", "https"):
        try:
            parts = urlsplit(resource)
        except ValueError:  # urlsplit's word for a broken IPv6 host
            raise NotFoundError(f"{shown(resource)} is nobody's address", "resource") from None
        name, domain = parts.path.removeprefix("/@"), parts.netloc
    else:
        name, _, domain = resource.removeprefix("@").partition("@")
    if domain.lower() not in (host.lower(), host.lower().rpartition(":")[0] or host.lower()):
        raise NotFoundError(f"{shown(resource)} is not of this server", "resource")
    return name


async def health(call: Call) -> Answer:
    """This worker answers; `/readyz` says what is served."""
    return Answer(b"OK", kind=(b"content-type", b"text/plain; charset=utf-8"))


def plain_png(width: int, height: int, grey: int) -> bytes:
    """Return a picture of one shade of grey, 0..255."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\x00" + bytes([grey]) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


_AVATAR: Final = plain_png(120, 120, 0x99)
_HEADER: Final = plain_png(600, 200, 0xBB)


async def missing_avatar(call: Call) -> Answer:
    """The picture of who has none."""
    return Answer(_AVATAR, headers=_KEPT, kind=picture(b"image/png"))


async def generated_avatar(call: Call) -> Answer:
    """The picture of an account by its name, `ada.png`, that it has until it brings one; always the same."""
    name, dot, end = call.name("name").rpartition(".")
    if not dot or end != "png" or len(name) > USERNAME_CHARS_MAX:
        raise NotFoundError("pictures are named after accounts, such as ada.png", "name")
    return Answer(avatar_of(name), headers=_KEPT, kind=picture(b"image/png"))


async def missing_header(call: Call) -> Answer:
    """The picture above the profile of who has none."""
    return Answer(_HEADER, headers=_KEPT, kind=picture(b"image/png"))


OPERATIONS: Final = (
    Operation("GET", "/.well-known/nodeinfo", "", "NodeinfoLinks", nodeinfo_links),
    Operation("GET", _NODEINFO, "", "Nodeinfo", nodeinfo),
    Operation("GET", "/.well-known/webfinger", "", "Webfinger", webfinger),
    Operation("GET", "/health", "", "Text", health),
    Operation("GET", MISSING_AVATAR, "", "Picture", missing_avatar),
    Operation("GET", MISSING_HEADER, "", "Picture", missing_header),
    Operation("GET", "/avatars/{name}", "", "Picture", generated_avatar, Caller.CLIENT),
)
