"""Where the pages of mail are, for those who write links to them.

Rule: nothing is imported here that a dispatcher, which has no web server, would have to load (17 MB).
"""

from __future__ import annotations

from typing import Final

FORGOTTEN: Final = "/auth/password/new"
EDIT_PASSWORD: Final = "/auth/password/edit"
CONFIRMATION: Final = "/auth/confirmation"
MAIL: Final = "/settings/mail"
MAIL_ADDRESS: Final = "/settings/mail/address"
UNSUBSCRIBE: Final = "/unsubscribe"
END_MAIL: Final = "end mail"  # what a link of UNSUBSCRIBE is for
