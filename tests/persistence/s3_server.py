"""A real S3 server for tests: moto's, in a process of its own, on a free port of loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from bench.processes import free_port

BUCKET = "media"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret-of-tests"}
START_S = 120.0
_SERVE = """
import sys
from werkzeug.serving import run_simple
from moto.server import DomainDispatcherApplication, create_backend_app
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True)
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Give the address of a bucket, as `media.store_url`, while the block runs."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **CREDENTIALS},
    )  # fmt: skip
    try:
        _make_bucket(f"http://127.0.0.1:{port}/{BUCKET}", process)
        yield f"s3://{BUCKET}/some/prefix?endpoint=http://127.0.0.1:{port}&region=us-east-1"
    finally:
        process.kill()
        process.wait()


def _make_bucket(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=START_S).close()
            return
        except urllib.error.URLError:
            assert process.poll() is None, "moto's server ended"
            assert time.monotonic() < deadline, "moto's server doesn't answer"
            time.sleep(0.05)
