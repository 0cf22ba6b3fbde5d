"""The paths of DeathStarBench's social network, so that its published wrk2 scripts run unchanged (docs/wrk2-api.md).

Rules of this file
- Off unless `server.wrk2_api` is on, which needs `auth.mode=open`: these paths carry no token, the caller is believed.
- Its user n is our account n + 1, because its ids begin with 0 and ours with 1. The shift is made here and nowhere
  else: `account_of` on the way in, `user_of` on the way out, messages included.
- Paths, parameters and the texts that say "Success" are the benchmark's; its init script looks for them. What is
  refused is answered with our statuses in our error shape.
- Mentions are found by our rule, links by the benchmark's: `http://` and at least one of its characters, without a dot.

Costs: a read is one lane request, to which the shard answers the entries from `start` on; it skips FastAPI like the
home timeline's own path (`hot.py`), but parses the JSON of its entries and makes another of it.

What it deliberately doesn't do: shorten links, keep passwords, keep media types but png or post types but 0; the
scripts send no others, and what can't be kept is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from actors.core.errors import ConflictError, ForbiddenError, InvalidError, MalformedError, NotFoundError
from actors.core.ids import ID_MAX, bucket_of_account, bucket_of_name, ms_of_tweet
from actors.core.limits import MEDIA_COUNT_MAX, PAGE_COUNT_MAX, TEXT_BYTES_MAX
from api import fields, limits
from api.http import body
from api.http.caching import PRIVATE, Headers
from api.http.edge import ThinRead
from api.inputs import Inputs
from api.native.models import ComposeForm, EdgeForm, RegisterForm, Wrk2Post
from api.native.openapi import errors
from api.params import Values, parse_id, parse_query, parse_whole, shown
from api.posting import idempotency_key
from api.services import Services
from api.text.entities import Entities, find_mentions, pack_entities, resolve_names

router = APIRouter(tags=["wrk2"])
_HOME_PATH, _USER_PATH = "/wrk2-api/home-timeline/read", "/wrk2-api/user-timeline/read"
_POLL_S = 0.002  # a message to another shard takes about as long
_URL = re.compile(r"https?://[a-zA-Z0-9_!~*'().&=+$%-]+")
_NAMES = ("first_name", "last_name")
_NAME_CHARS_MAX = (limits.DISPLAY_NAME_CHARS_MAX - 1) // 2  # both and a space make the display name
_MEDIA_TYPE = "png"
_POST, _REPOST, _REPLY, _DIRECT = range(4)  # the benchmark's post types
_JSON = (b"content-type", b"application/json")


def _reads(what: str) -> dict[str, Any]:
    offset = {"type": "integer", "minimum": 0, "maximum": PAGE_COUNT_MAX}
    names = {
        "user_id": ({"type": "string", "pattern": "^[0-9]{1,19}$"}, "Whose"),
        "start": (offset, "The first entry, 0 for the newest"),
        "stop": (offset, "The entry after the last"),
    }
    parameters = [
        {"name": name, "in": "query", "required": True, "schema": schema, "description": text}
        for name, (schema, text) in names.items()
    ]
    extra = {"parameters": parameters}
    return {"response_model": list[Wrk2Post], "summary": what, "responses": errors(), "openapi_extra": extra}


def _writes(what: str, model: type[BaseModel], *statuses: int) -> dict[str, Any]:
    schema, kinds = model.model_json_schema(), (body.FORM, body.MULTIPART, body.JSON)
    answers = errors(*statuses, body=True)
    answers[200] = {"description": "Done, and durable", "content": {"text/plain": {"schema": {"type": "string"}}}}
    extra = {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}}
    return {"response_class": Response, "summary": what, "responses": answers, "openapi_extra": extra}


# ---- values -----------------------------------------------------------------------------------------------------


def account_of(value: Any, field: str) -> int:
    """Return our account of a user id of the benchmark's, 0..2**63-2. Raises MalformedError or InvalidError."""
    user_id = parse_id(value, field, least=0)
    if user_id == ID_MAX:
        raise InvalidError(f"{field} must be from 0 to {ID_MAX - 1}, not {shown(value)}", field)
    return user_id + 1


def user_of(account_id: int | str) -> str:
    """Return the benchmark's user id of an account of ours."""
    return str(int(account_id) - 1)


def _given(values: Values, field: str) -> Any:
    """Return a value that must be there; empty is as good as absent, as in the benchmark."""
    value = values.get(field)
    if value is None or value == "":
        raise InvalidError(f"{field} is required", field)
    return value


def _offset(values: Values, field: str) -> int:
    return parse_whole(_given(values, field), field, 0, PAGE_COUNT_MAX)


def _json_list(values: Values, field: str) -> list[Any]:
    value = values[field]
    try:
        items = orjson.loads(value)
    except (orjson.JSONDecodeError, TypeError) as error:
        items = error
    if not isinstance(items, list):
        raise MalformedError(f'{field} must be a JSON list as text, such as ["1","2"], not {shown(value)}', field)
    return items


def _media_ids(values: Values) -> list[int]:
    """Return the media of a post; none unless both lists are given, as in the benchmark."""
    if not values.get("media_ids") or not values.get("media_types"):
        return []
    ids, types = _json_list(values, "media_ids"), _json_list(values, "media_types")
    if len(ids) > MEDIA_COUNT_MAX:
        raise InvalidError(f"media_ids may have {MEDIA_COUNT_MAX} ids, not {len(ids)}", "media_ids")
    if len(types) != len(ids):
        raise InvalidError(f"media_types must have {len(ids)} items, as media_ids, not {len(types)}", "media_types")
    for kind in types:
        if kind != _MEDIA_TYPE:
            raise InvalidError(f"media_types may have {_MEDIA_TYPE} only, not {shown(kind)}", "media_types")
    return [fields.clean_medium(item) for item in ids]


def _name_field(values: Values, field: str) -> str:
    """Return a user name that must be there. Raises InvalidError when no account could have it."""
    value = _given(values, field)
    if not isinstance(value, str) or not fields.is_username(value):
        allowed = f"1 to {limits.USERNAME_CHARS_MAX} of the characters A-Z a-z 0-9 _"
        raise InvalidError(f"{field} must have {allowed}, not {shown(value)}", field)
    return value


# ---- reads ------------------------------------------------------------------------------------------------------


def post_of(tweet: dict[str, Any]) -> dict[str, Any]:
    """Return a tweet of ours, parsed, in the benchmark's shape. A repost shows what it reposts."""
    original = tweet.get("repost_of")
    what = original or tweet
    entities = what["entities"]
    kind = _REPOST if original else _REPLY if tweet["in_reply_to"] else _POST
    if tweet["visibility"] == "direct":
        kind = _DIRECT
    return {
        "post_id": tweet["tweet_id"],
        "creator": {"user_id": user_of(tweet["user_id"]), "username": tweet["username"]},
        "text": what["status"],
        "user_mentions": [{"user_id": user_of(m["user_id"]), "username": m["username"]} for m in entities["mentions"]],
        "media": [{"media_id": m["media_id"], "media_type": _MEDIA_TYPE} for m in what["media"]],
        "urls": [{"shortened_url": u["url"], "expanded_url": u["url"]} for u in entities["urls"]],
        "timestamp": str(ms_of_tweet(int(tweet["tweet_id"]))),
        "post_type": kind,
    }


async def _read(services: Services, scope: MutableMapping[str, Any], op: str, *viewer: int) -> tuple[Headers, bytes]:
    """Return headers and JSON of entries start..stop-1 of a timeline; none of a user that isn't there."""
    query = parse_query(scope["query_string"])
    account_id = await services.auth.actor(None, account_of(_given(query, "user_id"), "user_id"))
    services.limiter.check_account(account_id, False)
    start, stop = _offset(query, "start"), _offset(query, "stop")
    tweets: list[dict[str, Any]] = []
    if start < stop:
        try:
            reply = await services.ask_account(account_id, op, *viewer, 0, 0, 0, stop, start)
        except NotFoundError:  # the benchmark's scripts ask for users that its init script doesn't register
            reply = [b"[]"]
        tweets = orjson.loads(reply[0])
    answer = orjson.dumps([post_of(tweet) for tweet in tweets])
    return [_JSON, (b"content-length", b"%d" % len(answer)), PRIVATE], answer


async def read_home_timeline(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of a part of a home timeline. Raises a RookeryError for every refusal."""
    return await _read(services, scope, "home")


async def read_user_timeline(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of a part of a user's own posts. Raises a RookeryError for every refusal."""
    return await _read(services, scope, "user_timeline", 0)


THIN_READS: dict[str, ThinRead] = {_HOME_PATH: read_home_timeline, _USER_PATH: read_user_timeline}


async def _thin(request: Request) -> Response:
    headers, answer = await THIN_READS[request.scope["path"]](request.app.state.services, request.scope)
    response = Response(answer)
    response.raw_headers = headers
    return response


@router.get(_HOME_PATH, **_reads("Home timeline, by offsets"))
async def wrk2_home_timeline(request: Request) -> Response:
    """The posts of a user and of those that the user follows, newest first, from `start` to before `stop`."""
    return await _thin(request)


@router.get(_USER_PATH, **_reads("A user's own posts, by offsets"))
async def wrk2_user_timeline(request: Request) -> Response:
    """The posts of a user, newest first, from `start` to before `stop`."""
    return await _thin(request)


# ---- writes -----------------------------------------------------------------------------------------------------


async def _actor(services: Services, account_id: int) -> int:
    """Let an account write: believed, within its rate."""
    account_id = await services.auth.actor(None, account_id)
    services.limiter.check_account(account_id, True)
    return account_id


async def _ask(services: Services, account_id: int, field: str, op: str, *args: Any) -> Any:
    """Ask an account's shard; what isn't there is named by the benchmark's id."""
    try:
        return await services.ask_account(account_id, op, *args)
    except NotFoundError as error:
        raise NotFoundError(f"user {user_of(account_id)} does not exist; register it first", field) from error


@router.post("/wrk2-api/post/compose", **_writes("Write a post", ComposeForm, 404))
async def wrk2_compose(request: Request) -> Response:
    """Write a post. It is durable when the answer comes."""
    inputs = await Inputs.read(request)
    services, values = inputs.services, inputs.body
    author_id = await _actor(services, account_of(_given(values, "user_id"), "user_id"))
    username = _name_field(values, "username")
    text = fields.clean_text(_given(values, "text"), "text", TEXT_BYTES_MAX, chars_min=1, lines=True)
    if str(_given(values, "post_type")) != str(_POST):
        raise InvalidError(f"post_type must be {_POST}, not {shown(values['post_type'])}", "post_type")
    media_ids = _media_ids(values)
    found = Entities(find_mentions(text), [], [(m.group(), m.start(), m.end()) for m in _URL.finditer(text)])
    names = list(dict.fromkeys(name.lower() for name, _, _ in found.mentions))
    if len(names) > limits.MENTION_COUNT_MAX:
        raise InvalidError(f"text may mention {limits.MENTION_COUNT_MAX} accounts, not {len(names)}", "text")
    ids = await resolve_names(services.cluster, [username, *names], services.settings.request_timeout_s)
    if ids.get(username.lower()) != author_id:
        await _ask(services, author_id, "user_id", "account")
        raise InvalidError(f"username must be that of user {user_of(author_id)}, not {shown(username)}", "username")
    mention_ids = list(dict.fromkeys(ids[name] for name in names if name in ids))
    key = idempotency_key(request.headers.get("idempotency-key"), author_id)
    args = [text, fields.VISIBILITIES["public"], 0, 0, pack_entities(found, ids), media_ids, mention_ids, key]
    await _ask(services, author_id, "user_id", "post", *args)
    return PlainTextResponse("Successfully upload post\n")


@router.post("/wrk2-api/user/register", **_writes("Register a user under an id of its own", RegisterForm, 409))
async def wrk2_register(request: Request) -> Response:
    """Make a user with an id and a name that are both free. It can be followed when the answer comes."""
    inputs = await Inputs.read(request)
    services, values = inputs.services, inputs.body
    services.limiter.check_register(request.scope)
    account_id = await services.auth.actor(None, account_of(_given(values, "user_id"), "user_id"))
    username = _name_field(values, "username")
    display_name = " ".join(
        fields.clean_text(_given(values, field), field, _NAME_CHARS_MAX, chars_min=1) for field in _NAMES
    )
    fields.new_password(_given(values, "password"), bytes_min=1)
    taken = ConflictError(f"the user name {username} is taken; choose another", "username")
    (holder,) = await services.ask_bucket(bucket_of_name(username), "names", [[username]])
    if holder:
        raise taken
    if await _name_of(services, account_id):
        raise ConflictError(f"user {user_of(account_id)} exists already; choose another id", "user_id")
    row = [username, account_id, display_name, "", None, []]
    if await services.ask_bucket(bucket_of_name(username), "register", row) != account_id:
        raise taken
    if await _settled_name(services, account_id) != username:  # somebody else was faster
        raise ConflictError(f"user {user_of(account_id)} exists already; choose another id", "user_id")
    return PlainTextResponse("Success!\n")


async def _settled_name(services: Services, account_id: int) -> str:
    """Wait for an account, which a message makes when its shard is not its name's; return its user name."""
    while True:
        name = await _name_of(services, account_id)
        if name:
            return name
        await asyncio.sleep(_POLL_S)


async def _name_of(services: Services, account_id: int) -> str:
    """Return the user name of an account, empty if there is none."""
    try:
        _, username, _ = await services.ask_bucket(bucket_of_account(account_id), "account", [account_id])
    except NotFoundError:
        return ""
    return str(username)


@router.post("/wrk2-api/user/follow", **_writes("Follow", EdgeForm, 403, 404))
async def wrk2_follow(request: Request) -> Response:
    """Follow a user. Doing it again changes nothing."""
    return await _change_follow(request, "follow")


@router.post("/wrk2-api/user/unfollow", **_writes("Unfollow", EdgeForm, 404))
async def wrk2_unfollow(request: Request) -> Response:
    """Stop following a user. Doing it again changes nothing."""
    return await _change_follow(request, "unfollow")


async def _change_follow(request: Request, op: str) -> Response:
    inputs = await Inputs.read(request)
    services = inputs.services
    (field, account_id), (target_field, target_id) = await _both(services, inputs.body)
    await _actor(services, account_id)
    if account_id == target_id:
        raise InvalidError(f"user {user_of(account_id)} can't {op} itself", target_field)
    await _ask(services, target_id, target_field, "account")
    try:
        await _ask(services, account_id, field, op, target_id)
    except ForbiddenError as error:
        pair = f"{user_of(account_id)} and {user_of(target_id)}"
        raise ForbiddenError(f"one of the users {pair} blocks the other", target_field) from error
    return PlainTextResponse("Success!\n")


async def _both(services: Services, values: Values) -> list[tuple[str, int]]:
    """Return (field, account) of who acts and of whom it concerns: by ids if both are given, else by names."""
    if values.get("user_id") not in (None, "") and values.get("followee_id") not in (None, ""):
        return [(field, account_of(values[field], field)) for field in ("user_id", "followee_id")]
    names = [(field, _name_field(values, field)) for field in ("user_name", "followee_name")]
    ids = await resolve_names(services.cluster, [name for _, name in names], services.settings.request_timeout_s)
    for field, name in names:
        if name.lower() not in ids:
            raise NotFoundError(f"there is no user {name}; register it first", field)
    return [(field, ids[name.lower()]) for field, name in names]
