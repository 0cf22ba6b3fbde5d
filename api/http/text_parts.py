"""The parts of a `multipart/form-data` body, all of them texts: Starlette's parser within our bounds.

Rules of this file
- The parser is told of Content-Type what it needs, the boundary, and nothing else. The whole header would go through
  a splitter whose work per byte is that of a thousand; and `charset` may name any codec that Python has: `punycode`
  decodes in quadratic time (64 KB in 0.1 s), `unicode_escape` is no charset at all. Bodies are UTF-8, see `body.py`.
- A part's headers are as short as those of a text are: a name. Content-Type and headers of 4 KB, which the parser
  allows, made one body of 64 KB take 40 ms.
- Files are taken where a call takes some (`files_max`), as texts under their parts' names, in memory, as a body is
  bounded. Elsewhere they are refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from actors.core.errors import MalformedError
from api.limits import FORM_FIELD_COUNT_MAX

CONTENT_TYPE_CHARS_MAX: Final = 512  # a boundary has 70 at most (RFC 2046)
FILE_BYTES_MAX: Final = 8 * 1024 * 1024  # of one file in memory: more than a body may have
PART_HEADER_BYTES_MAX: Final = 1_024  # of a value; our longest names have a dozen


class _TextParts(MultiPartParser):
    """See the head of the file."""

    spool_max_size = FILE_BYTES_MAX

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """Take in a piece of a part's header."""
        if len(self._current_partial_header_value) + end - start > PART_HEADER_BYTES_MAX:
            raise MultiPartException(f"a part has a header of more than {PART_HEADER_BYTES_MAX} bytes")
        super().on_header_value(data, start, end)


async def parse_parts(content_type: str, raw: bytes, files_max: int = 0) -> list[tuple[str, str]]:
    """Return the names and texts of a body, in order. raw: UTF-8. Raises MalformedError."""
    if len(content_type) > CONTENT_TYPE_CHARS_MAX:
        raise MalformedError(
            f"Content-Type has {len(content_type)} characters; at most {CONTENT_TYPE_CHARS_MAX} are read"
        )
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if boundary is None:
        raise MalformedError("the multipart form can't be read: Missing boundary in multipart.")
    quoted = boundary.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')

    async def stream() -> AsyncIterator[bytes]:
        yield raw

    headers = Headers({"content-type": f'multipart/form-data; boundary="{quoted}"'})
    parser = _TextParts(headers, stream(), max_files=files_max, max_fields=FORM_FIELD_COUNT_MAX)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError, UnicodeDecodeError) as error:
        raise MalformedError(f"the multipart form can't be read: {getattr(error, 'message', error)}") from error
    found = []
    for name, value in form.multi_items():
        found.append((name, value if isinstance(value, str) else (await value.read()).decode()))
    await form.close()
    return found
