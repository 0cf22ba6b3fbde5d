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
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from bench.processes import free_port
from configs.settings import load_settings
from tests.serving import wait_for

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
    assert [path for path in named if not (ROOT / path).exists()] == []
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text_of("Dockerfile"), re.MULTILINE)
    assert [path for paths in copied for path in paths.split() if not (ROOT / path).exists()] == []
    assert os.access(ROOT / NODE_SCRIPT, os.X_OK)
    assert re.search(r"^setup:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_what_the_image_leaves_out_it_does_not_need():
    ignored = text_of("Dockerfile.dockerignore").split()
    needed = {"actors", "api", "bench", "cluster", "configs", "persistence", "Makefile", "constraints.txt"}
    assert not needed & set(ignored)
    assert {".git", ".venv", "data"} <= set(ignored)


def test_versions_agree(manifests, ray_groups, compose):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert manifests["RayCluster", "rookery"]["spec"]["rayVersion"] == pinned["ray"]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in ray_groups}
    images |= {compose["services"][name]["image"] for name in ("head", "worker")}
    assert images == {f"rookery:{version}"}
    bases = re.findall(r"^FROM (\S+)", text_of("Dockerfile"), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-\w+", bases[0])


def test_no_file_holds_a_secret_and_no_container_runs_as_root(manifests, ray_groups):
    assert "Secret" not in {kind for kind, _ in manifests}
    assert re.search(r"^USER 10001$", text_of("Dockerfile"), re.MULTILINE)
    pods = [group["template"]["spec"] for group in ray_groups]
    pods.append(manifests["StatefulSet", "rookery-redis"]["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            password = next(e for e in container["env"] if e["name"] == "REDIS_PASSWORD")
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
    assert services["redis"]["command"][1:5] == ["--appendonly", "yes", "--appendfsync", "always"]


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
    redis = manifests["RayCluster", "rookery"]["spec"]["gcsFaultToleranceOptions"]["redisAddress"]
    assert redis == "rookery-redis:6379"
    assert ("Service", "rookery-redis") in manifests


def test_ray_s_own_schema_accepts_the_cluster_file():
    config = yaml.safe_load(text_of("ray-cluster.yaml"))
    validate_config(prepare_config(config))
    assert config["max_workers"] == len(config["provider"]["worker_ips"])
    config["head_start_ray_command"] = []
    with pytest.raises(Exception, match="head_start_ray_command"):
        validate_config(config)


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
def test_the_start_script_makes_a_cluster_of_a_head_and_a_worker(nodes, data_dir):
    head_port, port = free_port(), free_port()
    address = f"127.0.0.2:{head_port}"  # Ray would put an outer address in the place of 127.0.0.1
    options = "--object-store-memory=80000000 --min-worker-port=0 --max-worker-port=0 --block"
    nodes.append(
        Node(
            "head",
            f"ray start --head --node-ip-address=127.0.0.2 --port={head_port} --num-cpus=0 "
            f"--include-dashboard=false --ray-client-server-port={free_port()} "
            f"--dashboard-agent-listen-port={free_port()} {options}",
            data_dir / "head.log",
            ROOKERY_CLUSTER__RAY_ADDRESS=address,
            ROOKERY_CLUSTER__RAY_NODE_IP="127.0.0.2",
            ROOKERY_SERVER__PORT=str(port),
            ROOKERY_SERVER__HOST="node",
            ROOKERY_CLUSTER__SHARDS="1",
            ROOKERY_STORAGE__DATA_DIR=str(data_dir / "data"),
        )
    )
    wait_for(lambda: "Connected to Ray cluster" in nodes[0].log.read_text() or nodes[0].process.poll() is not None)
    start = f"ray start --address={address} --node-ip-address=127.0.0.3 --num-cpus=2 {options} "
    start += f"--dashboard-agent-listen-port={free_port()}"
    nodes.append(Node("worker", start, data_dir / "worker.log", ROOKERY_STORAGE__DATA_DIR=str(data_dir / "data")))
    wait_for(lambda: answers(f"http://127.0.0.3:{port}/readyz") or any(n.process.poll() is not None for n in nodes))
    logs = "".join(node.log.read_text()[-2000:] for node in nodes)
    assert answers(f"http://127.0.0.3:{port}/readyz"), logs
    assert not answers(f"http://127.0.0.2:{port}/healthz"), "a head without CPUs has no API worker"
    assert [node.stop() for node in nodes] == [0, 0], logs


def test_the_start_script_refuses_another_role():
    done = subprocess.run([str(DEPLOY / "node.sh"), "both"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (2, b"the first argument is head or worker, not both\n")
