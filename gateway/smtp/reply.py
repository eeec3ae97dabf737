"""An SMTP answer (RFC 5321 4.2) with its enhanced status code (RFC 2034, RFC 3463)."""

from msgspec import Struct


class Reply(Struct, frozen=True):
    """``code`` 250, ``enhanced`` ``2.0.0`` (or ``""`` where none may stand), ``text`` without line ends."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"

    @property
    def positive(self) -> bool:
        """2xx."""
        return 200 <= self.code < 300

    @property
    def transient(self) -> bool:
        """4xx: try again, nothing lost."""
        return 400 <= self.code < 500
