"""The pure parts of reading, in a browser: timeline and store are held to what they are by seeded orders."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from api.web.assets import client_files

MODELS = Path(__file__).parent / "models"
SEEDS, STEPS = 400, 120


@pytest.fixture
def run_model(open_page):
    """Return what runs a model of `models/` beside a module of the client, and returns what went wrong."""
    open_page.allow("favicon.ico")
    page = open_page("/robots.txt")
    page.route(
        "**/models/*.js",
        lambda route: route.fulfill(path=MODELS / route.request.url.rsplit("/", 1)[1], content_type="text/javascript"),
    )

    def run(model: str, module: str, *given: int) -> Any:
        return page.evaluate(
            """async ([model, module, given]) => (await import(model)).run(await import(module), ...given)""",
            [f"/models/{model}", client_files().address(module), given],
        )

    return run


def test_a_timeline_has_every_id_once_newest_first_and_gaps_exactly_where_something_may_be_missing(run_model):
    first = random.randrange(1_000_000)  # other orders each time; those that fail are named
    assert run_model("timeline_model.js", "state/timeline.js", first, SEEDS, STEPS) == []


def test_the_store_knows_all_that_was_told_is_bounded_and_tells_who_watches(run_model):
    assert run_model("store_model.js", "state/store.js", 1, 30) == []
