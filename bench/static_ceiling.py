"""The ceiling: a FastAPI route with two validated parameters that returns bytes that it has, on the same server.

    python -m bench.static_ceiling --port 8002 --body-bytes 4600

Nothing that validates with FastAPI serves faster than this here; Rookery's home route goes below it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query
from starlette.responses import Response

from bench.processes import accepts, free_port, python_module, running

START_TIMEOUT_S = 30.0


def create_app(body_bytes: int) -> FastAPI:
    """Return an app with one route."""
    app = FastAPI()
    body = b'["' + b"x" * (body_bytes - 4) + b'"]'

    @app.get("/api/v1/home_timeline")
    async def home_timeline(
        user_id: Annotated[int, Query(ge=1)], count: Annotated[int, Query(ge=1, le=200)] = 20
    ) -> Response:
        return Response(body, media_type="application/json")

    return app


@contextmanager
def static_ceiling(folder: Path, body_bytes: int) -> Iterator[int]:
    """Run it while the block runs; yields its port."""
    port = free_port()
    command = python_module("bench.static_ceiling", "--port", port, "--body-bytes", body_bytes)
    with running(command, folder / "static.log", lambda: accepts(("127.0.0.1", port)), START_TIMEOUT_S):
        yield port


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body-bytes", type=int, default=4600)
    options = parser.parse_args()
    uvicorn.run(
        create_app(options.body_bytes), host="127.0.0.1", port=options.port, http="httptools", loop="uvloop", ws="none",
        access_log=False, server_header=False, log_level="warning", backlog=2048,
    )  # fmt: skip


if __name__ == "__main__":
    main()
