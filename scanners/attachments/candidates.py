"""Passwords the mail itself gives away: words of its subject and text, those beside 密码 or "password" first."""

from scanners.message import Message

MAX_WORDS = 96
"""Each costs a key derivation; senders who tell the password put it in plain sight."""
_SAMPLE = 20_000
"""Characters of text looked at."""
_HINTS = ("密码", "口令", "解压", "密碼", "password", "passwd", "passcode", "pwd", "pass", "pin")
_BREAKS = str.maketrans(dict.fromkeys("，。；：、！？（）【】《》“”‘’\"'<>()[]{}：,;|\t\r\n\u3000\xa0", " "))
_COMMON = ("infected", "123456", "password", "1234", "12345678")
"""What malware sharers and careless senders use."""


def passwords(message: Message) -> tuple[str, ...]:
    """Candidates in the order to try them, at most ``MAX_WORDS``. Linear in the text."""
    texts = [message.subject, *(part.text or "" for part in message.parts if part.is_body)]
    near: list[str] = []
    other: list[str] = []
    for text in texts:
        for line in text[:_SAMPLE].splitlines():
            lowered = line.lower()
            hinted = any(hint in lowered for hint in _HINTS)
            (near if hinted else other).extend(_words(line, hinted))
    return tuple(dict.fromkeys([*near, *_COMMON, *other]))[:MAX_WORDS]


def _words(line: str, hinted: bool) -> list[str]:
    words = []
    for word in line.translate(_BREAKS).split():
        words.append(word)
        if hinted:
            words.extend(word.rpartition(mark)[2] for mark in (":", "=", "是", "为", "is") if mark in word)
        stripped = word.strip(".!?-_*`")
        if stripped != word:
            words.append(stripped)
        if hinted:
            words.extend(_ascii_runs(word))
    return [word for word in words if 3 <= len(word) <= 64]


def _ascii_runs(word: str) -> list[str]:
    """``密码是abc123请查收`` holds ``abc123``."""
    return "".join(character if "!" <= character <= "~" else " " for character in word).split()
