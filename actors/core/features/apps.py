"""Apps: clients that sign people in (OAuth), each a thing of its own that says what it is and may.

    create_app --> the document that founds the app --(use_app, once a day)--> last_used_day --(30 days on)--> gone

Rules of this file
- An app's id follows from its client id (`ids.thing_of_name`), so whoever is shown a client id knows where the app is.
- Its secret is kept as a hash. Nobody but API workers asks for it; whether a secret is right, they compare.
- Making it again with the same facts finds it; with others it is a conflict: an app doesn't change.
- An app that was used by nobody for APP_UNUSED_DAYS falls due. Uses are told by API workers, at most once a day.
  Tokens that it has made go on: they belong to accounts (`logins.py`).
- How many there may be bounds `limits.papers_bytes_per_shard_max`, and how fast they come the API's rate limits.

Cost: 250 bytes each as a rule, 10 KB at most; 15 us to make one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import ConflictError, InvalidError, MovedError
from actors.core.stores.papers import pack_document
from actors.core.terms import THINGS_FROM_LEVEL, Feature, Key, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


class App(NamedTuple):
    """The document of an app: its first facts in this order, for ever; later versions may add some at the end.

    secret_hash: SHA-256 of the secret; scopes: the most that it may ask for (`scopes.py`); at_ms: when it was made;
    last_used_day: of the last use that was told, in days since 1970.
    """

    client_id: str
    secret_hash: bytes
    name: str
    website: str
    redirect_uris: list[str]
    scopes: int
    at_ms: int
    last_used_day: int


def read_app(document: Any) -> App:
    """Return what a document says, whichever version wrote it."""
    app = App(*document[: len(App._fields)])
    return app._replace(redirect_uris=list(app.redirect_uris))


def due_ms_of(document: Any) -> int:
    """Return when an app that isn't used any more goes, Unix ms: after so many whole days."""
    return (read_app(document).last_used_day + 1 + limits.APP_UNUSED_DAYS) * limits.DAY_MS


def check_app(document: Any) -> None:
    """Refuse what is no app. Raises RookeryError."""
    app = read_app(document)
    if type(document[App._fields.index("redirect_uris")]) not in (list, tuple):
        raise InvalidError("redirect URIs are a list", "redirect_uris")
    client_id = arguments.text(app.client_id, limits.APP_CLIENT_ID_BYTES_MAX, "client_id")
    arguments.secret(app.secret_hash)
    arguments.text(app.name, limits.APP_NAME_BYTES_MAX, "client_name")
    arguments.text(app.website, limits.APP_URL_BYTES_MAX, "website")
    arguments.listed(app.redirect_uris, limits.APP_REDIRECT_URIS_MAX, "redirect_uris")
    for uri in app.redirect_uris:
        if not arguments.text(uri, limits.APP_URL_BYTES_MAX, "redirect_uris"):
            raise InvalidError("a redirect URI must not be empty", "redirect_uris")
    for value, field in ((client_id, "client_id"), (app.name, "client_name"), (app.redirect_uris, "redirect_uris")):
        if not value:
            raise InvalidError(f"an app must have a {field}", field)
    arguments.scope_mask(app.scopes)
    arguments.whole(app.at_ms, 0, ids.ID_MAX, "at_ms")
    arguments.whole(app.last_used_day, 0, limits.DAYS_MAX, "last_used_day")


APP: Final = PaperKind(
    12, "app", Owner.THING, 1, check_app, due_ms_of, from_level=THINGS_FROM_LEVEL, founds=True
)  # it falls due, and nothing follows from that


def create_app(state: ShardState, app_id: int, packed: bytes) -> bool:
    """Keep a new app."""
    return state.papers.put_packed(APP, app_id, 0, packed)


def use_app(state: ShardState, app_id: int, day: int) -> bool:
    """Note the day on which an app was used; False if it is gone, or has been used since."""
    document = state.papers.get(APP, app_id)
    place = App._fields.index("last_used_day")
    if document is None or document[place] >= day:
        return False
    return state.papers.put(APP, app_id, 0, [*document[:place], day, *document[place + 1 :]])


def prepare_create_app(
    shard: Lookups, now_ms: int, app_id: int, client_id: str, secret_hash: bytes, name: str, website: str,
    redirect_uris: list[str], scope_mask: int,
) -> Prepared:  # fmt: skip
    """Make an app; the reply is True. app_id: that of the client id.

    Raises InvalidError, TooLargeError; ConflictError where there is an app of that client id with other facts;
    OverloadedError if the shard has no room.
    """
    shard.require_level(APP.from_level)
    app = App(client_id, secret_hash, name, website, redirect_uris, scope_mask, now_ms, now_ms // limits.DAY_MS)
    check_app(list(app))
    if arguments.an_id(app_id, "id") != ids.thing_of_name(client_id):
        raise InvalidError(f"{app_id} is not the id of the app {arguments.shown(client_id)}", "id")
    state = shard.state
    if state.shard_of_thing(app_id) != state.shard:
        raise MovedError(f"app {app_id} is not on shard {state.shard}")
    known = state.papers.get(APP, app_id)
    if known is not None:
        if read_app(known)[:6] != app[:6]:
            raise ConflictError(f"the client id {arguments.shown(client_id)} is taken", "client_id")
        return nothing(True)
    packed = pack_document(list(app))
    state.papers.require_room(APP, app_id, len(packed), True, "client_id")
    return Prepared(["create_app", app_id, packed], lambda _: True)


def prepare_use_app(shard: Lookups, now_ms: int, app_id: int) -> Prepared:
    """Note that an app is in use; the reply is whether that was noted, which is once a day. Raises NotFoundError."""
    day = min(now_ms // limits.DAY_MS, limits.DAYS_MAX)
    if read_app(shard.thing(APP, app_id)).last_used_day >= day:
        return nothing(False)
    return Prepared(["use_app", app_id, day], same)


def answer_app(shard: Lookups, app_id: int) -> list[Any]:
    """What an app is, for API workers alone: the facts of `App`, in its order. Raises NotFoundError."""
    return list(read_app(shard.thing(APP, app_id)))


FEATURE = Feature(
    "apps",
    papers=(APP,),
    writes=(
        Write("create_app", prepare_create_app, Key.THING, keyed=False),
        Write("use_app", prepare_use_app, Key.THING, keyed=False),
    ),
    reads=(Read("app", answer_app, Key.THING, fresh=True),),
    commands={"create_app": create_app, "use_app": use_app},
)
