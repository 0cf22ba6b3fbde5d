"""`write`: POST tweet by random authors at 1, 8 and 32 clients, fan-out 75 on average, durable before the answer.

The peer is measured twice: with its append-only file synced before each answer (`always`, what Rookery promises), and
once a second (`everysec`, which may lose acknowledged tweets).
"""

from __future__ import annotations

import random
from pathlib import Path

import orjson

from bench.contest import WARM_UP_S, ClientPlots, Contest, add_rows, http_contest, ratio_of
from bench.load_generator import Sample, post_request, run_load, write_requests
from bench.machine import busy_percent
from bench.pairs import alternate
from bench.processes import BenchError
from bench.results import Claim, Result
from bench.scenarios import Options, Progress

CLIENTS, CLIENTS_QUICK = (1, 8, 32), (1, 32)  # claims are about the last
ALWAYS, EVERYSEC = "peer, AOF always", "peer, AOF everysec"


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("write", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    with http_contest(options, progress, result) as contest:
        requests, busy, written = _requests(contest, options), [], 0
        before = _tweets(contest)
        plots = ClientPlots.of(result, "Tweets")

        def load(port: int, clients: int, seconds: float) -> Sample:
            sample = run_load(options.generator, port, requests, clients, seconds)
            if sample.errors:
                raise BenchError(f"port {port}: {sample.errors} of {sample.requests} tweets failed")
            return sample

        def rookery(clients: int, seconds: float) -> Sample:
            nonlocal written
            sample = load(contest.rookery.port, clients, seconds)
            written += sample.requests
            return sample

        def peer(policy: str, clients: int, seconds: float) -> Sample:
            contest.peer.set_fsync(policy)
            return load(contest.peer.port, clients, seconds)

        for clients in CLIENTS_QUICK if options.quick else CLIENTS:
            progress(f"{clients} clients")
            runs = {
                "Rookery": lambda seconds, c=clients: rookery(c, seconds),
                ALWAYS: lambda seconds, c=clients: peer("always", c, seconds),
                EVERYSEC: lambda seconds, c=clients: peer("everysec", c, seconds),
            }
            options.warm_up(runs.values(), WARM_UP_S)
            contestants = {name: (lambda _, r=r: r(options.seconds)) for name, r in runs.items()}
            turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
            add_rows(result, clients, turns)
            plots.add(clients, turns)
        for policy, target in ((ALWAYS, 3.0), (EVERYSEC, 1.0)):
            ratio = ratio_of(turns, policy, "per_second")
            result.claims.append(Claim(f"tweets/s at 32 clients, to {policy}", "at_least", target, ratio, 3))
        result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"
        kept = _tweets(contest) - before
        result.facts["acknowledged tweets"] = f"{written}, of which the cluster holds {kept}"
        if kept < written:
            raise BenchError(f"{written} tweets were acknowledged, but the cluster holds {kept} of them")
    return result


def _tweets(contest: Contest) -> int:
    async def count(loader):
        await loader.wait_until_drained()
        return await loader.total("tweets")

    return contest.rookery.with_loader(count)


def _requests(contest: Contest, options: Options) -> Path:
    accounts = contest.network.accounts.tolist()
    random.Random(3).shuffle(accounts)
    bodies = [
        (account, orjson.dumps({"user_id": str(account), "status": text}))
        for account, (_, text) in zip(accounts, contest.network.tweets, strict=False)
    ]
    tokens = contest.network.tokens
    return write_requests(
        options.folder / "tweets",
        [post_request("/api/v1/tweet", body, [f"Authorization: Bearer {tokens[a][0]}"]) for a, body in bodies],
    )
