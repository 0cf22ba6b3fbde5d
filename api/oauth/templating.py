"""Pages made of templates: every value is escaped, and a value that is missing is a defect, not a blank.

Rules of this file
- Autoescape is on for all templates; the one thing that is not escaped is our own style sheet.
- No scripts, no images, nothing from elsewhere: the policy allows the style sheet by its hash, and nothing else.
- No page may be framed, kept by a cache, or say in a Referer where somebody came from.
- Forms are sent to ourselves only. The authorize page says no `form-action`: Chromium applies it to the redirect that
  follows, which goes to the app.

Cost: 60 us a page; templates are compiled when they are first used, and kept (there are ten).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

_FOLDER: Final = Path(__file__).parent / "templates"
_STYLE: Final = (_FOLDER / "style.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
PAGE_HEADERS: Final = {
    "cache-control": "private, no-store",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
HTML: Final = "text/html; charset=utf-8"
_BETWEEN: Final = "[between]"
_environment: Final = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, auto_reload=False, trim_blocks=True
)
_environment.globals["style"] = Markup(_STYLE)
_environment.globals["layout"] = "base.html"  # of what is shown in the web client, too (`api/web/pages.py`)


def page(
    template: str, title: str, values: Mapping[str, Any], status: int = 200, *, alert: str = "",
    leads_away: bool = False,
) -> Response:  # fmt: skip
    """Return a page. alert: what is wrong, at its top; leads_away: whether its forms may end up at an app."""
    text = _environment.get_template(f"{template}.html").render(values, title=title, alert=alert)
    headers = dict(PAGE_HEADERS)
    if leads_away:
        headers["content-security-policy"] = _POLICY.removesuffix("; form-action 'self'")
    return Response(text, status, headers, media_type=HTML)


def text_round(template: str, title: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """Return a page before and behind its `between`, where its sender puts what is there later, escaped."""
    text = _environment.get_template(f"{template}.html").render(values, title=title, alert="", between=_BETWEEN)
    head, _, tail = text.partition(_BETWEEN)
    return head, tail


def redirect(address: str) -> Response:
    """Send a browser on with GET, whatever it came with (RFC 9700, 4.12)."""
    headers = {"location": address, "cache-control": "private, no-store", "referrer-policy": "no-referrer"}
    return Response(status_code=303, headers=headers)
