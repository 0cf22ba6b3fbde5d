"""A real SMTP server on loopback, on the running event loop: it keeps what it gets, and refuses what a test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


class Mailboxes:
    """What was handed over. refuses: what is answered for an address; says: to a message in place of taking it."""

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[tuple[str, bytes]] = []
        self.refuses: dict[str, str] = {}
        self.says = ""
        self.hangs = False
        self.signed_in: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if self.hangs:
            await asyncio.Event().wait()
        if self.says:
            return self.says
        assert isinstance(envelope.content, bytes)
        self.taken += [(address, envelope.content) for address in envelope.rcpt_tos]
        return "250 taken"

    def authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        self.signed_in.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    def messages(self) -> list[EmailMessage]:
        """Return what was taken, parsed."""
        return [message_from_bytes(content, policy=policy.default) for _, content in self.taken]  # type: ignore[misc]


@asynccontextmanager
async def mail_server(
    starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None, asks_who: bool = False
) -> AsyncIterator[Mailboxes]:
    """Serve on a free port of loopback."""
    boxes = Mailboxes()
    loop = asyncio.get_running_loop()

    def make() -> SMTP:
        return SMTP(
            boxes, enable_SMTPUTF8=True, decode_data=False, tls_context=starttls, require_starttls=starttls is not None,
            auth_required=asks_who, authenticator=boxes.authenticate if asks_who else None,
            auth_require_tls=False, hostname="mail.example", loop=loop,
        )  # fmt: skip

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=implicit)
    boxes.port = server.sockets[0].getsockname()[1]
    try:
        yield boxes
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
