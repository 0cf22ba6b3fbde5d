"""What Mastodon's API has and Rookery hasn't, and why. It is answered 404, with that.

By method and path as Mastodon's documentation writes them. What is in neither this table nor that of operations, a
test finds (tests/api/mastodon/test_description.py).
"""

from __future__ import annotations

from typing import Final

_COLLECTIONS: Final = "collections are an experiment of Mastodon 4.6"
_YEARS: Final = "reports of a year are made for whom Mastodon's own site chooses"
_QUOTES: Final = "quotes with approval come with a later version"

NOT_SUPPORTED: Final = {
    "GET /api/v1/accounts/{account_id}/collections": _COLLECTIONS,
    "GET /api/v1/accounts/{account_id}/in_collections": _COLLECTIONS,
    "POST /api/v1/collections": _COLLECTIONS,
    "GET /api/v1/collections/{id}": _COLLECTIONS,
    "PATCH /api/v1/collections/{id}": _COLLECTIONS,
    "DELETE /api/v1/collections/{id}": _COLLECTIONS,
    "POST /api/v1/collections/{collection_id}/items": _COLLECTIONS,
    "DELETE /api/v1/collections/{collection_id}/items/{id}": _COLLECTIONS,
    "POST /api/v1/collections/{collection_id}/items/{id}/revoke": _COLLECTIONS,
    "GET /api/v1/annual_reports": _YEARS,
    "GET /api/v1/annual_reports/{year}": _YEARS,
    "GET /api/v1/annual_reports/{year}/state": _YEARS,
    "POST /api/v1/annual_reports/{year}/generate": _YEARS,
    "POST /api/v1/annual_reports/{year}/read": _YEARS,
    "GET /api/v1_alpha/async_refreshes/{id}": "there is no other server from which something would be fetched",
    "GET /api/v1/timelines/link": "statuses aren't kept by the links in them; search finds them",
    "POST /api/v1/statuses/{id}/translate": "there is no translator",
    "POST /api/v1/statuses/{id}/quotes/{quoting_status_id}/revoke": _QUOTES,
    "PUT /api/v1/statuses/{id}/interaction_policy": _QUOTES,
}
