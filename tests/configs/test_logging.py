"""Logs: one JSON object a line, request ids, and no secret whatever the caller passes."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from configs.logging import REDACTED, configure_logging, redact, redact_text


@pytest.fixture(autouse=True)
def logging_as_before():
    """Put this process's logging back after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def output() -> io.StringIO:
    """Return the stream that JSON logs go to."""
    stream = io.StringIO()
    configure_logging("json", "info", component="rookery:shard-00:replica-0", stream=stream)
    return stream


def events(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_utc_time_and_component(output):
    structlog.get_logger("journal").info("segment closed", records=3)
    [event] = events(output)
    assert event["message"] == "segment closed"
    assert (event["level"], event["logger"], event["records"]) == ("info", "journal", 3)
    assert event["component"] == "rookery:shard-00:replica-0"
    assert datetime.fromisoformat(event["timestamp"]).utcoffset() == timedelta(0)


def test_events_below_the_level_are_dropped(output):
    structlog.get_logger().debug("noise")
    logging.getLogger("library").debug("noise")
    assert events(output) == []


def test_the_standard_library_goes_the_same_way(output):
    logging.getLogger("uvicorn.error").warning("shutting %s", "down", extra={"auth_token": "s3cret"})
    [event] = events(output)
    assert (event["message"], event["logger"], event["auth_token"]) == ("shutting down", "uvicorn.error", REDACTED)


@pytest.mark.parametrize(
    "name",
    [
        "token", "auth_token", "password", "Authorization", "secret", "idempotency_key", "Idempotency-Key", "cookie",
        "secret_hash", "password_hash", "cluster_secret", "status", "text", "bio",
    ],
)  # fmt: skip
def test_a_secret_is_redacted_at_any_depth(output, name):
    structlog.get_logger().info("x", **{name: "s3cret"}, nested={"list": [{name: b"s3cret"}, {name: ["s3cret"]}]})
    assert "s3cret" not in output.getvalue()
    assert events(output)[0][name] == REDACTED


def test_an_http_status_is_no_tweet(output):
    structlog.get_logger().info("served", status=200)
    assert events(output)[0]["status"] == 200


@pytest.mark.parametrize(
    "text",
    [
        "GET /feed?user_id=1&auth_token=s3cret HTTP/1.1",
        "POST /tweet?status=s3cret",
        "Authorization: Bearer s3cret",
        "bearer s3cret",
        "{'password': 's3cret', 'x': 1}",
        '{"auth_token": "s3cret and more"}',
        "Idempotency-Key: s3cret",
        "connecting to redis://me:s3cret@host:6379",
    ],
)
def test_a_secret_inside_any_text_is_redacted(text):
    assert "s3cret" not in redact_text(text)


def test_a_traceback_is_logged_without_secrets_and_without_locals(output):
    hidden_in_a_local = "s3cret"
    try:
        raise ValueError(f"refused auth_token={hidden_in_a_local}")
    except ValueError:
        structlog.get_logger().exception("failed")
    [event] = events(output)
    assert "Traceback" in event["exception"]
    assert "refused auth_token=" in event["exception"]
    assert "s3cret" not in output.getvalue()


def test_an_object_is_logged_as_redacted_text(output):
    class Request:
        def __str__(self) -> str:
            return "Request(token='s3cret')"

    structlog.get_logger().info("x", request=Request())
    assert events(output)[0]["request"] == f"Request(token={REDACTED})"


def test_console_logs_are_redacted_too():
    stream = io.StringIO()
    configure_logging("console", "info", stream=stream)
    structlog.get_logger().info("hello", password="s3cret", nested={"token": "s3cret"})
    assert "hello" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
trees = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.sets(plain), max_leaves=20
)


@given(st.dictionaries(st.text(), trees))
def test_anything_that_can_be_logged_can_be_rendered(event):
    json.dumps(redact(None, "info", dict(event)))
