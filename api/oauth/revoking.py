"""Ending a token that a client doesn't need any more (RFC 7009): its own only, and everywhere at once."""

from __future__ import annotations

from actors.core.errors import UnauthorizedError
from actors.core.ids import bucket_of_thing
from api.access.auth import parse_app_token, parse_token
from api.http.caching import PRIVATE
from api.mastodon.call import Answer, Call
from api.mastodon.errors import OAuthError
from api.oauth.clients import proven_client
from api.oauth.grants import required


async def revoke(call: Call) -> Answer:
    """End a token of the client's. One that has ended, or never was, is as good as revoked."""
    try:
        client = await proven_client(call)
    except OAuthError as error:
        raise _foreign() if error.status == 401 else error from error
    token = required(call, "token")
    services = call.services
    try:
        grant = await services.auth.grant(token)
    except UnauthorizedError:
        return _DONE
    if grant.app_id != client.app_id:
        raise _foreign()
    app_token = parse_app_token(token)
    if app_token is not None:
        await services.ask_bucket(bucket_of_thing(client.app_id), "end_app_token", [*app_token])
        services.auth.drop_token(*app_token)
        return _DONE
    secret_hash = parse_token(token).secret_hash
    await services.ask_account(grant.account_id, "revoke_token", secret_hash)
    services.auth.drop_token(grant.account_id, secret_hash)
    return _DONE


def _foreign() -> OAuthError:
    """Return the refusal of a client that can't be the token's, whoever it is: as Mastodon words it."""
    return OAuthError("unauthorized_client", "You are not authorized to revoke this token", 403)


_DONE = Answer(b"{}", headers=(PRIVATE,))
