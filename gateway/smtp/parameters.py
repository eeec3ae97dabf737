"""The ESMTP parameters of MAIL and RCPT that we offer: SIZE, BODY, SMTPUTF8, RET, ENVID, NOTIFY, ORCPT, AUTH. Pure."""

from dataclasses import dataclass

from msgspec import Struct

from gateway.smtp.addresses import ParameterError, parameters, xtext

MAX_ENVID = 100
"""RFC 3461 4.4."""
MAX_ORCPT = 500
"""RFC 3461 4.2."""
NOTIFY_WORDS = ("SUCCESS", "FAILURE", "DELAY")
MAX_SIZE_DIGITS = 20
"""RFC 1870 3."""


class NotOfferedError(ValueError):
    """A parameter we didn't offer in EHLO (555)."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What every route could do when last asked: EHLO offers no more. ``size`` 0 means no limit but ours."""

    smtputf8: bool = True
    dsn: bool = True
    size: int = 0


class MailParameters(Struct, frozen=True):
    """``size`` is what the client announced, 0 when it didn't. ``ret`` and ``envid`` as written."""

    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """``orcpt`` as written (type;xtext)."""

    notify: tuple[str, ...] = ()
    orcpt: str = ""


PLAIN_MAIL = MailParameters()
PLAIN_RCPT = RcptParameters()


def mail_parameters(text: str, offered: Capabilities, *, auth: bool) -> MailParameters:
    """What stands behind the path of MAIL FROM. Raises ParameterError (501) or NotOfferedError (555)."""
    if not text:
        return PLAIN_MAIL
    size, body, smtputf8, ret, envid = 0, "7BIT", False, "", ""
    for keyword, value in parameters(text).items():
        if keyword == "SIZE":
            size = _size(value)
        elif keyword == "BODY":
            body = _one_of(keyword, value, ("7BIT", "8BITMIME"))
        elif keyword == "SMTPUTF8" and offered.smtputf8:
            if value is not None:
                raise ParameterError("SMTPUTF8 takes no value")
            smtputf8 = True
        elif keyword == "RET" and offered.dsn:
            ret = _one_of(keyword, value, ("FULL", "HDRS"))
        elif keyword == "ENVID" and offered.dsn:
            envid = _xtext(keyword, value, MAX_ENVID)
        elif keyword != "AUTH" or not auth:
            # AUTH= says who wrote the message in the client's opinion (RFC 4954 5); read, and not believed.
            raise NotOfferedError(keyword)
    return MailParameters(size, body, smtputf8, ret, envid)


def rcpt_parameters(text: str, offered: Capabilities) -> RcptParameters:
    """What stands behind the path of RCPT TO. Raises ParameterError (501) or NotOfferedError (555)."""
    if not text:
        return PLAIN_RCPT
    notify: tuple[str, ...] = ()
    orcpt = ""
    for keyword, value in parameters(text).items():
        if keyword == "NOTIFY" and offered.dsn:
            notify = _notify(value or "")
        elif keyword == "ORCPT" and offered.dsn:
            kind, semicolon, _ = (value or "").partition(";")
            if not kind or not semicolon or not kind.isascii():
                raise ParameterError("ORCPT is type;address")
            orcpt = _xtext(keyword, value, MAX_ORCPT)
        else:
            raise NotOfferedError(keyword)
    return RcptParameters(notify, orcpt)


def _size(value: str | None) -> int:
    if not value or len(value) > MAX_SIZE_DIGITS or not value.isascii() or not value.isdigit():
        raise ParameterError("SIZE is a number of octets")
    return int(value)


def _one_of(keyword: str, value: str | None, words: tuple[str, ...]) -> str:
    if value is None or value.upper() not in words:
        raise ParameterError(f"{keyword} is {' or '.join(words)}")
    return value.upper()


def _xtext(keyword: str, value: str | None, limit: int) -> str:
    if not value or len(value) > limit:
        raise ParameterError(f"{keyword} is 1 to {limit} characters")
    xtext(value)
    return value


def _notify(value: str) -> tuple[str, ...]:
    words = tuple(value.upper().split(","))
    if words == ("NEVER",):
        return words
    if not set(words) <= set(NOTIFY_WORDS) or len(set(words)) != len(words):
        raise ParameterError("NOTIFY is NEVER, or SUCCESS, FAILURE, DELAY")
    return words
