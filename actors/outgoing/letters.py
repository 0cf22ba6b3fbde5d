"""Mails, written: text and HTML of what an item tells, with headers by which mail programs know what it is.

    Message-ID: <ACCOUNT-ITEM@host>                the same at each attempt: by it a mailbox tells a repetition
    Date: of the item                              List-Unsubscribe, List-Unsubscribe-Post: of notifications (RFC 8058)
    Auto-Submitted: auto-generated                 so that nothing answers by itself (RFC 3834)

Rules of this file
- What comes from people (names, texts) goes into the body, escaped in HTML, and in headers onto one line, without
  control characters; addresses are written as they are checked (`api/access/mail_addresses.py`), or the item goes.
- A mail shows no pictures, loads nothing, and has no links but to this server.
- No In-Reply-To: nobody has asked for it.

Cost: 2 ms a mail, nearly all of it the standard library's headers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from html import escape
from typing import Any, Final, NamedTuple

from actors.core.features.mail import (
    ADDRESS_CHANGED,
    ADDRESS_CHANGING,
    CODE_FOR_ADDRESS,
    CODE_FOR_PASSWORD,
    PASSWORD_CHANGED,
    TEST,
)
from api.access.mail_addresses import is_address
from api.oauth.mail_paths import CONFIRMATION, EDIT_PASSWORD, FORGOTTEN, MAIL, UNSUBSCRIBE

LINE_CHARS_MAX: Final = 900  # of a header: a link that is folded is none (RFC 5322 allows 998)
SUBJECT_CHARS_MAX: Final = 120
EXCERPT_CHARS_MAX: Final = 500
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_HAPPENED: Final = {
    "mention": "mentioned you", "reply": "replied to you", "repost": "reposted your tweet", "like": "liked your tweet",
    "follow": "followed you", "follow_request": "asks to follow you", "tweet": "tweeted", "edit": "edited a tweet",
    "quote": "quoted your tweet", "poll": "ended a poll that you voted in",
}  # fmt: skip


class Letter(NamedTuple):
    """What a mail says. paragraphs: of plain text; links: (words, address) below them; ends: whether its reader may end
    mails of this sort by a link.
    """

    subject: str
    paragraphs: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    ends: bool = False


class ToldNotice(NamedTuple):
    """A notification as a mail tells it. type: native name; who: name and user name; text: of its tweet, or empty."""

    type: str
    name: str
    username: str
    text: str
    tweet_id: str


def on_one_line(text: str, chars_max: int = SUBJECT_CHARS_MAX) -> str:
    """Return a text without line ends and other control characters, and not too long."""
    plain = " ".join(_CONTROL.sub(" ", text).split())
    return plain if len(plain) <= chars_max else plain[: chars_max - 1] + "…"


def told(notification: dict[str, Any]) -> ToldNotice:
    """Return what a notification's native JSON tells."""
    user, tweet = notification["user"], notification["tweet"] or {}
    name = on_one_line(user.get("display_name") or user["username"])
    return ToldNotice(
        notification["type"], name, user["username"], str(tweet.get("status", "")), tweet.get("tweet_id", "")
    )


def letter_with_code(what: str, username: str, code: str, origin: str) -> Letter:
    """Return the mail that brings a code."""
    if what == CODE_FOR_ADDRESS:
        return Letter(
            "Confirm your e-mail address",
            (f"Somebody, you as we hope, wants @{username} to have this address. Its code is", code,
             "It is good for a day, and once. If it wasn't you, do nothing."),
            (("Confirm", f"{origin}{CONFIRMATION}?code={code}"),),
        )  # fmt: skip
    assert what == CODE_FOR_PASSWORD, what
    return Letter(
        "Choose another password",
        (f"Somebody, you as we hope, has forgotten the password of @{username}. By this code you choose another one:",
         code, "It is good for ten minutes, and once. If it wasn't you, do nothing: nobody has seen it but you."),
        (("Choose another password", f"{origin}{EDIT_PASSWORD}?code={code}"),),
    )  # fmt: skip


def letter_of_change(what: str, username: str, other: str, origin: str) -> Letter:
    """Return the mail that says what happened to an address or a password."""
    forgotten = (("It wasn't you? Choose another password", f"{origin}{FORGOTTEN}"),)
    if what == ADDRESS_CHANGING:
        sentence = f"Somebody, you as we hope, wants @{username} to have the address {other} instead of this one."
        return Letter(
            "Your e-mail address is to be changed", (sentence, "Until that is confirmed nothing changes."), forgotten
        )
    if what == ADDRESS_CHANGED:
        return Letter(
            "Your e-mail address was changed", (f"@{username} has the address {other} now, and not this one.",)
        )
    if what == PASSWORD_CHANGED:
        sentence = f"@{username} has another password since a moment ago, and is signed out everywhere."
        return Letter("Your password was changed", (sentence,), forgotten)
    assert what == TEST, what
    return Letter("A test", (f"This is a test for @{username}. Mail comes through.",))


def happened(notice: ToldNotice) -> str:
    """Return a notification in a few words, on one line."""
    return on_one_line(f"{notice.name} {_HAPPENED[notice.type]}")


def letter_of_notice(notice: ToldNotice, origin: str) -> Letter:
    """Return the mail that tells one notification."""
    sentence = f"{notice.name} (@{notice.username}) {_HAPPENED[notice.type]}."
    return Letter(happened(notice), (sentence, *_excerpt(notice)), (_link(notice, origin),), True)


def letter_of_digest(count: int, notices: Sequence[ToldNotice], origin: str) -> Letter:
    """Return the mail that tells those of a day. count: of all; notices: the newest."""
    lines = [f"{each.name} (@{each.username}) {_HAPPENED[each.type]}." for each in notices]
    more = (f"And {count - len(notices)} more.",) if count > len(notices) else ()
    subject = "A notification for you" if count == 1 else f"{count} notifications for you"
    return Letter(subject, ("While you were away:", *lines, *more), (("Open", f"{origin}/"),), True)


def message_of(
    letter: Letter, to: str, sender: str, message_id: str, made_ms: int, origin: str, unsubscribe: str
) -> bytes | None:
    """Return a mail as it is handed over; None if its address can't be written. unsubscribe: the link's token."""
    if not is_address(to) or not to.isprintable():
        return None
    message = EmailMessage((SMTP if to.isascii() else SMTPUTF8).clone(max_line_length=LINE_CHARS_MAX))
    for name, words, address in (("From", "Rookery", sender), ("To", "", to)):
        local, _, host = address.rpartition("@")
        message[name] = Address(words, local, host)
    message["Subject"] = on_one_line(letter.subject)
    message["Date"] = datetime.fromtimestamp(made_ms / 1000, UTC)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    links = list(letter.links)
    if letter.ends:
        leave = f"{origin}{UNSUBSCRIBE}?token={unsubscribe}"
        message["List-Unsubscribe"] = f"<{leave}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        links += [("Choose what is mailed", f"{origin}{MAIL}"), ("No more notifications by mail", leave)]
    text = "\n\n".join((*letter.paragraphs, *(f"{words}: {address}" for words, address in links)))
    message.set_content(_clean(text) + "\n", cte="quoted-printable")
    message.add_alternative(_html(letter.paragraphs, links), subtype="html", cte="quoted-printable")
    # one boundary for one mail, so that a repetition is the same to the byte
    message.set_boundary(f"=_{re.sub('[^0-9A-Za-z]', '_', message_id)}")
    return message.as_bytes()


def _html(paragraphs: Sequence[str], links: Sequence[tuple[str, str]]) -> str:
    said = "".join(f"<p>{escape(_clean(each)).replace(chr(10), '<br>')}</p>\n" for each in paragraphs)
    linked = "".join(f'<p><a href="{escape(address)}">{escape(words)}</a></p>\n' for words, address in links)
    return f'<!DOCTYPE html>\n<html lang="en"><body>\n{said}{linked}</body></html>\n'


def _clean(text: str) -> str:
    return "\n".join(_CONTROL.sub(" ", line) for line in text.split("\n"))


def _excerpt(notice: ToldNotice) -> tuple[str, ...]:
    text = notice.text
    return (text if len(text) <= EXCERPT_CHARS_MAX else text[: EXCERPT_CHARS_MAX - 1] + "…",) if text else ()


def _link(notice: ToldNotice, origin: str) -> tuple[str, str]:
    return (
        "Open",
        f"{origin}/@{notice.username}/{notice.tweet_id}" if notice.tweet_id else f"{origin}/@{notice.username}",
    )
