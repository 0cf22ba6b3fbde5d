"""What each listener of a soak had to hear, might hear, and mustn't: by what was written, and when.

    ledger     what people wrote, with the moments between which each write took effect (sent, acknowledged)
    record     what one listener heard, connection by connection, and what it read anew when it was told to
    problems   of a record against the ledger: missed, doubled, out of order, not for its eyes, after its token was void

Rules of this file
- Pure: no network, no clock; moments are seconds of one monotonic clock.
- A listener that keeps cursors is one stream through all of its connections, whatever died in between: what it must
  have heard begins when it first had a cursor, and never ends. Told `recovered: false`, it has read everything anew:
  what it read counts as heard; deletes, edits and notifications from before that moment are in what it read.
- One that keeps none is as many streams as it has connections, since nobody can say what it missed between two. Its
  last one must have everything since its first event, whatever shard was killed meanwhile.
- Who begins or ends to follow or block somebody may hear what is written meanwhile, or not; from the acknowledgement of
  an unfollow or a block on until the opposite is asked for, it mustn't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

FOREVER = float("inf")
OPEN = ("public", "unlisted")  # visibilities of what anybody may see


@dataclass
class Written:
    """A status. named: accounts that it mentions; the moments of deleting it, and of its edits, if there are any."""

    id: str
    author: str
    visibility: str
    sent: float
    acked: float
    named: frozenset[str] = frozenset()
    tag: str = ""
    delete_sent: float = FOREVER
    delete_acked: float = FOREVER
    edits: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Apart:
    """reader mustn't hear author from `begin` (acknowledged) to `end` (asked for); is_block: on public streams, too."""

    reader: str
    author: str
    is_block: bool
    begin: float
    end: float = FOREVER


@dataclass(frozen=True)
class Notice:
    """Something that `to` is notified of once."""

    to: str
    kind: str
    by: str
    status: str
    sent: float
    acked: float


@dataclass
class Ledger:
    """Everything that was written. follows: (reader, author) that held all the time; doubtful: those that didn't."""

    statuses: dict[str, Written] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    apart: list[Apart] = field(default_factory=list)
    follows: set[tuple[str, str]] = field(default_factory=set)
    doubtful: set[tuple[str, str]] = field(default_factory=set)

    def is_apart(self, reader: str, status: Written, blocks_only: bool, sent: float, acked: float) -> bool:
        """Whether a reader had parted from the author before something of a status was sent, until it was there."""
        for each in self.apart:
            is_theirs = (each.reader, each.author) == (reader, status.author) and (each.is_block or not blocks_only)
            if is_theirs and each.begin < sent and acked < each.end:
                return True
        return False


@dataclass(frozen=True)
class Heard:
    """An event. subject: id of a status; of a notification `kind:by:status`. cursor: what came with it."""

    at: float
    event: str
    subject: str
    cursor: str = ""


@dataclass
class Connection:
    """One connection. resumed: it began with a cursor; closed: when it ended, if it did."""

    opened: float
    resumed: bool = False
    heard: list[Heard] = field(default_factory=list)
    closed: float = FOREVER


@dataclass
class Record:
    """What one listener heard. topic: `user`, `public` or `hashtag:NAME`; read: ids of statuses, and subjects of
    notifications, that it read anew, when `recovered` last asked for it; revoked: when its token was void.
    """

    name: str
    reader: str
    topic: str
    keeps_cursors: bool
    connections: list[Connection] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    recovered: list[float] = field(default_factory=list)
    revoked: float = FOREVER

    def streams(self) -> Iterator[list[Heard]]:
        """Yield what must be whole and free of doubles, each by itself."""
        if self.keeps_cursors:
            yield [heard for connection in self.connections for heard in connection.heard]
        else:
            yield from (connection.heard for connection in self.connections)

    @property
    def begins(self) -> float:
        """When it had certainly begun to listen: all that was sent later, it must have."""
        if self.keeps_cursors:
            return next((heard.at for each in self.connections for heard in each.heard if heard.cursor), FOREVER)
        last = self.connections[-1] if self.connections else None
        return last.heard[0].at if last and last.heard and last.closed == FOREVER else FOREVER


def history(record: Record) -> str:
    """Return what happened to a listener, for whoever wonders why it missed something."""
    told = [
        f"{each.opened:.3f} to {each.closed:.3f}{' resumed' * each.resumed}, {len(each.heard)} heard"
        + (f" from {each.heard[0].at:.3f} to {each.heard[-1].at:.3f}" if each.heard else "")
        for each in record.connections
    ]
    anew = "".join(f"; told to read anew at {at:.3f}" for at in record.recovered)
    return f"{record.name}: {'; '.join(told)}{anew}; {len(record.read)} read"


def problems(ledger: Ledger, record: Record) -> list[str]:
    """Return all that is wrong with what a listener heard, nothing if nothing is."""
    found = [*_missed(ledger, record), *_missed_changes(ledger, record), *_missed_notices(ledger, record)]
    return [*final_problems(ledger, record), *(f"{record.name}: {problem}" for problem in [*found, *_open(record)])]


def final_problems(ledger: Ledger, record: Record) -> list[str]:
    """Return what is wrong with what a listener heard, and won't be right however long anybody waits."""
    found = [*_doubled(ledger, record), *_out_of_order(ledger, record), *_forbidden(ledger, record)]
    return [f"{record.name}: {problem}" for problem in found]


def must_hear(ledger: Ledger, record: Record, status: Written) -> bool:
    """Whether a status is for a listener's topic, and nothing that changed meanwhile makes it doubtful."""
    pair = (record.reader, status.author)
    if pair in ledger.doubtful or status.delete_sent < FOREVER:
        return False
    if record.topic == "user":
        return pair in ledger.follows and status.visibility != "direct"
    return status.visibility == "public" and record.topic in ("public", f"hashtag:{status.tag}")


def may_hear(ledger: Ledger, record: Record, status: Written, event: str = "update", at: float = 0.0) -> bool:
    """Whether a listener may be shown a status on its topic at a moment, or an edit of it.

    Who follows by then may, too: whoever resumes is shown what his home has now, and that has what was before.
    """
    moments = status.edits if event == "status.update" else [(status.sent, status.acked)]
    return any(_may_hear_at(ledger, record, status, sent, max(acked, at)) for sent, acked in moments)


def _may_hear_at(ledger: Ledger, record: Record, status: Written, sent: float, acked: float) -> bool:
    reader, is_own = record.reader, record.reader == status.author
    if record.topic != "user":
        right_topic = record.topic in ("public", f"hashtag:{status.tag}")
        return right_topic and status.visibility == "public" and not ledger.is_apart(reader, status, True, sent, acked)
    if is_own or reader in status.named:
        return True
    pair = (reader, status.author)
    is_doubtful = pair in ledger.doubtful and not ledger.is_apart(reader, status, False, sent, acked)
    follows = pair in ledger.follows or is_doubtful
    return follows and status.visibility != "direct"


# ---- each kind of problem -------------------------------------------------------------------------------------------


def _doubled(ledger: Ledger, record: Record) -> Iterator[str]:
    for stream in record.streams():
        counted = Counter((heard.event, heard.subject) for heard in stream)
        for (event, subject), count in counted.items():
            status = ledger.statuses.get(subject)
            most = len(status.edits) if event == "status.update" and status is not None else 1
            if subject.startswith("follow:"):
                continue  # who changes his mind follows again, and is told of again
            if count > most and event in ("update", "delete", "status.update", "notification"):
                yield f"{event} of {subject} came {count} times, of at most {most}"


def _out_of_order(ledger: Ledger, record: Record) -> Iterator[str]:
    """Return what came after something newer of its author.

    Who keeps no cursors is read what he missed out of his home, and that has what those wrote before whom he has begun
    to follow since (docs/mastodon.md).
    """
    for stream in record.streams():
        newest: dict[str, int] = {}
        gone: set[str] = set()
        for heard in stream:
            status = ledger.statuses.get(heard.subject)
            if heard.event == "delete":
                gone.add(heard.subject)
            elif heard.event in ("update", "status.update") and heard.subject in gone:
                yield f"{heard.event} of {heard.subject} came after it was deleted"
            if heard.event == "update" and status is not None:
                before = newest.get(status.author, 0)
                has_followed_since = not record.keeps_cursors and (record.reader, status.author) in ledger.doubtful
                if int(heard.subject) < before and not has_followed_since:
                    yield f"{heard.subject} of {status.author} came after {before}"
                newest[status.author] = max(before, int(heard.subject))


def _forbidden(ledger: Ledger, record: Record) -> Iterator[str]:
    for heard in (heard for connection in record.connections for heard in connection.heard):
        if heard.event not in ("update", "status.update"):
            continue
        status = ledger.statuses.get(heard.subject)
        if status is None:
            yield f"{heard.event} of {heard.subject}, which nobody has written"
        elif not may_hear(ledger, record, status, heard.event, heard.at):
            yield f"{heard.event} of {heard.subject} ({status.visibility}, by {status.author}) isn't for its eyes"
        elif status.sent > record.revoked:
            yield f"{heard.subject} was sent {status.sent - record.revoked:.3f} s after its token was void"


def _open(record: Record) -> Iterator[str]:
    if record.revoked < FOREVER and record.connections and record.connections[-1].closed == FOREVER:
        yield "its token is void, and its connection is open"


def _missed(ledger: Ledger, record: Record) -> Iterator[str]:
    *_, last = record.streams() if record.connections else ([],)
    had = {heard.subject for heard in last if heard.event == "update"} | record.read
    for status in ledger.statuses.values():
        is_due = record.begins < status.sent and status.acked < record.revoked
        if is_due and status.id not in had and must_hear(ledger, record, status) and record.revoked == FOREVER:
            yield f"it missed {status.id} by {status.author}, sent {status.sent:.3f}, acknowledged {status.acked:.3f}"


def _missed_changes(ledger: Ledger, record: Record) -> Iterator[str]:
    """Of what it heard, who keeps cursors hears what becomes of it: unless it has read everything anew since."""
    if not record.keeps_cursors or record.revoked < FOREVER:
        return
    (stream,) = record.streams()
    told_anew = max(record.recovered, default=0.0)
    updates = {heard.subject: heard.at for heard in stream if heard.event == "update"}
    counted = Counter((heard.event, heard.subject) for heard in stream)
    for subject in updates:
        status = ledger.statuses.get(subject)
        if status is None or (record.reader, status.author) in ledger.doubtful:
            continue
        is_gone = status.delete_sent < FOREVER
        if told_anew < status.delete_sent < status.delete_acked < FOREVER and not counted["delete", subject]:
            yield f"it missed that {subject} was deleted at {status.delete_sent:.3f}"
        edits = [sent for sent, _ in status.edits if sent > max(told_anew, updates[subject])]
        if len(edits) > counted["status.update", subject] and not is_gone:
            yield f"it missed {len(edits) - counted['status.update', subject]} of the edits of {subject}"


def _missed_notices(ledger: Ledger, record: Record) -> Iterator[str]:
    if record.topic != "user" or not record.keeps_cursors or record.revoked < FOREVER:
        return
    (stream,) = record.streams()
    had = {heard.subject for heard in stream if heard.event == "notification"} | record.read
    for notice in ledger.notices:
        subject = f"{notice.kind}:{notice.by}:{notice.status}"
        status = ledger.statuses.get(notice.status)
        is_gone = status is not None and status.delete_sent < FOREVER
        if notice.to == record.reader and notice.sent > record.begins and subject not in had and not is_gone:
            yield f"it wasn't notified of {subject}, sent at {notice.sent:.3f}"
