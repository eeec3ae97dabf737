"""The scenes: what is sent, and what must then be true at the client, at the corporate server and in the log.

A scene plays and gives a Seen; its check is pure and lists what does not match, so a test can break each check once.
"""

import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp

from gateway.demo import mails
from gateway.demo.stage import Answer, Printed, Stage
from gateway.demo.stubs import Delivered

ARRIVES_TRIES, ARRIVES_PAUSE_S = 600, 0.1
"""A released mail arrives within seconds; a minute on a machine that is busy with other work."""
COPY_TRIES = 10
"""The keeper goes on while its log is copied: what it has renamed meanwhile is missed, and copied the next time."""
INSIDE = "zhang@corp.test"
OUTSIDE = "buyer@acme.example"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one scene left behind: the client's answer, new mail at the server, the message's events, commands' output."""

    answer: Answer | None = None
    delivered: tuple[Delivered, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    printed: tuple[Printed, ...] = ()
    sent: bytes = b""

    @property
    def decided(self) -> Mapping[str, Any]:
        """The message.decided event, or an empty one."""
        return next((event for event in self.events if event["type"] == "message.decided"), {})

    @property
    def codes(self) -> set[str]:
        """Finding codes in the log."""
        return {str(finding["code"]) for finding in self.decided.get("findings", ())}

    @property
    def types(self) -> list[str]:
        """Event types in order."""
        return [str(event["type"]) for event in self.events]


@dataclass(frozen=True, slots=True)
class Scene:
    """One line of the demo."""

    name: str
    play: Callable[[Stage, "Story"], Awaitable[Seen]]
    check: Callable[[Seen], list[str]]
    said: Callable[[Seen], str]
    zh: str


@dataclass
class Story:
    """What later scenes need to know of earlier ones."""

    held: str = ""
    held_bytes: bytes = b""


def expect(*claims: tuple[bool, str]) -> list[str]:
    """The texts of the claims that do not hold."""
    return [text for true, text in claims if not true]


async def _send(stage: Stage, listener: str, sender: str, to: str, data: bytes, client: str | None = None) -> Seen:
    before = len(_to(stage, to))
    answer = await stage.send(listener, sender, [to], data, client)
    events = tuple(stage.events(answer.message_id)) if answer.message_id else ()
    return Seen(answer, _to(stage, to)[before:], events, sent=data)


def _to(stage: Stage, address: str) -> tuple[Delivered, ...]:
    """What reached one person: notices to the sender are not what a scene is about."""
    return tuple(each for each in stage.delivered() if address in each.recipients)


def _reply(seen: Seen) -> str:
    return f"{seen.answer.code} {seen.answer.text}" if seen.answer else "no answer"


# 1 --------------------------------------------------------------------------------------------------------------------
async def clean(stage: Stage, story: Story) -> Seen:
    """A partner's signed mail."""
    raw = mails.signed(
        mails.mail(f"Ann <ann@{mails.PARTNER}>", INSIDE, "Quotation 报价", "Dear Zhang, see you."), stage.keys
    )
    return await _send(stage, "inbound", f"ann@{mails.PARTNER}", INSIDE, raw, mails.PARTNER_IP)


def clean_check(seen: Seen) -> list[str]:
    """Relayed in the session, byte for byte, with results that pass."""
    data = seen.delivered[0].data if seen.delivered else b""
    results = data[: data.find(b"\r\n\r\n")].replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
    return expect(
        (seen.answer is not None and seen.answer.code == 250, f"client: {_reply(seen)}"),
        (len(seen.delivered) == 1, f"server: {len(seen.delivered)} messages"),
        (data.endswith(seen.sent), "server: the bytes are not as they were sent"),
        (
            all(word in results for word in (b"spf=pass", b"dkim=pass", b"dmarc=pass", b"arc=none")),
            "server: results field",
        ),
        (seen.types == ["message.decided", "message.relayed"], f"log: {seen.types}"),
    )


# 2 --------------------------------------------------------------------------------------------------------------------
async def spoofed(stage: Stage, story: Story) -> Seen:
    """Somebody else's mail in the name of a bank that asks for rejection."""
    raw = mails.mail("CEO <ceo@bank.example>", INSIDE, "Urgent 紧急付款", "Please pay today.")
    return await _send(stage, "inbound", "ceo@bank.example", INSIDE, raw, mails.STRANGER_IP)


def spoofed_check(seen: Seen) -> list[str]:
    """Refused with the DMARC code; the server saw nothing."""
    return expect(
        (
            seen.answer is not None and seen.answer.code == 550 and "5.7.26" in seen.answer.text,
            f"client: {_reply(seen)}",
        ),
        (not seen.delivered, "server: it arrived"),
        ("auth.dmarc.fail" in seen.codes, f"log: findings {sorted(seen.codes)}"),
        (seen.decided.get("outcome") == "refuse", f"log: outcome {seen.decided.get('outcome')}"),
    )


# 3 --------------------------------------------------------------------------------------------------------------------
async def malware(stage: Stage, story: Story) -> Seen:
    """The industry's test string, zipped, from an authenticated partner."""
    raw = mails.mail(
        f"ann@{mails.PARTNER}", INSIDE, "Drawings", "see attachment", {"a.zip": mails.zipped("b.com", mails.EICAR)}
    )
    return await _send(
        stage, "inbound", f"ann@{mails.PARTNER}", INSIDE, mails.signed(raw, stage.keys), mails.PARTNER_IP
    )


def malware_check(seen: Seen) -> list[str]:
    """Refused; the finding names the rule."""
    return expect(
        (
            seen.answer is not None and seen.answer.code == 550 and "5.7.1" in seen.answer.text,
            f"client: {_reply(seen)}",
        ),
        (not seen.delivered, "server: it arrived"),
        ("malware.yara.eicar" in seen.codes, f"log: findings {sorted(seen.codes)}"),
    )


# 4 --------------------------------------------------------------------------------------------------------------------
async def contract(stage: Stage, story: Story) -> Seen:
    """Outbound, blanks and traditional characters in between; then a release with a wrong code."""
    raw = mails.mail(INSIDE, OUTSIDE, "Contract", "附件为合同。本 合 同 總 價：USD 120,000")
    seen = await _send(stage, "outbound", INSIDE, OUTSIDE, raw)
    assert seen.answer is not None
    story.held, story.held_bytes = seen.answer.message_id, raw
    wrong = await _release(stage, story.held, "000000")
    return Seen(seen.answer, seen.delivered, seen.events, (wrong,), raw)


async def _release(stage: Stage, message_id: str, code: str) -> Printed:
    return await stage.command(
        "held", "release", message_id, "--operator", "wang.fang", "--code", "-", stdin=code + "\n"
    )


def contract_check(seen: Seen) -> list[str]:
    """Held, not delivered, and not released by a wrong code."""
    return expect(
        (seen.answer is not None and seen.answer.code == 250, f"client: {_reply(seen)}"),
        (not seen.delivered, "server: it arrived"),
        (seen.decided.get("outcome") == "hold", f"log: outcome {seen.decided.get('outcome')}"),
        ("content.dictionary.company" in seen.codes, f"log: findings {sorted(seen.codes)}"),
        (bool(seen.printed) and seen.printed[0].status != 0, "a wrong TOTP code was taken"),
        (bool(seen.printed) and "code is not right" in seen.printed[0].text, "the refusal does not say why"),
    )


# 5 --------------------------------------------------------------------------------------------------------------------
async def released(stage: Stage, story: Story) -> Seen:
    """The same mail with the right code: judged again, and the approval covers it."""
    before = len(_to(stage, OUTSIDE))
    code = pyotp.TOTP(stage.totp_secret).now()
    printed = await _release(stage, story.held, code)
    for _ in range(ARRIVES_TRIES):  # the queue process attempts it at once
        if len(_to(stage, OUTSIDE)) > before:
            break
        await stage.pause(ARRIVES_PAUSE_S)
    shown = await stage.command("held", "list")
    arrived = _to(stage, OUTSIDE)[before:]
    return Seen(None, arrived, tuple(stage.events(story.held)), (printed, shown), story.held_bytes)


def released_check(seen: Seen) -> list[str]:
    """The server has the same bytes, the log the person's act and the delivery."""
    return expect(
        (
            bool(seen.printed) and seen.printed[0].status == 0,
            f"release: {seen.printed[0].text[-300:] if seen.printed else ''}",
        ),
        (len(seen.delivered) == 1, f"server: {len(seen.delivered)} messages"),
        (
            bool(seen.delivered) and seen.delivered[0].data.endswith(seen.sent),
            "server: the bytes are not as they were sent",
        ),
        (any(event["actor"]["role"] != "system" for event in seen.events), "log: no person acted"),
    )


# 6 --------------------------------------------------------------------------------------------------------------------
async def roster(stage: Stage, story: Story) -> Seen:
    """A resident ID number in a GB18030 mail, in a sheet inside a zip, and in the QR code of a PDF."""
    to, number = "hr@corp.test", mails.RESIDENT_ID
    sheet = mails.mail(INSIDE, to, "名单", "见附件。", {"名单.zip": mails.zipped("名单.xlsx", mails.roster(number))})
    letters = (
        mails.mail(INSIDE, to, "证件", f"身份证号：{number}", charset="gb18030"),
        sheet,
        mails.mail(INSIDE, to, "扫码", "见附件。", {"码.pdf": mails.code_pdf(f"https://hr.example/?id={number}")}),
    )
    seen = [await _send(stage, "outbound", INSIDE, to, raw) for raw in letters]
    explained = await stage.command("explain", str(_save(stage.folder / "roster.eml", sheet)))
    return Seen(seen[0].answer, events=tuple(event for each in seen for event in each.events), printed=(explained,))


def _save(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def roster_check(seen: Seen) -> list[str]:
    """Found once in each of the three, and shown masked only."""
    decided = [event for event in seen.events if event["type"] == "message.decided"]
    counts = [
        sum(each["count"] for each in event.get("findings", ()) if each["code"] == "content.identifier.cn_id18")
        for event in decided
    ]
    text = seen.printed[0].text if seen.printed else ""
    return expect(
        (counts == [1, 1, 1], f"log: found {counts} times in GB18030, xlsx in zip, QR in PDF"),
        (mails.RESIDENT_ID not in str(seen.events), "log: the number stands there in clear"),
        ("1101**********0014" in text, f"explain does not show the masked number: {text[-300:]}"),
        (mails.RESIDENT_ID not in text, "explain shows the number in clear"),
    )


# 7 --------------------------------------------------------------------------------------------------------------------
async def bank(stage: Stage, story: Story) -> Seen:
    """A bank account going out, and no way to encrypt."""
    raw = mails.mail(INSIDE, OUTSIDE, "Payment", "银行账号：6222020000000000026 开户行 示例银行")
    return await _send(stage, "outbound", INSIDE, OUTSIDE, raw)


def bank_check(seen: Seen) -> list[str]:
    """Held: nothing goes out in the clear."""
    return expect(
        (seen.answer is not None and seen.answer.code == 250, f"client: {_reply(seen)}"),
        (not seen.delivered, "server: it went out in the clear"),
        ("encrypt" in seen.decided.get("policy", {}).get("treatments", ()), f"log: {seen.decided.get('policy')}"),
    )


# 8 --------------------------------------------------------------------------------------------------------------------
async def verify(stage: Stage, story: Story) -> Seen:
    """The log proves itself."""
    return Seen(printed=(await stage.command("audit", "verify"),), events=tuple(stage.events()))


def verify_check(seen: Seen) -> list[str]:
    """Every event, tile and root agree."""
    return expect(
        (
            bool(seen.printed) and seen.printed[0].status == 0,
            f"verify: {seen.printed[0].text[-500:] if seen.printed else ''}",
        ),
        (len(seen.events) >= 8, f"log: {len(seen.events)} events"),
    )


def _copy(stage: Stage) -> Path:
    """The log, elsewhere. Raises shutil.Error when it changes each time it is copied."""
    for left in reversed(range(COPY_TRIES)):
        copy = stage.folder / f"copy-{secrets.token_hex(4)}"
        try:
            shutil.copytree(stage.state / "audit", copy)
        except shutil.Error:
            if not left:
                raise
        else:
            break
    return copy


# 9 --------------------------------------------------------------------------------------------------------------------
async def flipped(stage: Stage, story: Story) -> Seen:
    """One bit of a copy is changed."""
    copy = _copy(stage)
    bundle = sorted((copy / "tile" / "entries").rglob("*"), key=lambda path: (path.is_file(), str(path)))[-1]
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.chmod(0o600)
    bundle.write_bytes(data)
    return Seen(printed=(await stage.command("audit", "verify", "--dir", str(copy)),))


def flipped_check(seen: Seen) -> list[str]:
    """Verify says no, and names the event."""
    text = seen.printed[0].text if seen.printed else ""
    return expect(
        (bool(seen.printed) and seen.printed[0].status == 1, f"verify did not fail: {text[-300:]}"),
        ("event" in text, f"verify names no event: {text[-300:]}"),
    )


def _last(seen: Seen) -> str:
    lines = [line for line in seen.printed[-1].text.splitlines() if line.strip()] if seen.printed else [""]
    return lines[-1].strip() if lines else ""


SCENES: Sequence[Scene] = (
    Scene(
        "clean mail",
        clean,
        clean_check,
        lambda s: "250, relayed in the session; spf=pass dkim=pass dmarc=pass arc=none",
        "正常邮件已投递",
    ),
    Scene(
        "spoofed ceo@",
        spoofed,
        spoofed_check,
        lambda s: "550 5.7.26 DMARC reject (auth.dmarc.fail); server saw nothing",
        "仿冒邮件被拒",
    ),
    Scene(
        "EICAR in a zip",
        malware,
        malware_check,
        lambda s: "550 5.7.1 malware.yara.eicar in a.zip > b.com; server saw nothing",
        "恶意附件被拒",
    ),
    Scene(
        "合同总价",
        contract,
        contract_check,
        lambda s: f"250 held {s.answer.message_id if s.answer else ''}; server saw nothing; wrong TOTP refused",
        "待审批",
    ),
    Scene(
        "released, TOTP",
        released,
        released_check,
        lambda s: "judged again, approval covers it; server got the same bytes",
        "已放行",
    ),
    Scene(
        "resident ID",
        roster,
        roster_check,
        lambda s: "found in a GB18030 mail, an xlsx in a zip, a QR code in a PDF; shown 1101**********0014",
        "证件号已识别",
    ),
    Scene(
        "银行账号",
        bank,
        bank_check,
        lambda s: "250 held: encryption is not set up, not sent in the clear",
        "未加密不外发",
    ),
    Scene("audit verify", verify, verify_check, _last, "审计日志校验"),
    Scene("one bit flipped", flipped, flipped_check, lambda s: "(in a copy) verify exits 1: " + _last(s), "篡改被发现"),
)
