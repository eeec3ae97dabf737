"""What is judged is what leaves: our own banners come off before the look, so that taking one off can't put a word together."""

import pytest

from gateway.treatments import banner, trim
from scanners.message import Direction, Message
from tests.scanners.letters import envelope

ABROAD = frozenset({"ours.test"})
"""Our domains, of which the recipient's is none."""
HEAD = b"From: li@corp.test\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/%s; charset=utf-8\r\n\r\n"
BLOCK = "<div>【外部 External · 信关 Sealgate】</div>"
SPLIT = [
    ("html", f"<p>见合同{BLOCK}总价 100 万</p>"),
    ("html", f"<p>见合同<span>{BLOCK}</span>总价 100 万</p>"),
    ("html", f"<p>见合同<div>【外{BLOCK}部 · 信关 Sealgate】</div>总价 100 万</p>"),
    ("plain", "见合同\r\n【外部 External · 信关 Sealgate】\r\n\r\n总价 100 万"),
]


def mail(kind: str, text: str) -> bytes:
    return HEAD % kind.encode() + text.encode() + b"\r\n"


def words(message: Message) -> str:
    return "".join("".join(part.text.split()) for part in message.parts if part.text)


@pytest.mark.parametrize(("kind", "text"), SPLIT)
def test_a_banner_between_two_halves_of_a_word_hides_nothing(kind: str, text: str) -> None:
    raw = mail(kind, text)
    message, leaves = trim.read(envelope(Direction.OUTBOUND), raw, ABROAD)
    assert "合同总价" in words(message)
    assert "Sealgate" not in words(message)
    assert message.raw == raw, "what was accepted is what custody keeps and the log commits to"
    assert leaves != raw
    assert banner.off_replies(leaves) == leaves, "nothing is taken off afterwards"


@pytest.mark.parametrize(
    ("kind", "text"), [*SPLIT, ("html", '<p>见合同<div title="【信关 Sealgate】">x</div>总价</p>')]
)
def test_custody_sends_what_was_judged(kind: str, text: str) -> None:
    raw, out = mail(kind, text), envelope(Direction.OUTBOUND)
    assert trim.trimmed(out, raw, len(HEAD), "gw.test", ABROAD) == trim.read(out, raw, ABROAD)[1]


@pytest.mark.parametrize(("kind", "text"), SPLIT)
def test_among_ourselves_and_on_the_way_in_the_warning_stays(kind: str, text: str) -> None:
    raw = mail(kind, text)
    for way, local in ((Direction.OUTBOUND, frozenset({"corp.test"})), (Direction.INBOUND, ABROAD)):
        message, leaves = trim.read(envelope(way), raw, local)
        assert leaves is raw
        assert "信关Sealgate】" in words(message)
