"""What all tests share: a free port, a data folder, replay commands, and no process left behind.

Rules of this file
- Unit tests never start Ray; a test that does carries the marker `ray`.
- A Hypothesis failure is printed with the command that replays it, seed included.
- Files that start clusters are taken first, and as wholes: nothing here or there may ask how quick the machine is.
- Every process started during the session must be gone at its end, also those that outlived their parents.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, settings

from bench.processes import free_port as unused_port

TESTS = Path(__file__).parent
SESSION_VARIABLE = "ROOKERY_TEST_SESSION"  # inherited by every child; this is how orphans are recognised
ID_CHARS_MAX = 200  # of one parameter in a test's name
# Files that start clusters, what takes longest first; of those that share one (a line), a later one finds it as the
# earlier ones have left it. A file that isn't here is taken before them.
CLUSTERS_FIRST = (
    "ray_cluster/test_stopped_router.py", "ray_cluster/test_replica_figures.py",
    "ray_cluster/test_observability.py",
    "ray_cluster/test_stopped_replica.py", "ray_cluster/test_mastodon_replicas.py", "ray_cluster/test_rebalance.py",
    "ray_cluster/test_replicas.py",
    "ray_cluster/test_whole_cluster.py", "ray_cluster/test_media_actor.py", "ray_cluster/test_storm.py",
    "ray_cluster/test_overload.py", "ray_cluster/test_backup.py",
    "ray_cluster/test_many_nodes.py", "ray_cluster/test_drain.py", "ray_cluster/test_redis_cluster.py",
    "ray_cluster/test_figures.py",
    "ray_cluster/test_search.py", "ray_cluster/test_mastodon_clients.py", "ray_cluster/test_streaming_clients.py",
    "ray_cluster/test_streaming_soak.py", "ray_cluster/test_web_client.py", "ray_cluster/test_hung_processes.py",
    "ray_cluster/test_neighbours.py",
    "ray_cluster/test_stopping.py",
    "chaos/test_chaos.py",
    "ray_cluster/test_upgrade.py",
    "bench/test_smoke.py",
    "tests/test_deploy.py",
    "cluster/test_real_ray.py",
)  # fmt: skip
# Folders whose files make something for all of their tests, a server or a world of tweets: each file is one piece. So
# are other files whose tests would make it, an engine, what the old tree says, lives of seeds, once in each worker.
MAKE_ONCE = ("api", "bench", "search", "supply_chain")
MAKE_ONCE_FILES = (
    "tests/test_architecture.py", "tests/test_moved_modules.py", "core/test_older_core.py",
    "cluster/test_older_code.py", "actors/test_level0.py", "actors/test_search_requests.py",
    "actors/test_searching.py", "actors/test_searching_edits.py", "actors/test_search_flood.py",
    "actors/test_figures.py", "sim/test_things_in_a_cluster.py",
)  # fmt: skip
ANSWER_S = 60.0  # that a test waits for an answer, if it doesn't say: httpx would ask for 5 s of whatever machine
EXIT_TIMEOUT_S = 60.0  # Ray's processes notice within seconds that their parent has gone, agents later

# Deadlines measure the machine, not the code. `ci` is what `.ci/run` uses: as many examples as everybody's, other ones
# in each run (100 took 40 s of the processor more); `thorough` is for a night.
settings.register_profile("dev", deadline=None, print_blob=True, max_examples=50)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=False, max_examples=50)
settings.register_profile(
    "thorough", deadline=None, print_blob=True, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


for phase in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, phase, ANSWER_S)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose Hypothesis's seed here, so that it can be named when a test fails."""
    gc.disable()  # until the tests have been collected: little of what that makes is garbage
    if config.getoption("hypothesis_seed", default=None) is None:
        config.option.hypothesis_seed = random.SystemRandom().randrange(1 << 32)


def pytest_collection(session: pytest.Session) -> None:
    """Have each worker of pytest-xdist begin with another part of the modules.

    They load all the same ones, and whoever is first at one compiles it, with its assertions rewritten, for all; side
    by side each would compile every one of a fresh checkout, 5 s of the processor. What can't be imported, collecting
    says.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or [Path(arg).resolve() for arg in session.config.args] != [TESTS]:
        return
    modules = sorted(TESTS.glob("**/test_*.py"))
    begin = len(modules) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for path in modules[begin:] + modules[:begin]:
        with contextlib.suppress(Exception):
            importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workers of pytest-xdist take the files that start clusters first, each as a whole.

    A file that starts Ray is one piece of work, with those that share its cluster (their mark `xdist_group` names it),
    so a cluster is started once; which worker takes which piece is decided while they run. Clusters mostly wait, so the
    last minutes, when one worker may be left alone with a cluster, are filled by what computes: that comes last, whole
    files before single tests. (`make test` asks for this order: by itself xdist takes the largest groups first.)
    """
    for item in items:
        is_whole = starts_ray(item) or item.path.parent.name in MAKE_ONCE or _name(item) in MAKE_ONCE_FILES
        if is_whole and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_name(item)))
    items.sort(key=_place)


def pytest_collection_finish() -> None:
    """Have no collection of garbage walk what collecting thousands of tests has made: each takes 0.3 s then."""
    gc.freeze()
    gc.enable()


def starts_ray(item: pytest.Item) -> bool:
    return item.get_closest_marker("ray") is not None


def _name(item: pytest.Item) -> str:
    return "/".join(item.path.parts[-2:])


def _place(item: pytest.Item) -> tuple[int, int]:
    name = _name(item)
    if starts_ray(item):
        return 0, CLUSTERS_FIRST.index(name) if name in CLUSTERS_FIRST else -1
    return (1 if item.get_closest_marker("xdist_group") else 2), 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long parameter by its length: two frames of 8 MiB as names made 80 MB of pytest's cache and reports."""
    if isinstance(val, str | bytes) and len(val) > ID_CHARS_MAX:
        return f"{argname}-of-{len(val)}"
    return None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, object, None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    test = getattr(item, "obj", None)
    if report.when == "call" and report.failed and getattr(test, "is_hypothesis_test", False):
        seed = item.config.option.hypothesis_seed
        command = f"{sys.executable} -m pytest '{item.nodeid}' --hypothesis-seed={seed}"
        report.sections.append(("Replay this failure with", command))


@pytest.fixture(scope="session", autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail the session if a process that it started, directly or not, is still there at its end."""
    session = uuid.uuid4().hex
    os.environ[SESSION_VARIABLE] = session
    yield
    left = _started_in(session)
    _, left = psutil.wait_procs(left, timeout=EXIT_TIMEOUT_S)
    names = [f"{process.pid} {' '.join(_command(process))[:200]}" for process in left]
    for process in left:
        process.kill()
    assert not names, "processes left behind:\n" + "\n".join(names)


@pytest.fixture(autouse=True)
def unit_tests_start_no_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test without the marker `ray` must not be the one that starts it."""
    before = _ray_runs()
    yield
    if request.node.get_closest_marker("ray") is None:
        assert before or not _ray_runs(), "this test started Ray; mark it with @pytest.mark.ray"


@pytest.fixture
def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    return unused_port()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Yield an empty folder with a short path: a Unix socket's path has at most 107 bytes, pytest's folders more."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    yield folder
    shutil.rmtree(folder)


def _ray_runs() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(getattr(ray, "is_initialized", bool)())


def _started_in(session: str) -> list[psutil.Process]:
    """Return the processes that inherited this session's variable, without this one and Python's own tracker."""
    found = []
    for process in psutil.process_iter():
        try:
            inherited = process.environ().get(SESSION_VARIABLE) == session
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # gone, or another user's: not ours
        if inherited and process.pid != os.getpid() and not _is_resource_tracker(process):
            found.append(process)
    return found


def _is_resource_tracker(process: psutil.Process) -> bool:
    """multiprocessing's tracker lives as long as the interpreter that started it, by design."""
    return any("resource_tracker" in part for part in _command(process))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
