"""Every operation, one module a topic; each has OPERATIONS, its rows."""

from __future__ import annotations

from typing import Final

from api.mastodon.description import with_description
from api.mastodon.operations import (
    accounts,
    announcements,
    conversations,
    credentials,
    discovery,
    emails,
    filters,
    filters_v1,
    instance,
    lists,
    markers,
    media,
    notifications,
    oembed,
    people,
    polls,
    profile,
    public_timelines,
    push,
    relationships,
    reports,
    scheduled,
    search,
    status_marks,
    statuses,
    streaming,
    tags,
    timelines,
    trends,
)
from api.mastodon.table import Operations
from api.oauth import operations as oauth

MODULES: Final = (
    accounts,
    announcements,
    conversations,
    credentials,
    discovery,
    emails,
    filters,
    filters_v1,
    instance,
    lists,
    markers,
    media,
    notifications,
    oauth,
    oembed,
    people,
    polls,
    profile,
    public_timelines,
    push,
    relationships,
    reports,
    scheduled,
    search,
    status_marks,
    statuses,
    streaming,
    tags,
    timelines,
    trends,
)
OPERATIONS: Final = Operations(with_description([row for module in MODULES for row in module.OPERATIONS]))
