"""``tag:Name=value``: a header line in front of the bytes; cheap enough for the session."""

MAX_LINE = 900
"""Bytes of the field: a line may have 998 (RFC 5322 2.1.1)."""
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
FORBIDDEN = frozenset({"received", "return-path", "dkim-signature", "authentication-results", "from", "sender", "to"})
"""Fields that say who vouches for a message, or whom it is for: no rule may write them."""


class BadTag(ValueError):
    """The treatment's value is no header line; the text says why."""


def field(value: str) -> bytes:
    """The line, ended by CRLF. Raises BadTag."""
    name, separator, text = value.partition("=")
    name = name.strip()
    if not separator or not name or not set(name) <= _NAME or name.lower() in FORBIDDEN:
        raise BadTag(f"tag:{value[:60]!r} 应写作 / must be written tag:X-Name=value")
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = f"{name}: {words}".encode("utf-8", "replace")
    if len(line) > MAX_LINE:
        raise BadTag(f"tag:{name} 过长 / is longer than {MAX_LINE} bytes")
    return line + b"\r\n"
