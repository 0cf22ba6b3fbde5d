"""Home timelines through both APIs are the same tweets, page by page, whoever reads."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

NEXT = re.compile(r'<([^>]+)>; rel="next"')


@pytest.fixture
def people(new_person: Any) -> list[Any]:
    """Six accounts on two shards that follow each other, write, answer, repost and delete."""
    people, dice, said = [new_person("reader") for _ in range(6)], random.Random(7), []
    for person in people:
        for other in dice.sample([each for each in people if each is not person], 3):
            reply = person.http.post(f"/{person.id}/follow/{other.id}")
            assert reply.status_code in (200, 201), reply.text
    for n in range(60):
        person = dice.choice(people)
        match dice.randrange(6):
            case 0 if said:
                person.http.post(f"/api/v1/tweet/{dice.choice(said)[1]}/repost", json={"user_id": person.id})
            case 1 if said:
                author, tweet = said.pop(dice.randrange(len(said)))
                assert author.http.delete(f"/api/v1/tweet/{tweet}").status_code == 200
            case 2 if said:
                said.append((person, person.says(f"answer {n}", in_reply_to=dice.choice(said)[1])))
            case _:
                said.append((person, person.says(f"says {n}")))
    return people


def pages(person: Any, limit: int) -> list[dict[str, Any]]:
    """Follow the Links of a home timeline to its end."""
    found, address = [], f"/api/v1/timelines/home?limit={limit}"
    while address:
        reply = person.http.get(address)
        assert reply.status_code == 200, reply.text
        assert len(reply.json()) <= limit
        found += reply.json()
        link = NEXT.search(reply.headers.get("link", ""))
        address = link[1] if link else ""
    return found


def test_homes_are_the_same_through_both(people):
    for person in people:
        native = person.http.get("/api/v1/home_timeline", params={"user_id": person.id, "count": 100}).json()
        statuses = pages(person, 7)
        assert native
        assert [status["id"] for status in statuses] == [tweet["tweet_id"] for tweet in native]
        assert [status["account"]["id"] for status in statuses] == [tweet["user_id"] for tweet in native]
        assert [s["reblog"] and s["reblog"]["id"] for s in statuses] == [
            (tweet.get("repost_of") or {}).get("tweet_id") for tweet in native
        ]
