"""A client that signs people in, as tests see it: an app with its credentials, and requests made by hand."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import httpx

REDIRECT = "https://client.example/callback"
OOB = "urn:ietf:wg:oauth:2.0:oob"
VERIFIER = "a verifier of at least forty-three characters 123".replace(" ", "-")
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass
class OAuthClient:
    """An app that was registered, and how it asks for tokens."""

    http: httpx.Client
    entity: dict[str, Any]
    redirect: str = REDIRECT
    more: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.entity["client_id"])

    @property
    def credentials(self) -> dict[str, str]:
        return {"client_id": self.id, "client_secret": self.entity["client_secret"]}

    def ask(self, grant_type: str, **more: str) -> httpx.Response:
        """Ask for a token as a form; credentials that are given replace the app's own."""
        return self.http.post("/oauth/token", data={**self.credentials, "grant_type": grant_type, **more})

    def token(self, grant_type: str, **more: str) -> str:
        reply = self.ask(grant_type, **more)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["access_token"])

    def get(self, path: str, token: str) -> httpx.Response:
        return self.http.get(path, headers=bearer(token))

    def post(self, path: str, token: str, **body: Any) -> httpx.Response:
        return self.http.post(path, headers=bearer(token), json=body)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def register_client(http: httpx.Client, scopes: str = "read write follow push", **more: Any) -> OAuthClient:
    """Register an app that may be sent back to REDIRECT and OOB."""
    body = {"client_name": "Test client", "redirect_uris": [REDIRECT, OOB], "scopes": scopes, **more}
    reply = http.post("/api/v1/apps", json=body)
    assert reply.status_code == 200, reply.text
    return OAuthClient(http, reply.json())


def refusal(reply: httpx.Response) -> tuple[int, str]:
    """Return the status and the error of RFC 6749's form; there must be a description."""
    body = reply.json()
    assert body["error_description"], body
    return reply.status_code, body["error"]
