"""`stream`: one status to thousands of connected followers, and what it costs to have them connected; beside a peer.

    deliveries   an author posts, 100 to 10,000 followers listen: until the last one has read it, by one worker and by
                 three, over WebSockets, server-sent events, and the peer's WebSockets
    idle         resident memory of the workers for each connection, up to 50,000 over three workers
    reads        home timelines at 32 clients, with 10,000 idle streams and without
    favourites   from a favourite's request to the author's client having read the notification, one at a time

Rules of this file
- Times to a read end when a client's read is done, in another process of the same machine; they begin at the answer to
  the POST (0 where the event was earlier) and, in a row of its own, at the request.
- Deliveries a CPU second are of what the workers themselves have used, posts included; the processor time of shards or
  Redis, and of the clients, stands beside it.
- Each turn opens its streams anew and closes them: no contestant holds connections while another one is measured.
- The whole of it takes 300 s at most: each part has as many turns as fit into its seconds, one at least; how many they
  were, says each case. What a part has found is kept when it ends.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from bench.contest import WARM_UP_S
from bench.load_generator import get_request, quantiles_us, run_load, write_requests
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.processes import BenchError
from bench.results import Claim, Plot, Result, Row
from bench.scenarios import Options, Progress
from bench.stream_stage import OURS, OURS_SSE, PEER, Server, Stage, favourites_of, marker_of, new_text, staged
from bench.streaming import Audience, audience, connections_each, cpu_s_of, resident_of

FOLLOWERS, FOLLOWERS_QUICK = (100, 1_000, 10_000), (50, 300)  # who are connected
FOLLOWERS_OF_MORE = (1_000, 10_000)  # with more than one worker
IDLE, IDLE_QUICK = (10_000, 30_000, 50_000), (300,)
WORKERS, WORKERS_QUICK = (1, 3), (1,)
POSTS, POSTS_QUICK = 10, 3  # of a turn
BESIDE, BESIDE_QUICK = 10_000, 300  # idle streams beside home reads
FAVOURITES, FAVOURITES_QUICK = 100, 10  # of a turn
WITHIN_S: Final = 40.0  # all turns with most followers
WITHIN_S_OF_FEWER: Final = 10.0
READERS: Final = 500
CLIENTS: Final = 32
SETTLE_S: Final = 1.0  # before memory is looked at
CONNECTIONS_OF_WORKER: Final = 1_000  # beside streams
FILES_OF_WORKER: Final = 2_000  # that a worker needs for other things than streams
HOME: Final = "/api/v1/timelines/home"
ISSUE: Final = 18
PARTS: Final = frozenset(("deliveries", "idle", "reads", "favourites"))


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("stream", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    followers = FOLLOWERS_QUICK if options.quick else FOLLOWERS
    idle = tuple(min(count, most_idle()) for count in (IDLE_QUICK if options.quick else IDLE))
    workers = WORKERS_QUICK if options.quick else WORKERS
    plots = Plots.of(result)
    parts = parts_of(options)
    busy: list[float] = []
    result.facts |= {
        "open files": f"{connections_each():,} connections a process of clients, {most_idle():,} to three workers",
        "posts of a turn": POSTS_QUICK if options.quick else POSTS,
    }
    for count in workers:
        is_last = count == workers[-1]
        idle_here = idle if is_last and "idle" in parts else ()
        if not idle_here and not parts - {"idle"} & (PARTS if count == 1 else {"deliveries"}):
            continue
        fans = max(*followers, *idle_here)
        with (
            staged(options, progress, count, fans, followers[-1], limits(options)) as stage,
            audience(options.folder, fans) as clients,
        ):
            if idle_here:  # first, while the workers' memory is as they started with it
                measure_idle(progress, result, plots.memory, stage, clients, idle_here)
                options.keep(result)
            for number in followers if count == 1 or options.quick else FOLLOWERS_OF_MORE:
                if "deliveries" in parts:
                    progress(f"{count} workers, {number:,} followers")
                    measure_deliveries(options, result, plots, stage, clients, number, busy)
                    options.keep(result)
            if count == 1 and "reads" in parts:
                progress("home reads beside idle streams")
                measure_home_reads(options, result, stage, clients, busy)
                options.keep(result)
            if count == 1 and "favourites" in parts:
                progress("favourites")
                measure_favourites(options, result, stage, clients)
                options.keep(result)
    result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %" if busy else "not looked at"
    return result


def parts_of(options: Options) -> frozenset[str]:
    """Return the parts that are to run. Raises BenchError if there is no such part."""
    unknown = set(options.parts) - PARTS
    if unknown:
        raise BenchError(f"stream has the parts {', '.join(sorted(PARTS))}, and not {', '.join(sorted(unknown))}")
    return frozenset(options.parts) or PARTS


def most_idle() -> int:
    """Return how many streams three workers can hold by this machine's limit of open files."""
    return WORKERS[-1] * (connections_each() - FILES_OF_WORKER)


def limits(options: Options) -> list[str]:
    """Return the settings by which a worker gives most of its files to streams; where a few do, those that it has."""
    streams = connections_each() - FILES_OF_WORKER
    names = {"connections_max": CONNECTIONS_OF_WORKER, "streams_max": streams}
    return [] if options.quick else [f"limits.{name}={value}" for name, value in names.items()]


@dataclass(frozen=True, slots=True)
class Plots:
    """What is drawn."""

    latency: Plot
    rate: Plot
    memory: Plot

    @classmethod
    def of(cls, result: Result) -> Plots:
        """Have all drawn."""
        connected = "connected followers"
        return cls(
            result.plot(
                Plot("latency", "One status to all, p99", connected, "after the answer (ms)", x_log=True, y_log=True)
            ),
            result.plot(
                Plot("rate", "Deliveries by a worker", connected, "deliveries per CPU second", x_log=True)
            ),
            result.plot(Plot("memory", "Workers' memory", "idle connections", "bytes per connection")),
        )  # fmt: skip


# ---- deliveries -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """One turn: times in ms over all reads of all its posts; processor seconds of who took part."""

    deliveries: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    whole_p99_ms: float  # from the request
    worker_cpu_s: float
    other_cpu_s: float
    client_cpu_s: float
    seconds: float  # of the posts, one after the other, each until all have it

    @property
    def a_cpu_second(self) -> float:
        """Deliveries for each processor second of the workers."""
        return self.deliveries / self.worker_cpu_s


FIGURES: Final = (
    ("p50 after the answer", "ms", lambda d: d.p50_ms), ("p99 after the answer", "ms", lambda d: d.p99_ms),
    ("last after the answer", "ms", lambda d: d.max_ms), ("p99 after the request", "ms", lambda d: d.whole_p99_ms),
    ("a CPU second", "/s", lambda d: d.a_cpu_second),
    ("workers' CPU", "us", lambda d: d.worker_cpu_s / d.deliveries * 1e6),
    ("shards' or Redis's CPU", "us", lambda d: d.other_cpu_s / d.deliveries * 1e6),
    ("clients' CPU", "us", lambda d: d.client_cpu_s / d.deliveries * 1e6),
)  # fmt: skip


def measure_deliveries(
    options: Options, result: Result, plots: Plots, stage: Stage, clients: Audience, count: int, busy: list[float]
) -> None:
    """Let each contestant in turn have `count` followers connected, and post."""
    posts = POSTS_QUICK if options.quick else POSTS
    contestants: dict[str, Callable[[int], Delivery]] = {
        name: (lambda _, server=server: deliver(stage, server, clients, count, posts))
        for name, server in stage.servers.items()
    }
    most = max(FOLLOWERS_QUICK if options.quick else FOLLOWERS)
    within_s = WITHIN_S if count == most else WITHIN_S_OF_FEWER
    turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()), within_s)
    workers = len(stage.servers[OURS].workers)
    case = f"{count:,} followers, {workers} worker{'s' * (workers > 1)}"
    result.facts[f"turns, {case}"] = len(turns.samples[OURS])
    result.keep(case, turns)
    for name in turns.samples:
        for label, unit, figure in FIGURES:
            value = turns.spread(name, figure)
            ratio = turns.ratio(OURS, name, figure) if name != OURS and value.least > 0 else None
            if value.median > 0:
                result.rows.append(Row(case, name, label, unit, value, ratio))
        line = name if workers == 1 else f"{name}, {workers} workers"
        plots.latency.add(line, count, turns.spread(name, lambda d: max(d.p99_ms, 0.01)))
        plots.rate.add(line, count, turns.spread(name, lambda d: d.a_cpu_second))
    if count == most:
        result.claims += delivery_claims(turns, case)


def delivery_claims(turns: Turns[Delivery], case: str) -> list[Claim]:
    """Return what is said of one status to 10,000."""
    return [
        Claim(f"{case}: p99 after the answer, ms", "at_most", 200.0, turns.spread(OURS, lambda d: d.p99_ms), ISSUE),
        *(
            Claim(
                f"{case}: {name}: deliveries a CPU second of the workers", "at_least", 25_000.0,
                turns.spread(name, lambda d: d.a_cpu_second), ISSUE,
            )
            for name in (OURS, OURS_SSE)
        ),
    ]  # fmt: skip


def deliver(stage: Stage, server: Server, clients: Audience, count: int, posts: int) -> Delivery:
    """Open the streams of so many followers, post so many statuses one after the other, close. Raises BenchError."""
    clients.open(server.port, stage.requests(server, count))
    after, whole, client_cpu_s = [], [], 0.0
    with stage.writer(server, stage.author) as writer:
        clients.wait_until_heard(lambda: _marked(writer.post))
        workers_s, others_s, begin_ns = cpu_s_of(server.workers), cpu_s_of(server.others), time.monotonic_ns()
        last_ns = begin_ns
        for _ in range(posts):
            text = new_text()
            expected = clients.expect(marker_of(text))
            timed = writer.post(text)
            heard = clients.heard(expected)
            after += heard.since_ms(timed.answered_ns)
            whole += heard.since_ms(timed.sent_ns)
            client_cpu_s += heard.cpu_s
            last_ns = heard.at_ns[-1]
        workers_s, others_s = cpu_s_of(server.workers) - workers_s, cpu_s_of(server.others) - others_s
    clients.close()
    p50, p99, most = (value / 1e6 for value in quantiles_us(after))  # quantiles of ms, as if they were seconds
    p99_whole = quantiles_us(whole)[1] / 1e6
    seconds = (last_ns - begin_ns) / 1e9
    return Delivery(len(after), p50, p99, most, p99_whole, workers_s, others_s, client_cpu_s, seconds)


def _marked(post: Callable[[str], object]) -> tuple[str, Callable[[], object]]:
    text = new_text()
    return marker_of(text), lambda: post(text)


# ---- memory ---------------------------------------------------------------------------------------------------------


def measure_idle(
    progress: Progress, result: Result, plot: Plot, stage: Stage, clients: Audience, counts: tuple[int, ...]
) -> None:
    """Open more and more WebSockets that hear nothing, and look at what the workers have grown by since they began.

    The peer's are the fewest alone: more of them take it minutes, and are no smaller.
    """
    for name in (OURS, PEER):
        server = stage.servers[name]
        before, before_count = resident_of(server.workers), 0
        for count in counts if name == OURS else counts[:1]:
            progress(f"{name}: {count:,} idle connections")
            opened, seconds = count - before_count, clients.open(server.port, stage.requests(server, count))
            before_count = count
            time.sleep(SETTLE_S)
            each = (resident_of(server.workers) - before) / count
            workers = len(server.workers)
            case = f"{count:,} idle, {workers} worker{'s' * (workers > 1)}"
            for label, unit, value in (("resident a connection", "B", each), ("opened", "/s", opened / seconds)):
                if value > 0:
                    result.rows.append(Row(case, name, label, unit, Spread.of([value])))
            if each > 0:
                plot.add(name, count, Spread.of([each]))
        clients.close()
        if name != PEER:
            claim = Claim(f"{case}: {name}: bytes a connection", "at_most", 4096.0, Spread.of([each]), ISSUE)
            result.claims.append(claim)


# ---- what others feel -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of home reads. cpu_us: of the workers, a read."""

    per_second: float
    p99_us: float
    cpu_us: float

    def mean(self, other: Reading) -> Reading:
        """Return what is between two runs."""
        pairs = ((self.per_second, other.per_second), (self.p99_us, other.p99_us), (self.cpu_us, other.cpu_us))
        return Reading(*(sum(pair) / 2 for pair in pairs))


def measure_home_reads(options: Options, result: Result, stage: Stage, clients: Audience, busy: list[float]) -> None:
    """Read home timelines without idle streams, beside them, and without again."""
    server, streams = stage.servers[OURS], BESIDE_QUICK if options.quick else BESIDE
    beside = f"{OURS}, {streams:,} idle streams"
    asked = [get_request(HOME, [f"Authorization: Bearer {stage.tokens[fan]}"]) for fan in stage.fans[:READERS]]
    requests = write_requests(options.folder / "homes", asked)

    def load(seconds: float) -> Reading:
        begin_s = cpu_s_of(server.workers)
        sample = run_load(options.generator, server.port, requests, CLIENTS, seconds)
        if sample.errors:
            raise BenchError(f"{sample.errors} of {sample.requests} home reads failed")
        cpu_us = (cpu_s_of(server.workers) - begin_s) / sample.requests * 1e6
        return Reading(sample.per_second, sample.p99_us, cpu_us)

    def loads() -> list[Reading]:
        busy.append(busy_percent())
        return [load(options.seconds) for _ in range(options.pairs)]

    options.warm_up([load], WARM_UP_S)
    before = loads()
    clients.open(server.port, stage.requests(server, streams))
    try:
        with_streams = loads()
    finally:
        clients.close()
    without = [one.mean(other) for one, other in zip(before, reversed(loads()), strict=True)]
    turns = Turns({OURS: without, beside: with_streams})
    case = f"home reads, {CLIENTS} clients"
    result.keep(case, turns)
    figures = (("per_second", "rate", "/s"), ("p99_us", "p99", "us"), ("cpu_us", "worker's CPU", "us"))
    for name, (figure, label, unit) in itertools.product(turns.samples, figures):
        result.rows.append(Row(case, name, label, unit, turns.spread(name, attrgetter(figure))))
    text = f"home reads beside {streams:,} idle streams, to none"
    rate, cpu = turns.ratio(beside, OURS, lambda s: s.per_second), turns.ratio(OURS, beside, lambda s: s.cpu_us)
    result.claims.append(Claim(text, "at_least", 0.9, rate, ISSUE))
    result.claims.append(Claim(f"{text}, by the worker's CPU", "at_least", 0.9, cpu, ISSUE))


def measure_favourites(options: Options, result: Result, stage: Stage, clients: Audience) -> None:
    """Favourite the author's statuses one after the other, while he listens."""
    count = FAVOURITES_QUICK if options.quick else FAVOURITES
    case = "favourite to its notification"
    fans = iter(stage.fans)
    for name in (OURS, PEER):
        server, took_ms = stage.servers[name], []
        clients.open(server.port, [server.request(stage.tokens[stage.author])])
        with stage.writer(server, stage.author) as author:
            clients.wait_until_heard(lambda: _marked(author.post))
            statuses = [author.post(new_text()).body["id"] for _ in range(5)]
        for fan, status_id in favourites_of(list(itertools.islice(fans, count)), statuses):
            expected = clients.expect(rf"\"acct\":\"user{fan}\"")  # in a payload, which is a string
            with stage.writer(server, fan) as writer:
                timed = writer.favourite(status_id)
                took_ms += clients.heard(expected).since_ms(timed.sent_ns)
        clients.close()
        result.samples.setdefault(case, {})[name] = took_ms
        p99 = statistics.quantiles(took_ms, n=100, method="inclusive")[98]
        result.rows.append(Row(case, name, "p50 after the request", "ms", Spread.of(took_ms)))
        result.rows.append(Row(case, name, "p99 after the request", "ms", Spread.of([p99])))
        if name == OURS:
            claim = Claim("a favourite to its visible notification, p99, ms", "at_most", 50.0, Spread.of([p99]), ISSUE)
            result.claims.append(claim)
