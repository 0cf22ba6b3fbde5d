"""DeathStarBench's social network, made up: a follow graph of socfb-Reed98's size and shape, posts, the published mix.

Rules of this file
- Users are 0 .. users-1 and called username_N, as that benchmark's init script registers them.
- A function of the seed: both contestants get the same bytes in the same order.
- Bodies are written as the published Lua scripts write them: forms without percent-encoding, with 1 to 6 mentions,
  1 to 6 links and 1 to 5 media (their loops run once more than they draw).
"""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Iterator

import numpy as np

from bench.dataset import Ints
from bench.load_generator import get_request, post_request

REED98_USERS, REED98_EDGES = 962, 18_812
DEGREE_SIGMA = 0.7  # of the lognormal weights: the most followed has about eight times the mean, as in socfb-Reed98
HOME_PATH, OWN_PATH = "/wrk2-api/home-timeline/read", "/wrk2-api/user-timeline/read"
COMPOSE_PATH = "/wrk2-api/post/compose"
HOME_SHARE, OWN_SHARE = 0.6, 0.3  # the rest are posts
START_MAX, PAGE_COUNT = 100, 10
FORM = "application/x-www-form-urlencoded"
LETTERS = string.ascii_letters + string.digits


def make_friends(users: int = REED98_USERS, edges: int = REED98_EDGES, seed: int = 1) -> tuple[Ints, Ints]:
    """Return (a, b) of so many friendships, a < b, each once: heavy-tailed, and everybody has at least one.

    edges: at most a quarter of all pairs, so that drawing comes to an end.
    """
    if not users <= edges <= users * (users - 1) // 8:
        raise ValueError(f"{users} users have {users} to {users * (users - 1) // 8} friendships here, not {edges}")
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0.0, DEGREE_SIGMA, users)
    weights /= weights.sum()
    first = np.arange(users, dtype=np.int64)
    pairs = _distinct(first, (first + rng.integers(1, users, users)) % users, users)
    while len(pairs) < edges:
        drawn = rng.choice(users, (2, edges), p=weights)
        more = _distinct(drawn[0], drawn[1], users)
        more = rng.permutation(np.setdiff1d(more, pairs))[: edges - len(pairs)]
        pairs = np.concatenate([pairs, more])
    return pairs // users, pairs % users


def _distinct(a: Ints, b: Ints, users: int) -> Ints:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.unique((low * users + high)[low != high])


def make_posting(rng: random.Random, author: int, users: int) -> dict[str, str]:
    """Return the form of one post."""
    words = ["".join(rng.choices(LETTERS, k=256))]
    words += [f"@username_{rng.choice([u for u in (rng.randrange(users), (author + 1) % users) if u != author])}"
              for _ in range(rng.randint(1, 6))]  # fmt: skip
    words += ["http://" + "".join(rng.choices(LETTERS, k=64)) for _ in range(rng.randint(1, 6))]
    media = ["".join(rng.choices(string.digits[1:], k=18)) for _ in range(rng.randint(1, 5))]
    return {
        "username": f"username_{author}", "user_id": str(author), "text": " ".join(words),
        "media_ids": "[" + ",".join(f'"{m}"' for m in media) + "]",
        "media_types": "[" + ",".join('"png"' for _ in media) + "]", "post_type": "0",
    }  # fmt: skip


def make_postings(users: int, seed: int = 2) -> Iterator[dict[str, str]]:
    """Yield the posts that there are before anything is measured: 0 to 20 of each user, ten on average, shuffled."""
    rng = random.Random(seed)
    authors = [user for user in range(users) for _ in range(rng.randint(0, 20))]
    rng.shuffle(authors)
    for author in authors:
        yield make_posting(rng, author, users)


def make_mix(users: int, count: int, seed: int = 3) -> list[bytes]:
    """Return requests as they go over the wire: 60 % home reads, 30 % reads of one's own posts, 10 % posts."""
    rng = random.Random(seed)
    requests = []
    for _ in range(count):
        coin, user = rng.random(), rng.randrange(users)
        if coin < HOME_SHARE + OWN_SHARE:
            start = rng.randint(0, START_MAX)
            path = HOME_PATH if coin < HOME_SHARE else OWN_PATH
            requests.append(get_request(f"{path}?user_id={user}&start={start}&stop={start + PAGE_COUNT}"))
        else:
            form = "&".join(f"{name}={value}" for name, value in make_posting(rng, user, users).items())
            requests.append(post_request(COMPOSE_PATH, form.encode(), kind=FORM))
    return requests


def degrees(a: Ints, b: Ints) -> Counter[int]:
    """Return user -> number of friends."""
    return Counter(a.tolist()) + Counter(b.tolist())
