"""The wire models of webhooks: as those of `models.py`, whose rules hold here."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from actors.core.limits import WEBHOOK_URL_BYTES_MAX
from api.native.models import IdOut, OnlyToken, Open

TypeNames = Annotated[
    list[str], Field(description="Of which notifications it is told", examples=[["mention", "reply", "follow"]])
]


class OwnWebhook(Open):
    """An address that is told of an account's notifications."""

    webhook_id: IdOut
    url: str = Field(examples=["https://example.org/hook"])
    types: TypeNames
    created_at: str = Field(examples=["Wed Sep 05 00:37:15 +0000 2012"])
    rotated_at: str | None = Field(description="When its secret was changed last")
    waiting_count: int = Field(description="Messages that it hasn't taken yet")


class NewWebhook(OwnWebhook):
    """A webhook with its secret, which is told this once."""

    secret: str = Field(description="Verifies signatures (Standard Webhooks)", examples=["whsec_MfKQ9r8GKYqrTwjUPD8I"])


class WebhookTest(Open):
    """A test is on its way."""

    message_id: str = Field(description="The header `webhook-id` with which it comes", examples=["42-1786032416854016"])


class WebhookRequest(OnlyToken):
    """Which address is to be told of what."""

    url: str = Field(max_length=WEBHOOK_URL_BYTES_MAX, examples=["https://example.org/hook"])
    types: TypeNames | None = Field(default=None, description="By default all types")


WEBHOOK_REQUESTS: tuple[type[BaseModel], ...] = (WebhookRequest,)
