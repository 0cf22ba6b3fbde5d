"""`read`: home reads of 20 hydrated tweets, random accounts, at 1, 8, 32 and 128 clients.

Beside it in the same run: the peer (LRANGE + MGET), the ceiling (a static FastAPI route of as many bytes), and what the
generator itself can do against a server that does nothing.
"""

from __future__ import annotations

import random
from pathlib import Path

from bench.contest import ClientPlots, Contest, add_rows, http_contest, load_in_turn, ratio_of
from bench.load_generator import get_request, run_load, write_requests
from bench.processes import accepts, free_port, python_module, running
from bench.results import Claim, Result
from bench.scenarios import Options, Progress
from bench.static_ceiling import static_ceiling

CLIENTS, CLIENTS_QUICK = (1, 8, 32, 128), (1, 32)
CLAIMED = (1, 32)  # numbers of clients that something is said of
PEER, CEILING = "FastAPI + Redis", "static FastAPI"


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("read", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    with (
        http_contest(options, progress, result) as contest,
        static_ceiling(options.folder, contest.body_bytes) as ceiling,
    ):
        requests = _requests(contest, options)
        result.facts["generator alone"] = measure_generator(options, contest.body_bytes, requests[PEER])
        ports = {"Rookery": contest.rookery.port, PEER: contest.peer.port, CEILING: ceiling}
        busy: list[float] = []
        plots = ClientPlots.of(result, "Home reads")
        for clients in clients_of(options):
            progress(f"{clients} clients")
            turns = load_in_turn(options, ports, requests, clients, busy)
            add_rows(result, clients, turns)
            plots.add(clients, turns)
            if clients in CLAIMED:
                result.claims += _claims(clients, turns)
        result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"
    return result


def clients_of(options: Options) -> tuple[int, ...]:
    """Return how many clients there are, one case after the other."""
    return CLIENTS_QUICK if options.quick else CLIENTS


def _requests(contest: Contest, options: Options) -> dict[str, Path]:
    accounts = contest.network.accounts.tolist()
    random.Random(2).shuffle(accounts)
    path, tokens = "/api/v1/home_timeline?user_id=", contest.network.tokens
    signed = [get_request(f"{path}{a}", [f"Authorization: Bearer {tokens[a][0]}"]) for a in accounts]
    plain = [get_request(f"{path}{a}&count=20") for a in accounts]
    homes = write_requests(options.folder / "homes", signed)
    return {"Rookery": homes, PEER: homes, CEILING: write_requests(options.folder / "static", plain)}


def measure_generator(options: Options, body_bytes: int, requests: Path) -> str:
    """Return what the generator reaches against fixed bytes, to show that it isn't what is measured."""
    port = free_port()
    command = python_module("bench.load_generator", "--serve-fixed", port, "--body-bytes", body_bytes)
    with running(command, options.folder / "fixed.log", lambda: accepts(("127.0.0.1", port)), 30.0):
        samples = [
            run_load(options.generator, port, requests, clients, options.seconds) for clients in clients_of(options)
        ]
    return ", ".join(
        f"{s.per_second:,.0f}/s at {c} (p50 {s.p50_us:.0f} us)"
        for c, s in zip(clients_of(options), samples, strict=True)
    )


def _claims(clients, turns) -> list[Claim]:
    if clients == 1:
        p50 = ratio_of(turns, PEER, "p50_us")
        return [
            Claim("home read p50 at 1 client, to the peer's", "at_most", 1.0, p50, 2),
            Claim("home read p50 at 1 client, to the peer's", "at_most", 0.55, p50, 3),
        ]
    rate, ceiling = ratio_of(turns, PEER, "per_second"), ratio_of(turns, CEILING, "per_second")
    return [
        Claim("home reads/s at 32 clients, to the peer's", "at_least", 3.5, rate, 3),
        Claim("home reads/s at 32 clients, to the static route's", "at_least", 1.0, ceiling, 3),
        Claim("home read p99 at 32 clients, to the peer's", "at_most", 1.0, ratio_of(turns, PEER, "p99_us"), 3),
    ]
