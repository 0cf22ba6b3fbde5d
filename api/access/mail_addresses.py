"""E-mail addresses by which people sign in: what is one, and whose it is.

Rules of this file
- An address is compared without regard to case, and leaves the worker as SHA-256 only.
- It is somebody's as long as the account is there: one that was deleted has it no more.

Cost: one lane request to find an account, two where somebody claims an address.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from actors.core.errors import NotFoundError
from actors.core.features.addresses import FROM_LEVEL, thing_of_address
from actors.core.ids import bucket_of_thing

if TYPE_CHECKING:  # the commands want hashes only, and all of an API worker takes 0.4 s of the processor to import
    from api.services import Services

CHARS_MAX: Final = 254  # RFC 5321, 4.5.3.1, with its erratum 1690
_LOCAL: Final = re.compile(r"[^\s@<>\"(),:;\\]{1,64}")
_HOST: Final = re.compile(r"[^\s@<>\"(),:;\\]{1,253}")


def is_address(text: str) -> bool:
    """Whether a text has the form of an address. Cost: linear."""
    local, at, host = text.rpartition("@")
    if not at or len(text) > CHARS_MAX or not _LOCAL.fullmatch(local) or not _HOST.fullmatch(host):
        return False
    return all(host.split("."))


def hash_of_address(address: str) -> bytes:
    """Return what is kept of an address, whatever its case."""
    return hashlib.sha256(address.lower().encode(errors="surrogatepass")).digest()


async def account_of_address(services: Services, address: str) -> int:
    """Return whose an address is or was, 0 for nobody's. Whether that account is there still is to be asked."""
    if services.cluster.level < FROM_LEVEL or not is_address(address):
        return 0
    thing_id = thing_of_address(hash_of_address(address))
    return int(await services.ask_bucket(bucket_of_thing(thing_id), "address", [thing_id]))


async def former_owner(services: Services, address: str) -> int | None:
    """Return who had an address and is gone, 0 if nobody had it; None while it is somebody's."""
    account_id = await account_of_address(services, address)
    if account_id:
        try:
            await services.ask_account(account_id, "account")
        except NotFoundError:
            return account_id
        return None
    return 0


async def claim_address(services: Services, address: str, account_id: int, gone: int) -> None:
    """Have an address be an account's. gone: its former owner. Raises ConflictError where it is another's."""
    if services.cluster.level < FROM_LEVEL:
        return
    address_hash = hash_of_address(address)
    thing_id = thing_of_address(address_hash)
    args = [thing_id, address_hash, account_id, gone]
    await services.ask_bucket(bucket_of_thing(thing_id), "claim_address", args)
