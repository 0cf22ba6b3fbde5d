"""The wire models of mail: as those of `models.py`, whose rules hold here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api import limits
from api.native.models import OnlyToken, Password

EmailIn = Annotated[str, Field(min_length=3, max_length=254, examples=["ada@example.org"])]
CodeIn = Annotated[str, Field(max_length=64, description="As it was mailed; blanks, signs and case don't matter")]


class MailSettings(BaseModel):
    """What is mailed to whom."""

    email: str | None = Field(description="The address, once it is confirmed", examples=["ada@example.org"])
    waiting: str | None = Field(description="An address that waits for its code to come back")
    notify: dict[str, bool] = Field(description="Types of notifications: whether they are mailed at once")
    digest: bool = Field(description="Whether the others are mailed, once a day, unless somebody has read them")


class ForgottenAccepted(BaseModel):
    """The same for everybody."""

    accepted: Literal[True]


class PasswordReset(BaseModel):
    """The password is another one."""

    reset: Literal[True]


class MailRequest(OnlyToken):
    """What is to be mailed; what isn't given stays."""

    notify: dict[str, bool] | None = Field(
        default=None, description="Types of notifications, as in their lists: mailed at once or not"
    )
    digest: bool | None = Field(default=None, description="Whether the others are mailed, once a day")


class AddressRequest(OnlyToken):
    """Another address, by who knows the password."""

    email: EmailIn
    password: str = Field(max_length=limits.PASSWORD_GIVEN_BYTES_MAX, examples=["correct horse"])


class CodeRequest(OnlyToken):
    """A code that was mailed."""

    code: CodeIn


class ForgottenRequest(BaseModel):
    """Whose password is forgotten."""

    email: EmailIn


class ResetRequest(BaseModel):
    """Another password, by a code that was mailed."""

    email: EmailIn
    code: CodeIn
    new_password: Password


MAIL_REQUESTS: tuple[type[BaseModel], ...] = (MailRequest, AddressRequest, CodeRequest, ForgottenRequest, ResetRequest)
