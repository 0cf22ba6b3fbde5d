"""Seeded networks to measure with: accounts, a heavy-tailed follow graph, tweets, tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from api.access.auth import make_token
from commands.input_files import Edges, read_edges

Ints = npt.NDArray[np.int64]
FIRST_ACCOUNT_ID = 1_000
POPULARITY_EXPONENT = 0.45  # followers by rank: at 5,000 accounts the most followed has about 15 times the mean
FOLLOWEES_SIGMA = 0.6  # of the lognormal number of followees
WORDS = re.findall(
    r"\w+",
    "the a of to and in is it for on that was with as at this but they from have not you we be are or an can will "
    "timeline shard actor message follower tweet morning coffee train window river music project release weather "
    "city evening friend garden winter summer football theatre kitchen mountain bicycle harbour library question",
)
HIGGS_ACCOUNTS, HIGGS_FOLLOWS = 76_851, 355_074


@dataclass(frozen=True, slots=True)
class Network:
    """followers[i] follows followees[i]; tweets are (author, text) in the order of writing; tokens by account."""

    accounts: Ints
    followers: Ints
    followees: Ints
    tweets: list[tuple[int, str]]
    tokens: dict[int, tuple[str, bytes]]

    def followers_of(self) -> dict[int, list[int]]:
        """Return author -> followers."""
        return _group(self.followees, self.followers)

    def followees_of(self) -> dict[int, list[int]]:
        """Return account -> those it follows."""
        return _group(self.followers, self.followees)


def make_network(
    accounts: int, followees_mean: int, tweets: int, seed: int = 1, first_account: int = FIRST_ACCOUNT_ID
) -> Network:
    """Return a network in which each account follows, and is followed by, so many others on average.

    first_account: the least of the accounts' ids, which follow each other.
    """
    rng = np.random.default_rng(seed)
    ids = np.arange(first_account, first_account + accounts, dtype=np.int64)
    counts = rng.lognormal(np.log(followees_mean) - FOLLOWEES_SIGMA**2 / 2, FOLLOWEES_SIGMA, accounts)
    counts = np.clip(np.rint(counts), 1, accounts // 2).astype(np.int64)
    popularity = (np.arange(1, accounts + 1) ** -POPULARITY_EXPONENT)[rng.permutation(accounts)]
    followers, followees = _draw_edges(rng, counts, popularity)
    authors = ids[rng.integers(0, accounts, tweets)]
    texts = [make_text(rng) for _ in range(tweets)]
    tokens = {account_id: make_token(account_id) for account_id in ids.tolist()}
    return Network(ids, ids[followers], ids[followees], list(zip(authors.tolist(), texts, strict=True)), tokens)


def make_text(rng: np.random.Generator) -> str:
    """Return 60 to 180 characters of words."""
    length = int(rng.integers(60, 180))
    return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), length // 4))[:length].strip()


def load_graph(path: Path | None, scale: float = 1.0, seed: int = 1) -> tuple[str, Ints, Ints]:
    """Return (what it is, followers, followees): a file's, or a synthetic power law of the Higgs Twitter graph's size.

    scale below 1 takes so much of it.
    """
    if path is not None:
        edges = read_edges(path)
        edges = Edges(*(side[: max(1, int(len(side) * scale))] for side in edges))
        return path.name, *edges
    rng = np.random.default_rng(seed)
    accounts, follows = max(10, int(HIGGS_ACCOUNTS * scale)), max(10, int(HIGGS_FOLLOWS * scale))
    weights = np.arange(1, accounts + 1) ** -0.7
    counts = np.bincount(rng.choice(accounts, follows, p=weights / weights.sum()), minlength=accounts)
    followers, followees = _draw_edges(rng, np.minimum(counts, accounts // 2), weights[rng.permutation(accounts)])
    order = rng.permutation(len(followers))
    return "synthetic power law", followers[order] + 1, followees[order] + 1


def heavy_tailed(count: int, mean: float, most: int) -> Ints:
    """Return `count` numbers from 1 to `most` by a power law, descending, with (nearly) that mean. `most` > mean."""
    weights = np.arange(1, count + 1) ** -POPULARITY_EXPONENT
    scale = mean * count / weights.sum()
    for _ in range(20):  # what is cut off above goes to the others
        found = np.clip(weights * scale, 1, most)
        scale *= mean / found.mean()
    whole: Ints = np.rint(found).astype(np.int64)
    return whole


def draw_audience(rng: np.random.Generator, accounts: int, followers: Ints) -> tuple[Ints, Ints]:
    """Draw followers[i] different random accounts (from 0) for each i; returns (i, follower) pairs, grouped by i."""
    drawn = [rng.choice(accounts, size, replace=False, shuffle=False) for size in followers.tolist()]
    return np.repeat(np.arange(len(followers), dtype=np.int64), followers), np.concatenate(drawn)


def _draw_edges(rng: np.random.Generator, counts: Ints, popularity: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Draw counts[i] followees for each i by popularity, without doubles and without oneself."""
    accounts = len(counts)
    rows = np.repeat(np.arange(accounts, dtype=np.int64), (counts * 1.15 + 2).astype(np.int64))
    drawn = rng.choice(accounts, len(rows), p=popularity / popularity.sum())
    keep = drawn != rows
    pairs = np.unique(rows[keep] * accounts + drawn[keep])
    rng.shuffle(pairs)
    pairs = pairs[np.argsort(pairs // accounts, kind="stable")]
    rows, drawn = pairs // accounts, pairs % accounts
    starts = np.searchsorted(rows, rows)
    wanted = np.arange(len(rows)) - starts < counts[rows]
    return rows[wanted], drawn[wanted]


def _group(keys: Ints, values: Ints) -> dict[int, list[int]]:
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    unique, starts = np.unique(keys, return_index=True)
    return {int(k): part.tolist() for k, part in zip(unique, np.split(values, starts[1:]), strict=True)}
