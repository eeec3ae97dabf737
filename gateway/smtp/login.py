"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616) as a sans-io exchange: lines in, credentials or a refusal out."""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from gateway.smtp.reply import Reply

MECHANISMS = ("PLAIN", "LOGIN")
MAX_LOGIN = 255
MAX_PASSWORD = 1024
"""Octets; more would only make argon2 work for a stranger."""

CANCELLED = Reply(501, "5.7.0", "authentication cancelled")
NOT_BASE64 = Reply(501, "5.5.2", "not base64")
MALFORMED = Reply(501, "5.5.2", "malformed credentials")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "mechanism not offered; use PLAIN or LOGIN")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client claims; never shown or logged."""

    login: str
    password: str = field(repr=False)


class Exchange:
    """One AUTH command. ``start()`` and ``answer()`` give a 334 challenge, a refusal, or Credentials to check."""

    __slots__ = ("_login", "_mechanism")

    def __init__(self) -> None:
        self._mechanism = ""
        self._login: bytes | None = None

    def start(self, argument: str) -> Reply | Credentials:
        """The argument of AUTH: a mechanism and perhaps an initial response (``=`` for an empty one)."""
        mechanism, _, initial = argument.partition(" ")
        self._mechanism = mechanism.upper()
        if self._mechanism not in MECHANISMS:
            return UNKNOWN_MECHANISM
        if initial:
            return self.answer("" if initial == "=" else initial)
        return Reply(334, "", "" if self._mechanism == "PLAIN" else _challenge("Username:"))

    def answer(self, line: str) -> Reply | Credentials:
        """The client's next line."""
        if line == "*":
            return CANCELLED
        try:
            octets = b64decode(line.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return NOT_BASE64
        if self._mechanism == "PLAIN":
            return _plain(octets)
        if self._login is None:
            self._login = octets
            return Reply(334, "", _challenge("Password:"))
        return _credentials(self._login, octets)


def _challenge(text: str) -> str:
    return b64encode(text.encode()).decode()


def _plain(octets: bytes) -> Reply | Credentials:
    pieces = octets.split(b"\0")
    if len(pieces) != 3:
        return MALFORMED
    other, login, password = pieces
    if other not in (b"", login):
        return Reply(535, "5.7.8", "acting for somebody else is not possible here")
    return _credentials(login, password)


def _credentials(login: bytes, password: bytes) -> Reply | Credentials:
    if not 0 < len(login) <= MAX_LOGIN or not 0 < len(password) <= MAX_PASSWORD or b"\0" in login + password:
        return MALFORMED
    try:
        return Credentials(login.decode("utf-8"), password.decode("utf-8"))
    except UnicodeDecodeError:
        return MALFORMED
