"""Passwords that a guesser tries first, and that nobody may choose (NIST SP 800-63B, section 5.1.1.2).

Rules of this file
- Hopeless are: the most common passwords (`hopeless_passwords.txt`, which names its source); the user name or the
  service's, also with digits and signs before and behind; one or two characters again and again. Case never helps.
- It is asked where a password is chosen. Who has one from before logs in with it as ever.
- A refusal says what is wrong with the password, never the password.

Cost: 2 us; the list is read when it is first needed, 0.3 MB.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

LIST = Path(__file__).with_name("hopeless_passwords.txt")
SERVICE = "rookery"
NAME_CHARS_MIN = 4  # of a user name that digits and signs don't hide: a shorter one may stand in a good password
DIFFERENT_CHARS_MIN = 3
_DECORATION = re.compile(r"\A[\W\d_]+|[\W\d_]+\Z")


@functools.cache
def common_passwords() -> frozenset[str]:
    """Return the list, in lower case."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def why_hopeless(password: str, username: str) -> str | None:
    """Return what makes a password hopeless for that user, for a sentence that begins with the field; else None.

    password: as it is hashed (`passwords.prepare_password`).
    """
    folded, name = password.casefold(), username.casefold()
    if folded in common_passwords():
        return "is one of the most common passwords, which are tried first"
    if len(set(folded)) < DIFFERENT_CHARS_MIN:
        return f"needs {DIFFERENT_CHARS_MIN} different characters or more"
    bare = _DECORATION.sub("", folded)
    if folded == name or (len(name) >= NAME_CHARS_MIN and bare == _DECORATION.sub("", name) != ""):
        return "is the user name, which everybody knows"
    if bare == SERVICE:
        return "is the name of this service, which is tried first"
    return None
