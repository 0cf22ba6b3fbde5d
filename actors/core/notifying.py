"""Whether the table of effects says of every notification what it has to: checked when the table is put together.

Rules of this file
- A row that notifies names a type of the closed list, and facts that its own effect carries, and so does the effect
  that takes it back: who is notified, who did it, and what it is about. Else nobody could take it back.
- An effect that comes too late (its tweet is gone, a block stands between the two) notifies nobody.
- API workers import the table, and so this: it loads no kernels.

Deliberately not here: notifying (`noticing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.core.terms import NOTIFICATION_TYPES, Effect, Notified, Notifies


def require_notifiable(effects: Mapping[str, Effect]) -> None:
    """Raise ValueError that names the effect whose `notifies` can't be carried out, and why."""
    for effect in effects.values():
        if effect.notifies is not None:
            _require(effect, effect.notifies, effects)


def _require(effect: Effect, notifies: Notifies, effects: Mapping[str, Effect]) -> None:
    if notifies.type not in NOTIFICATION_TYPES:
        raise ValueError(
            f"effect {effect.name} notifies of {notifies.type!r}, which is none of {', '.join(NOTIFICATION_TYPES)}"
        )
    if notifies.step and notifies.step not in effect.carries:
        raise ValueError(f"effect {effect.name} doesn't carry {notifies.step}, which is to say whether it is undone")
    if notifies.unless and notifies.unless not in effect.carries:
        raise ValueError(f"effect {effect.name} doesn't carry {notifies.unless}, without which it is to notify nobody")
    if notifies.step and effect.undone_by != effect.name:
        raise ValueError(f"effect {effect.name} says by {notifies.step} that it is undone, and by {effect.undone_by!r}")
    if notifies.to is Notified.REPOSTERS:
        for field in ("actor", notifies.about):
            _require_carried(effect, effect, field)
        return
    undoing = effects.get(effect.undone_by)
    if undoing is None:
        raise ValueError(f"effect {effect.name} notifies, but {effect.undone_by!r} is no effect that takes it back")
    for each in (effect, undoing):
        for field in (notifies.to.value, "actor", notifies.about):
            _require_carried(effect, each, field)
    for name in notifies.also:
        if name not in effects:
            raise ValueError(f"what effect {effect.name} notifies of is taken back by {name!r}, which is no effect")
        _require_carried(effect, effects[name], "tweet")


def _require_carried(effect: Effect, carrier: Effect, field: str) -> None:
    if not {field, f"{field}s"} & set(carrier.carries):
        raise ValueError(f"what effect {effect.name} notifies of needs a {field}, which {carrier.name} doesn't carry")
