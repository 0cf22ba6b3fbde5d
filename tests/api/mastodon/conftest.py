"""What tests of Mastodon's API share: two accounts of a live server, each with a client that sends its token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.mastodon.call import Call
from api.services import Services
from tests.api.conftest import PASSWORD, LiveServer, account_numbers, open_http
from tests.api.mastodon.schemas import init_noted, send_and_check


@dataclass
class Person:
    """An account as its client sees it. Requests are asserted to be answered 200, and answers are JSON."""

    id: str
    username: str
    token: str
    http: httpx.Client

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(self.http.get(path, params=query))

    def post(self, path: str, **body: Any) -> Any:
        return self._answer(self.http.post(path, json=body))

    def put(self, path: str, **body: Any) -> Any:
        return self._answer(self.http.put(path, json=body))

    def patch(self, path: str, **body: Any) -> Any:
        return self._answer(self.http.patch(path, json=body))

    def delete(self, path: str, **body: Any) -> Any:
        return self._answer(self.http.request("DELETE", path, json=body))

    def says(self, text: str, **more: Any) -> str:
        """Post a status through the native API; returns its id."""
        reply = self.http.post("/api/v1/tweet", json={"user_id": self.id, "status": text, **more})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["tweet_id"])

    @staticmethod
    def _answer(reply: httpx.Response) -> Any:
        assert reply.status_code == 200, f"{reply.status_code}: {reply.text}"
        return reply.json()


@pytest.fixture(scope="module", autouse=True)
def described() -> Iterator[None]:
    """Every answer is what the description says, and nothing is read of which it says nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", send_and_check)
        patch.setattr(Call, "__init__", init_noted)
        patch.setattr(Services, "wall_ms", lambda _: 0)  # tokens are given by the time of the simulation
        yield


@pytest.fixture
def new_person(server: LiveServer) -> Iterator[Any]:
    clients: list[httpx.Client] = []

    def make(prefix: str = "user") -> Person:
        client = open_http(server.base_url)
        clients.append(client)
        name = f"{prefix}_{next(account_numbers)}"
        reply = client.post("/api/v1/users", json={"username": name, "password": PASSWORD}).json()
        client.headers["authorization"] = f"Bearer {reply['auth_token']}"
        return Person(reply["user_id"], name, reply["auth_token"], client)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def ada(new_person: Any) -> Person:
    return new_person("ada")


@pytest.fixture
def bob(new_person: Any) -> Person:
    return new_person("bob")


@pytest.fixture
def stranger(server: LiveServer) -> Iterator[httpx.Client]:
    """A client without a token."""
    with open_http(server.base_url) as client:
        yield client
