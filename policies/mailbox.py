"""The addresses in a From field, from its raw bytes, in one pass: a decoded display name can't forge structure here."""

MAX_FIELD = 8_000
"""Bytes of a From field that are read; a longer one has no single author worth believing."""
MAX_FOUND = 4
"""More than one is ambiguous already."""


def from_addresses(raw: bytes) -> tuple[str, ...]:
    """Addresses of the mailboxes in the field (RFC 5322 3.4), comments and display names left out; ``()`` when it can't be read."""
    if len(raw) > MAX_FIELD:
        return ()
    text = raw.decode("utf-8", "replace").replace("\r\n", " ").replace("\n", " ")
    if "(" not in text and '"' not in text:
        return tuple(address for address in map(_plain, text.split(",")[:MAX_FOUND]) if address)
    return tuple(address for address in map(_plain, _mailboxes(text)[:MAX_FOUND]) if address)


def _plain(mailbox: str) -> str:
    """The address of one mailbox without quoted strings or comments: what stands in the last pair of angles, or all of it."""
    start = mailbox.rfind("<")
    if start >= 0:
        end = mailbox.find(">", start)
        mailbox = mailbox[start + 1 : end if end >= 0 else len(mailbox)]
    mailbox = "".join(mailbox.split())
    return mailbox if "@" in mailbox.strip("@") else ""


def _mailboxes(text: str) -> list[str]:
    """Split at commas outside quotes, comments and angles; comments and quoted display names are dropped."""
    found: list[str] = []
    kept: list[str] = []
    depth = 0
    quoted = angle = local = False
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and (quoted or depth):
            at += 2
            continue
        if quoted:
            if letter == '"':
                quoted = False
            elif angle or local:
                kept.append(letter)
        elif letter == '"' and not depth:
            quoted, local = True, _local_part(text, at + 1)
        elif letter == "(":
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
        elif not depth:
            angle = letter == "<" or (angle and letter != ">")
            if letter == "," and not angle:
                found.append("".join(kept))
                kept.clear()
            else:
                kept.append(letter)
        at += 1
    found.append("".join(kept))
    return found


def _local_part(text: str, at: int) -> bool:
    """Whether the quoted string at hand is a local part (``"a b"@example``): then its closing quote is followed by ``@``."""
    close = text.find('"', at)
    return close >= 0 and text.startswith("@", close + 1)
