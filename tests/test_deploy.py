"""The deployment files are well formed, agree with each other and with the code, and their start script works.

No container engine runs here: docs/deployment.md says what was validated by which tool, and what never ran.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from bench.processes import accepts, free_port, running
from configs.settings import load_settings
from tests.persistence.redis_processes import require_redis_server
from tests.serving import wait_for
from tests.supply_chain.pins import CONSTRAINTS, read_pins

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "configs/deploy"
NODE_SCRIPT = "configs/deploy/node.sh"


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def environment_of_nodes() -> dict[str, str]:
    lines = [line for line in text_of("node.env").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(text_of("compose.yaml"))


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], Any]:
    documents = [d for d in yaml.safe_load_all(text_of("kuberay.yaml")) if d]
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


@pytest.fixture(scope="module")
def ray_groups(manifests) -> list[dict[str, Any]]:
    spec = manifests["RayCluster", "rookery"]["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def rookery_variables() -> dict[str, str]:
    """Every ROOKERY_ setting that a deployment file gives, with a value to load it by."""
    compose = yaml.safe_load(text_of("compose.yaml"))
    found = dict(environment_of_nodes())
    for service in compose["services"].values():
        found |= service.get("environment", {})
    for container in re.findall(r"- name: (ROOKERY_\w+)\n\s+value: (\S+)", text_of("kuberay.yaml")):
        found[container[0]] = container[1]
    found |= dict(re.findall(r"(ROOKERY_\w+)=(\S+)", text_of("Dockerfile")))
    return {name: value for name, value in found.items() if name.startswith("ROOKERY_") and "__" in name}


def test_every_setting_that_a_file_gives_exists_and_is_accepted():
    names = rookery_variables()
    assert {"ROOKERY_CLUSTER__OUTLIVE_SERVE", "ROOKERY_STORAGE__REDIS_URL", "ROOKERY_STORAGE__DATA_DIR"} <= set(names)
    settings = load_settings("cluster", environ=names)
    assert (settings.storage.backend, settings.cluster.outlive_serve) == ("redis", True)


def test_every_path_that_a_file_names_is_in_the_repository():
    named = re.findall(r"(?<![\w/.])(?:configs|actors|docs)/[\w./-]*\w", "".join(map(text_of, os.listdir(DEPLOY))))
    assert NODE_SCRIPT in named
    yours = {"configs/deploy/.env"}  # the operator writes it, and Git ignores it
    assert [path for path in named if path not in yours and not (ROOT / path).exists()] == []
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text_of("Dockerfile"), re.MULTILINE)
    assert [path for paths in copied for path in paths.split() if not (ROOT / path).exists()] == []
    assert os.access(ROOT / NODE_SCRIPT, os.X_OK)
    assert re.search(r"^setup:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_what_the_image_leaves_out_it_does_not_need():
    ignored = text_of("Dockerfile.dockerignore").split()
    needed = {"actors", "api", "bench", "cluster", "commands", "configs", "persistence", "Makefile", "constraints.txt"}
    assert not needed & set(ignored)
    assert {".git", ".venv", "data"} <= set(ignored)


def test_versions_agree(manifests, ray_groups, compose):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    pinned = {pin.name: pin.version for pin in read_pins(CONSTRAINTS.read_text(encoding="utf-8"))}
    assert manifests["RayCluster", "rookery"]["spec"]["rayVersion"] == pinned["ray"]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in ray_groups}
    images |= {compose["services"][name]["image"] for name in ("head", "worker")}
    assert images == {f"rookery:{version}"}
    bases = re.findall(r"^FROM (\S+)", text_of("Dockerfile"), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])


def images(name: str) -> list[str]:
    """Every image that a deployment file names, in its order."""
    return re.findall(r"^\s*(?:image:|FROM|COPY --from=(?!build)) ?([^\s#]+)", text_of(name), re.MULTILINE)


def test_no_image_floats_and_files_agree_on_those_that_they_share():
    """A tag is whatever its owner pushes next; with two different digests half of a cluster would be patched."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    named = {name: images(name) for name in os.listdir(DEPLOY)}
    assert {name for name in named if named[name]} == {"Dockerfile", "compose.yaml", "kuberay.yaml"}
    foreign = {image for found in named.values() for image in found} - {f"rookery:{version}"}
    floating = [
        image for image in foreign if not re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[\w.-]+@sha256:[0-9a-f]{64}", image)
    ]
    assert not floating
    assert sorted(image.split(":")[0] for image in foreign) == ["python", "redis"]


def test_the_redis_image_has_the_mends_of_holes_that_are_known():
    found = [image for name in ("compose.yaml", "kuberay.yaml") for image in images(name) if image.startswith("redis:")]
    versions = [tuple(map(int, re.match(r"redis:(\d+)\.(\d+)\.(\d+)-", image).groups())) for image in found]
    assert len(versions) == 2
    assert all(version[:2] == (7, 2) and version >= (7, 2, 16) for version in versions), "BSD licence, and mended"


def passwords_in(text: str) -> list[str]:
    """What a file gives as a password, but for references to where it really is; comments aside."""
    lines = [re.sub(r"(?:^|\s)#.*", "", line) for line in text.splitlines()]
    given = r"(?i)(?:password|requirepass)\w*[:= ]+[\"']?([^\s\"'$&*?]\S*)"
    return [found for line in lines for found in re.findall(given, line) + re.findall(r"rediss?://[^\s/]*@\S+", line)]


@pytest.mark.parametrize(
    "text",
    [
        "PASSWORD: hunter2",
        "x: ${PASSWORD:-hunter2}",
        "--requirepass hunter2",
        "redis://:hunter2@redis:6379/1",
        "password='hunter2'",
    ],
)
def test_the_search_for_passwords_finds_some(text):
    assert passwords_in(text)


@pytest.mark.parametrize("name", [*sorted(path.name for path in DEPLOY.glob("*.yaml")), "node.env", "Dockerfile"])
def test_passwords_are_asked_for_and_never_given(name):
    assert passwords_in(text_of(name)) == []


def test_compose_does_not_start_without_a_password_and_all_who_need_it_have_it(compose):
    """Compose refuses a file whose `${NAME:?...}` is unset or empty."""
    required = "${ROOKERY_REDIS_PASSWORD:?"
    for name in ("redis", "head", "worker"):
        assert compose["services"][name]["environment"]["ROOKERY_REDIS_PASSWORD"].startswith(required)
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "/configs/deploy/.env" in ignored
    assert "**/.env" in text_of("Dockerfile.dockerignore").split(), "COPY . . would take the password into the image"


def test_no_file_holds_a_secret_and_no_container_runs_as_root(manifests, ray_groups):
    assert "Secret" not in {kind for kind, _ in manifests}
    assert re.search(r"^USER 10001$", text_of("Dockerfile"), re.MULTILINE)
    pods = [group["template"]["spec"] for group in ray_groups]
    pods.append(manifests["StatefulSet", "rookery-redis"]["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            password = next(e for e in container["env"] if e["name"] == "ROOKERY_REDIS_PASSWORD")
            assert password["valueFrom"]["secretKeyRef"]["name"] == "rookery-redis"


def test_the_compose_file_publishes_on_loopback_only_and_names_what_it_has(compose):
    services = compose["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8000:8000"]
    mounts = {mount.split(":")[0] for service in services.values() for mount in service["volumes"]}
    assert mounts == set(compose["volumes"])
    waited_for = {name for service in services.values() for name in service.get("depends_on", {})}
    assert waited_for <= set(services)
    assert (DEPLOY / services["head"]["build"]["context"] / services["head"]["build"]["dockerfile"]).exists()
    assert [services[name]["command"] for name in ("head", "worker")] == [["head"], ["worker"]]
    assert services["worker"]["environment"]["ROOKERY_HEAD"] == "head:6379"
    options = services["redis"]["command"][4:]
    assert options == ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]


def test_the_manifest_s_parts_find_each_other(manifests, ray_groups):
    workers = ray_groups[1]["template"]
    container = workers["spec"]["containers"][0]
    labels = workers["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget"):
        selector = manifests[kind, "rookery"]["spec"]["selector"]
        assert selector.get("matchLabels", selector).items() <= labels.items()
    port = {p["name"]: p["containerPort"] for p in container["ports"]}["http"]
    assert port == load_settings("cluster", environ={}).server.port
    assert manifests["Service", "rookery"]["spec"]["ports"][0]["targetPort"] == "http"
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    for group, role in zip(ray_groups, ("head", "worker"), strict=True):
        pod = group["template"]["spec"]
        assert (pod["containers"][0]["command"], pod["containers"][0]["args"]) == ([NODE_SCRIPT], [role])
        assert {m["name"] for m in pod["containers"][0]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        assert [("PersistentVolumeClaim", claim) in manifests for claim in claims] == [True]
    tables = manifests["RayCluster", "rookery"]["spec"]["gcsFaultToleranceOptions"]
    assert tables["redisAddress"] == "rookery-redis:6379"
    assert tables["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "rookery-redis", "key": "password"}
    # The operator sets this one itself, and refuses a RayCluster whose head brings it.
    assert all(e["name"] != "REDIS_PASSWORD" for e in ray_groups[0]["template"]["spec"]["containers"][0]["env"])
    assert ("Service", "rookery-redis") in manifests


def test_ray_s_own_schema_accepts_the_cluster_file():
    config = yaml.safe_load(text_of("ray-cluster.yaml"))
    validate_config(prepare_config(config))
    assert config["max_workers"] == len(config["provider"]["worker_ips"])
    config["head_start_ray_command"] = []
    with pytest.raises(Exception, match="head_start_ray_command"):
        validate_config(config)


# ---- Redis, as its container would run it ----------------------------------------------------------------------------

PASSWORD = "0123456789abcdef" * 3


def redis_commands() -> dict[str, list[str]]:
    """The command that each file starts Redis by, as the container gets it."""
    compose = yaml.safe_load(text_of("compose.yaml"))["services"]["redis"]["command"]
    manifests = [d for d in yaml.safe_load_all(text_of("kuberay.yaml")) if d and d["kind"] == "StatefulSet"]
    container = manifests[0]["spec"]["template"]["spec"]["containers"][0]
    return {
        "compose": [word.replace("$$", "$") for word in compose],
        "kuberay": container["command"] + container["args"],
    }


@contextmanager
def redis_server(command: list[str], folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run Redis by a deployment file's command, but on a port and in a folder of the test; yields port and process."""
    require_redis_server()
    port = free_port()
    folder.mkdir()
    with running(
        [*command, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)], folder / "log",
        lambda: accepts(("127.0.0.1", port)), 10, {"ROOKERY_REDIS_PASSWORD": PASSWORD},
    ) as process:  # fmt: skip
        yield port, process


@pytest.mark.parametrize("name", ["compose", "kuberay"])
def test_redis_answers_nobody_without_the_password_and_shows_it_to_nobody(name, tmp_path):
    with redis_server(redis_commands()[name], tmp_path / "redis") as (port, process):
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(port=port, password=PASSWORD) as ours:
            assert ours.ping()
            assert ours.config_get("append*")["appendfsync"] == "always"
        assert PASSWORD not in Path(f"/proc/{process.pid}/cmdline").read_text()
        health = yaml.safe_load(text_of("compose.yaml"))["services"]["redis"]["healthcheck"]["test"][1]
        probe = health.replace("$$", "$").replace("redis-cli", f"redis-cli -p {port}")
        for password, status in ((PASSWORD, 0), ("wrong", 1)):
            environment = {**os.environ, "ROOKERY_REDIS_PASSWORD": password}
            assert (
                subprocess.run(["sh", "-c", probe], env=environment, capture_output=True, check=False).returncode
                == status
            )


# ---- the start script, as a container would run it ------------------------------------------------------------------


class Node:
    """A process of node.sh; `start` is what KubeRay would give it."""

    def __init__(self, role: str, start: str, log: Path, **environment: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(DEPLOY / "node.sh"), role], stdout=output, stderr=output,
                env={**os.environ, "KUBERAY_GEN_RAY_START_CMD": start, **environment},
            )  # fmt: skip

    def stop(self) -> int:
        """Tell it to end, as an engine does; returns its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    made: list[Node] = []
    yield made
    for node in reversed(made):
        if node.process.poll() is None:
            node.stop()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_start_script_makes_a_cluster_of_a_head_and_a_worker(nodes, data_dir):
    """Redis with a password keeps Ray's tables and the shards; KubeRay's line is what its operator 1.5 writes."""
    with redis_server(redis_commands()["compose"], data_dir / "redis") as (redis_port, _):
        start_head_and_worker(nodes, data_dir, redis_port)


def start_head_and_worker(nodes: list[Node], data_dir: Path, redis_port: int) -> None:
    head_port, port = free_port(), free_port()
    address = f"127.0.0.2:{head_port}"  # Ray would put an outer address in the place of 127.0.0.1
    options = "--object-store-memory=80000000 --min-worker-port=0 --max-worker-port=0 --block"
    storage = {
        "ROOKERY_STORAGE__BACKEND": "redis",
        "ROOKERY_STORAGE__REDIS_URL": f"redis://127.0.0.1:{redis_port}/1",
        "ROOKERY_REDIS_PASSWORD": PASSWORD,
        "ROOKERY_STORAGE__DATA_DIR": str(data_dir / "data"),
    }
    nodes.append(
        Node(
            "head",
            f"ulimit -n 4096; ray start --head  --node-ip-address=127.0.0.2  --port={head_port}  --num-cpus=0  "
            f"--include-dashboard=false  --ray-client-server-port={free_port()}  "
            f"--dashboard-agent-listen-port={free_port()}  --redis-password=$REDIS_PASSWORD {options}",
            data_dir / "head.log",
            REDIS_PASSWORD=PASSWORD,  # the operator's own
            RAY_REDIS_ADDRESS=f"127.0.0.1:{redis_port}",
            ROOKERY_CLUSTER__RAY_ADDRESS=address,
            ROOKERY_CLUSTER__RAY_NODE_IP="127.0.0.2",
            ROOKERY_SERVER__PORT=str(port),
            ROOKERY_SERVER__HOST="node",
            ROOKERY_CLUSTER__SHARDS="1",
            **storage,
        )
    )
    wait_for(lambda: "Connected to Ray cluster" in nodes[0].log.read_text() or nodes[0].process.poll() is not None)
    start = f"ray start --address={address} --node-ip-address=127.0.0.3 --num-cpus=2 {options} "
    start += f"--dashboard-agent-listen-port={free_port()}"
    nodes.append(Node("worker", start, data_dir / "worker.log", **storage))
    wait_for(lambda: answers(f"http://127.0.0.3:{port}/readyz") or any(n.process.poll() is not None for n in nodes))
    logs = "".join(node.log.read_text()[-2000:] for node in nodes)
    assert answers(f"http://127.0.0.3:{port}/readyz"), logs
    assert not answers(f"http://127.0.0.2:{port}/healthz"), "a head without CPUs has no API worker"
    with redis.Redis(port=redis_port, password=PASSWORD) as tables:
        assert tables.dbsize() > 0, "Ray's tables are in database 0"
    with redis.Redis(port=redis_port, password=PASSWORD, db=1) as shards:
        assert shards.dbsize() > 0, "the shards are in database 1"
    assert [node.stop() for node in nodes] == [0, 0], logs


def run_node_script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOY / "node.sh"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_start_script_refuses_another_role():
    done = run_node_script("both")
    assert (done.returncode, done.stderr) == (2, "the first argument is head, worker or run, not both\n")


@pytest.mark.parametrize("password", ["a b", "$(touch /tmp/x)", "a@evil:6379/", "a;b", "a/b", "a&b", "é", "a\nb"])
def test_the_start_script_refuses_a_password_that_means_something_in_a_url_or_a_shell(password):
    done = run_node_script("run", "--help", ROOKERY_REDIS_PASSWORD=password)
    assert done.returncode == 2
    assert done.stderr.startswith("ROOKERY_REDIS_PASSWORD may hold letters, digits and . _ ~ - only")
    assert password not in done.stderr


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis:6379/1", f"redis://:{PASSWORD}@redis:6379/1"),
        ("rediss://redis/1", f"rediss://:{PASSWORD}@redis/1"),
        ("redis://:other@redis/1", "redis://:other@redis/1"),
    ],
)
def test_the_start_script_puts_the_password_into_the_url(url, expected, tmp_path):
    """`run` starts `python run_cluster.py`; a python of the test's own prints what it would have got."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$ROOKERY_STORAGE__REDIS_URL" "$@"\n')
    python.chmod(0o755)
    script = (DEPLOY / "node.sh").read_text().replace("PATH=$PWD/.venv/bin:$PATH", f"PATH={tmp_path}:$PATH")
    (tmp_path / "configs/deploy").mkdir(parents=True)
    (tmp_path / "configs/deploy/node.env").write_text(text_of("node.env"))
    copy = tmp_path / "configs/deploy/node.sh"
    copy.write_text(script)
    environment = {**os.environ, "ROOKERY_STORAGE__REDIS_URL": url, "ROOKERY_REDIS_PASSWORD": PASSWORD}
    done = subprocess.run(["bash", copy, "run", "check"], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"{expected} run_cluster.py check\n"
