"""E-mail addresses by which people sign in beside their user names: each a thing of its own, that says whose it is.

    claim_address --> the document that founds the address --(claim_address, whose account is gone)--> another's
                                                          `--(release_address)--> nobody's

Rules of this file
- No address is kept, but its hash: the thing's id is made of that, too (`ids.thing_of_name`), so whoever is told an
  address knows where it is. Hashes of addresses can be guessed; they are kept as well as those of passwords.
- An address is one account's until that is gone. Its shard isn't told of that: whoever claims it for another one has
  asked whether the first is there still, and names the one that isn't.
- It lets nobody in without the password, and says nothing of whether its account has confirmed it: that and the address
  itself, where there is mail, are in the account's mailbox (`mailboxes.py`). Who confirms one takes it from whoever has
  only claimed it (`api/access/mail_addresses.py`), and gives the one before free.

Cost: 150 bytes each; 15 us to claim one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids
from actors.core.errors import ConflictError, InvalidError, MovedError
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Key, Owner, PaperKind, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

FROM_LEVEL: Final = 3
HASH_BYTES: Final = 32
_PREFIX: Final = "mail:"  # of the names of such things, so that no app has one


class Address(NamedTuple):
    """The document of an address: its first facts in this order, for ever; later versions may add some at the end.

    address_hash: SHA-256 of the address; account_id: whose it is; at_ms: since when.
    """

    address_hash: bytes
    account_id: int
    at_ms: int


def thing_of_address(address_hash: bytes) -> int:
    """Return the id of the thing that an address is."""
    return ids.thing_of_name(_PREFIX + address_hash.hex())


def read_address(document: Any) -> Address:
    """Return what a document says, whichever version wrote it."""
    return Address(*document[: len(Address._fields)])


def check_address(document: Any) -> None:
    """Refuse what is no address. Raises RookeryError."""
    address = read_address(document)
    arguments.blob(address.address_hash, HASH_BYTES, HASH_BYTES, "address_hash")
    arguments.an_id(address.account_id, "account_id")
    arguments.whole(address.at_ms, 0, ids.ID_MAX, "at_ms")


ADDRESS: Final = PaperKind(15, "address", Owner.THING, 1, check_address, from_level=FROM_LEVEL, founds=True)


def claim_address(state: ShardState, thing_id: int, packed: bytes) -> bool:
    """Have an address be somebody's."""
    return state.papers.put_packed(ADDRESS, thing_id, 0, packed)


def prepare_claim_address(
    shard: Lookups, now_ms: int, thing_id: int, address_hash: bytes, account_id: int, gone: int = 0
) -> Prepared:
    """Have an address be an account's; the reply is True. gone: whose it was, if the caller knows that to be gone.

    Raises ConflictError where it is another's; OverloadedError if the shard has no room.
    """
    shard.require_level(ADDRESS.from_level)
    address = Address(address_hash, account_id, now_ms)
    check_address(list(address))
    arguments.an_id_or_zero(gone, "gone")
    if arguments.an_id(thing_id, "id") != thing_of_address(address_hash):
        raise InvalidError(f"{thing_id} is not the id of that address", "id")
    state = shard.state
    if state.shard_of_thing(thing_id) != state.shard:
        raise MovedError(f"address {thing_id} is not on shard {state.shard}")
    known = state.papers.get(ADDRESS, thing_id)
    if known is not None:
        held = read_address(known).account_id
        if held == account_id:
            return nothing(True)
        if held != gone:
            raise ConflictError("this address is another account's", "email")
    packed = pack_document(list(address))
    state.papers.require_room(ADDRESS, thing_id, len(packed), known is None, "email")
    return Prepared(["claim_address", thing_id, packed], lambda _: True)


def release_address(state: ShardState, thing_id: int) -> bool:
    """Have an address be nobody's."""
    return state.shelves.drop_paper(ADDRESS, thing_id, 0)


def prepare_release_address(shard: Lookups, now_ms: int, thing_id: int, account_id: int) -> Prepared:
    """Have an address be nobody's, if it is that account's; the reply is whether it was."""
    shard.require_level(ADDRESS.from_level)
    arguments.an_id(account_id, "account_id")
    if answer_address(shard, thing_id) != account_id:
        return nothing(False)
    return Prepared(["release_address", thing_id], lambda _: True)


def answer_address(shard: Lookups, thing_id: int) -> int:
    """Whose an address is, by the thing that it is; 0 for nobody's."""
    arguments.an_id(thing_id, "id")
    if shard.state.shard_of_thing(thing_id) != shard.state.shard:
        raise MovedError(f"address {thing_id} is not on shard {shard.state.shard}")
    known = shard.state.papers.get(ADDRESS, thing_id)
    return 0 if known is None else read_address(known).account_id


FEATURE = Feature(
    "addresses",
    papers=(ADDRESS,),
    writes=(
        Write("claim_address", prepare_claim_address, Key.THING, keyed=False),
        Write("release_address", prepare_release_address, Key.THING, keyed=False),
    ),
    reads=(Read("address", answer_address, Key.THING, fresh=True),),
    commands={"claim_address": claim_address, "release_address": release_address},
)
