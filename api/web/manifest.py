"""What browsers ask for at the root of a site: how to install it, its service worker, and what robots may read.

Rules of this file
- The service worker is the client's `sw.js` behind a line that says which files of which version to keep. So it changes
  with any of them, and a browser that looks for a new one finds it.
- Nothing here is asked of anybody else, and nothing says who looks.
"""

from __future__ import annotations

from typing import Final

import orjson

from api.web.assets import SERVICE_WORKER, Asset, Assets, asset_of

ICON: Final = "icons/rookery.svg"
ROBOTS: Final = (
    b"User-agent: *\nDisallow: /api/\nDisallow: /oauth/\nDisallow: /auth/\nDisallow: /settings\nDisallow: /search\n"
)
_COLOUR: Final = "#1d1b2e"


def manifest_of(title: str) -> bytes:
    """Return the manifest: installing, and being what other apps share to."""
    icon = {"src": "/favicon.svg", "sizes": "any", "type": "image/svg+xml"}
    return orjson.dumps(
        {
            "name": title, "short_name": title[:12], "id": "/", "start_url": "/", "scope": "/",
            "display": "standalone", "background_color": _COLOUR, "theme_color": _COLOUR,
            "icons": [{**icon, "purpose": "any"}, {**icon, "purpose": "maskable"}],
            "share_target": {
                "action": "/compose", "method": "GET",
                "params": {"title": "title", "text": "text", "url": "url"},
            },
            "shortcuts": [
                {"name": "Write", "url": "/compose"}, {"name": "Notifications", "url": "/notifications"},
            ],
        }
    )  # fmt: skip


def worker_of(assets: Assets) -> Asset:
    """Return the service worker as it is served; one that does nothing where the client has none."""
    file = assets.files.get(SERVICE_WORKER)
    kept = [assets.address(name) for name in assets.files if name != SERVICE_WORKER]
    facts = orjson.dumps({"version": assets.version, "files": kept}).decode()
    body = f"self.ROOKERY = {facts};\n".encode() + (file.body if file is not None else b"")
    return asset_of(SERVICE_WORKER, "text/javascript; charset=utf-8", body)
