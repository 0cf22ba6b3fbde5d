"""Structured logs: JSON or console, UTC times, request ids, and never a secret or a tweet's text.

Rules of this file
- Callers log facts as keywords: `log.info("journal cut", file=name, offset_bytes=at)`, with
  `structlog.get_logger()`; only processes' entry points import this module, to call `configure_logging` once.
- Redaction is the last step before rendering, so it also sees what libraries log, formatted tracebacks and bound
  context. It works on names (a closed list below) and on shapes inside any text: bearer headers, secrets in query
  strings, passwords in URLs. Callers needn't remember it.
- How many entries there are in a second is bounded by the filter that a process gives (`actors/log_bound.py`), how
  large one is by TEXT_CHARS_MAX.
- Logs go to stderr; stdout belongs to data. Inside a Ray actor Ray carries stderr to its session logs and, where that
  is on, to the driver.

How it works: structlog hands its events to the standard library's root logger, whose one handler renders both those
and the records of libraries (uvicorn, ray's Python side, duckdb) through the same processors.

What it costs: about 55 us an event that is written; 4 us one below the level.
Nothing on the path of a single read or write should log at info.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
DEPTH_MAX = 6  # containers inside containers that are searched; deeper ones are left out whole
TEXT_CHARS_MAX = 16_384  # of one text: a long traceback has half of that

# Names whose value is a secret, whole. Compared in lower case with - as _.
_SECRET_NAMES = frozenset(
    {
        "access_token", "api_key", "auth_token", "authorization", "bearer", "cluster_secret", "cookie", "credentials",
        "idempotency_key", "key", "passwd", "password", "password_hash", "secret", "secret_hash", "set_cookie", "token",
    }
)  # fmt: skip
_SECRET_ENDINGS = ("_token", "_password", "_secret", "_secret_hash", "_password_hash", "_idempotency_key")
# Names that hold people's words when they are text. An integer `status` is an HTTP status and stays.
_WORDS_NAMES = frozenset({"bio", "body", "status", "text", "tweet", "tweet_text"})

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=\-]+"), rf"\g<1>{REDACTED}"),
    (
        re.compile(
            r"""(?ix) ( ["']? \b (?: auth_token | access_token | token | password | secret | idempotency[_-]key
            | authorization ) ["']? \s* [=:] \s* ) (?: "[^"]*" | '[^']*' | [^\s&"',;)}\]]+ )"""
        ),
        rf"\g<1>{REDACTED}",
    ),
    (re.compile(r"(?i)([?&]status=)[^\s&]+"), rf"\g<1>{REDACTED}"),
    (re.compile(r"(://[^:@/\s]*:)[^@\s]+@"), rf"\g<1>{REDACTED}@"),
)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace secrets and tweet texts anywhere in an event; a structlog processor."""
    return {name: _clean(name, value, DEPTH_MAX) for name, value in event.items()}


def redact_text(text: str) -> str:
    """Return text without bearer tokens, secrets in query strings or `name=value` pairs, and passwords in URLs.

    Of more than TEXT_CHARS_MAX characters the rest is left out.
    """
    if len(text) > TEXT_CHARS_MAX:
        text = f"{text[:TEXT_CHARS_MAX]}... ({len(text) - TEXT_CHARS_MAX} characters more)"
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def _clean(name: object, value: Any, depth: int) -> Any:
    plain = str(name).lower().replace("-", "_")
    if plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS):
        return value if value is None or isinstance(value, bool) else REDACTED
    if plain in _WORDS_NAMES and not (value is None or isinstance(value, int | float)):
        return REDACTED
    return _clean_value(value, depth)


def _clean_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(key): _clean(key, inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean_value(inner, depth - 1) for inner in value]
    return redact_text(str(value))


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Write to whatever `sys.stderr` is now: Ray and pytest replace it after start-up."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        raise AttributeError("the stream of this handler is always sys.stderr")


LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logging(
    format: LogFormat = "console",
    level: LogLevel = "info",
    *,
    component: str | None = None,
    stream: TextIO | None = None,
    bound: logging.Filter | None = None,
) -> None:
    """Set up this process's logs; calling it again replaces the set-up.

    component: readable name of the process, such as `rookery:shard-00:replica-0`, on every line.
    stream: where to write; the current `sys.stderr` if not given. bound: says of each record whether it is written.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_component(component),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream) if stream is not None else _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                *_renderer(format, handler.stream),
            ],
        )
    )
    if bound is not None:
        handler.addFilter(bound)
    _take_over_stdlib(handler, level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # module-level loggers must follow a later set-up; costs about 1 us a call
    )


def _add_component(component: str | None) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if component is not None:
            event.setdefault("component", component)
        return event

    return add


def _renderer(format: str, stream: TextIO) -> list[Processor]:
    if format == "json":
        return [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer(ensure_ascii=False)]
    # The plain formatter: the rich one prints local variables, which is where the secrets are.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]


def _take_over_stdlib(handler: logging.Handler, level: str) -> None:
    """Make this handler the root's only one, and let uvicorn's loggers (which bring their own) use it too."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The API writes its own access log; uvicorn's words at start and end say nothing that the actors don't.
    logging.getLogger("uvicorn.access").setLevel("WARNING")
    logging.getLogger("uvicorn.error").setLevel("WARNING")
