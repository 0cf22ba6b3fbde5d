"""Every cache has its bound in docs/security.md: a new one without a row there fails here.

What is looked for: functions that remember (`functools`), and dicts, sets and deques that begin empty and outlive a
call: module-level ones, and attributes. Those that hold the data itself, what is under way, or what only this cluster's
own processes name are listed here, by why nobody else decides how large they become.
"""

from __future__ import annotations

import ast
import codecs
import encodings
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import ServerThread

ROOT = Path(__file__).parent.parent
FOLDERS = ("api", "cluster", "actors", "commands")
REMEMBERING = ("lru_cache", "cache", "cached_property")
EMPTY = ("dict", "OrderedDict", "defaultdict", "set", "deque", "Counter", "WeakValueDictionary", "WeakKeyDictionary")

NOT_CACHES = {
    "a request's or a search's own, and goes with it": """
        api/http/edge: given, positions; api/search/pages: _edges _first _places; api/search/fast_read: _NO_TOKEN;
        api/search/queue: _waiting; api/search/scatter: _correcting; api/search/cache: _making; api/http/connections:
        _waiting; actors/shard/home_requests: _wakers _rewoken _under_way; actors/shard/search_requests: _checks;
        actors/search/engine: _asked; actors/search/line: _waiting; actors/shard/commits: waiting _waiting_for_disk
        _sealed; actors/shard/settlements: _unacknowledged _unheard _waiting; actors/core/settling: numbers answered;
        actors/turns: _waiting; cluster/client/cluster_client: _finishing; cluster/lane/client: _pending;
        cluster/lane/server: _open _coming; cluster/client/primary_requests: _waiting; cluster/client/read_routing:
        _hedgeable _fresh _late; cluster/client/replica_load: waiting; actors/shard/backup_source: _serving;
        actors/shard/replication: _serving; actors/shard/inquiring_writes: _under_way;
        api/streaming/streams: _open _viewers _tasks; api/streaming/subscription: _waiting; api/streaming/wheel: _slow
        _fresh; api/streaming/web_socket: _orders; api/streaming/places: _by_owner; api/streaming/polled: _polled;
        api/media: _tasks; api/http/uploads: _count_of; actors/media/page: said
    """,
    "what streams listen to, whose number the connections' limits bound, and what they wait for": """
        actors/core/hearing: account_of by_account list_owners tags topics; actors/shard/listening: _answering _asleep
        _ears _queue; actors/core/heard: _came _entries _leaving _pending _unmentioned;
        api/streaming/audience: by_account by_listener by_topic hidden; api/streaming/filling: _tasks;
        api/streaming/hearers: own talks; api/streaming/told: _records;
        api/streaming/lines: _dirty _dirty_topics _heard_less _resumes _unwanted _unwanted_topics accounts heard
        heard_topics topics; api/streaming/token_doubts: _doubted
    """,
    "made of constants": """
        api/web/assets: files client_files; api/web/pages: _shells;
        actors/core/facts: _NOTHING; actors/core/renderers/mastodon: _NO_ENTITIES; api/mastodon/inputs: _NOTHING;
        api/mastodon/table: _root _plain; actors/core/checkpoints/upgrades: UPGRADES LAYOUTS; actors/core/stores/marks:
        _own; actors/core/stores/shelves: kinds _places; actors/core/stores/paper_shelves: kinds;
        api/text/text_urls: _OTHER_TLDS; actors/search/engine: hangs; api/streaming/hearers: _NONE
    """,
    "keyed by shards, replicas, nodes, actors, or steps of ours": """
        api/streaming/cursor_texts: _of_one; api/streaming/hub: _lines;
        cluster/client/shard_owners: _replicas; cluster/client/connect: _handles; cluster/router/draining: homeless;
        cluster/router/elections: _locks _tried _leading _failures; cluster/placement/rebalancer: _phases;
        cluster/client/replica_lanes: _lanes _dials _dialled_at; cluster/router/router: running _watches;
        cluster/router_actor: _handles; cluster/router/lanes: _lanes _dials; cluster/life/watchdog: _silences;
        commands/api_workers: _starts _media; actors/shard/exchange: _peers _send_soon;
        actors/shard/follower_records: _holds _recent; actors/shard/searching: facts; actors/trends_actor: _heard
        _lists; actors/core/replication: acked _unwanted; actors/core/replica: touched _shaped;
        actors/shard/account_questions: _lines;
        actors/core/checkpoints/snapshot: _stored_outbox; actors/core/lookups: used_tokens; actors/core/moves/parts:
        _new; cluster/life/code_on_disk: loaded; actors/shard_actor: prepare; actors/core/moves/moving: accounts
    """,
    "a tool's, with the files that it is given, or the cluster that it looks at": """
        commands/http_loading: who; commands/storm: _busy; commands/mastodon_statuses: accounts said texts parents
        _said_counts favourite_counts tags shown_old
    """,
    "the data, bounded by the settings' limits of a shard, or on its way": """
        actors/core/stores/shelves: _holders;
        actors/core/timelines/arrivals: number_of mentions; actors/core/timelines/deliveries: backlog;
        actors/core/stores/graph: author_row _hidden _unshown; actors/core/ids: last; actors/core/news: _recent
        _recently_edited _tweets
        _accounts _edited; actors/core/outbox: waiting; actors/core/stores/people: row_of away leaving
        token_owner names unindexed; actors/core/timelines/pull_logs: logs; actors/core/timelines/tag_logs: tags_of;
        actors/core/stores/tag_index: _ids; actors/core/stores/graph: tag_readers tags_touched wishful;
        actors/core/state: tag_shards pull_shards reposts reposts_of waking dirty_counts;
        actors/core/stores/tweets: slot_of orig mentions private; actors/core/stores/marks: _places rows;
        actors/core/stores/papers: _piles; actors/core/stores/things: kind_of; actors/core/stores/due: _times;
        actors/core/postings/lists: _places edited_ids; actors/search/tags: _pending;
        actors/shard/search_postings: _unreadable
    """,
}


def caches_of(path: Path) -> Iterator[str]:
    """Yield what a file remembers: functions, module-level names, attributes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(map(_remembers, node.decorator_list)):
            yield node.name
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_cache = any(_remembers(part) for part in ast.walk(node.value) if isinstance(part, ast.Call))
            for target in targets:
                is_attribute = isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
                if is_cache or (_is_empty(node.value) and (is_attribute or node in tree.body)):
                    yield ast.unparse(target).removeprefix("self.")


def _remembers(node: ast.AST) -> bool:
    name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    return name.removeprefix("functools.") in REMEMBERING


def _is_empty(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2].partition("[")[0] in EMPTY
    return isinstance(value, ast.Dict) and not value.keys


def written() -> set[str]:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return {f"{path.relative_to(ROOT).with_suffix('')}: {name}" for path in files for name in caches_of(path)}


def listed() -> set[str]:
    found = set()
    for text in NOT_CACHES.values():
        for part in text.split(";"):
            module, _, names = part.partition(":")
            found |= {f"{module.strip()}: {name}" for name in names.replace(",", " ").split()}
    return found


def documented() -> list[list[str]]:
    """Return the rows of the tables: cache, key, entries, memory."""
    section = (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("## Caches")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row[0].startswith(("cache,", "---"))]


def test_every_cache_has_a_row_with_its_bound():
    rows, there = documented(), written()
    named = {name for row in rows for name in re.findall(r"`([a-z_/]+: \w+)`", row[0])}
    assert there - named - listed() == set(), "write these into the tables of docs/security.md, with their bounds"
    assert named - there == set(), "there are no such caches"
    assert listed() - there == set(), "there are no such attributes"
    assert not named & listed()
    for row in rows:
        assert len(row) == 4, row
        assert all(row), row


def test_a_cache_without_a_row_would_be_found(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "import functools\nfrom collections import OrderedDict\n_a = {}\nb: dict[str, int] = OrderedDict()\n"
        "@functools.cache\ndef c(): ...\n@functools.lru_cache(5)\ndef d(): ...\ne = functools.lru_cache(6)(c)\n"
        "class F:\n    def __init__(self):\n        self.g = {}\n        self.h: set[int] = set()\n        i = {}\n"
    )
    assert set(caches_of(path)) == {"_a", "b", "c", "d", "e", "g", "h"}


def test_every_function_that_remembers_has_a_number_of_entries():
    unbounded = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if "lru_cache" in text else ():
                if isinstance(node, ast.Call) and _remembers(node) and ast.unparse(node.func).endswith("lru_cache"):
                    given = [*node.args, *(keyword.value for keyword in node.keywords)]
                    if not given or ast.unparse(given[0]) == "None":
                        unbounded.append(f"{path.name}: {ast.unparse(node)}")
    assert unbounded == []


@pytest.mark.parametrize("charset", ["no-such-charset-{}", "x" * 200 + "{}"])
def test_names_of_encodings_that_clients_make_up_do_not_reach_python(charset):
    """It keeps every name that it was asked for."""
    with pytest.raises(LookupError):
        codecs.lookup("asked-once")
    before = len(encodings._cache)  # type: ignore[attr-defined]
    body = b'--b\r\nContent-Disposition: form-data; name="status"\r\n\r\nx\r\n--b--\r\n'
    with ServerThread({"auth_mode": "open"}) as live, httpx.Client(base_url=live.base_url) as http:
        for number in range(20):
            name = charset.format(number)
            kinds = (f"multipart/form-data; boundary=b; charset={name}", f"application/json; charset={name}",
                     f"application/x-www-form-urlencoded; charset={name}")  # fmt: skip
            for kind in kinds:
                http.post("/tweet?user_id=1", content=body, headers={"content-type": kind, "accept-charset": name})
    assert len(encodings._cache) <= before + 1  # type: ignore[attr-defined]
