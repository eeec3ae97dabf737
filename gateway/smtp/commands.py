"""MAIL and RCPT lines for one next hop: options only as far as it offers them, and what it can't take refused before it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.smtp.addresses import AddressError, path
from gateway.smtp.answers import Capabilities
from gateway.smtp.reply import Reply
from scanners.message import Recipient

NEEDS_SMTPUTF8 = Reply(550, "5.6.7", "the next hop does not take internationalised mail (SMTPUTF8)")
NEEDS_8BITMIME = Reply(
    554, "5.6.3", "the next hop does not take 8-bit content (8BITMIME), and we do not re-encode mail"
)
BAD_SENDER = Reply(553, "5.1.7", "the sender's address can not be passed on")
BAD_RECIPIENT = Reply(553, "5.1.3", "the recipient's address can not be passed on")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a message asks of the next hop. ``body8bit`` and ``smtputf8`` as the sender declared them; ``envid`` and each ``orcpt``
    in xtext, as they came (RFC 3461)."""

    sender: str
    recipients: tuple[Recipient, ...]
    smtputf8: bool = False
    body8bit: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """``commands``: MAIL, then RCPT for each index in ``asked``. ``refused``: recipients this hop can't be asked about.
    ``refusal``: the whole message can't go there."""

    commands: tuple[bytes, ...] = ()
    asked: tuple[int, ...] = ()
    refused: tuple[tuple[int, Reply], ...] = ()
    refusal: Reply | None = None


def plan(mail: Outgoing, data: Sequence[bytes], offered: Capabilities) -> Plan:
    """The commands that carry this message there."""
    size = sum(map(len, data))
    eightbit = not all(map(bytes.isascii, data))
    refusal = _refusal(mail, data, offered, size, eightbit=eightbit)
    if refusal is not None:
        return Plan(refusal=refusal)
    commands = [_mail(mail, offered, size, eightbit=eightbit)]
    asked: list[int] = []
    refused: list[tuple[int, Reply]] = []
    for index, recipient in enumerate(mail.recipients):
        if not recipient.address or not speakable(recipient.address):
            refused.append((index, BAD_RECIPIENT))
        elif not offered.smtputf8 and not recipient.address.isascii():
            refused.append((index, NEEDS_SMTPUTF8))
        else:
            asked.append(index)
            commands.append(_rcpt(recipient, offered))
    return Plan(tuple(commands), tuple(asked), tuple(refused))


def speakable(address: str) -> bool:
    """Whether an address can stand between < and > without ending the command or the path early."""
    if not address.isprintable():  # controls, line ends, lone surrogates
        return False
    if '"' not in address:
        return not (">" in address or "<" in address or " " in address)
    try:  # quotes may hold all of that, but a quote somewhere does not make it quoted
        return not path(f"<{address}>", utf8=True, sender=True)[1]
    except AddressError:
        return False


def _refusal(
    mail: Outgoing, data: Sequence[bytes], offered: Capabilities, size: int, *, eightbit: bool
) -> Reply | None:
    if not speakable(mail.sender):
        return BAD_SENDER
    if offered.size and size > offered.size:
        return Reply(
            552, "5.3.4", f"message of {size} bytes is larger than the {offered.size} bytes the next hop takes"
        )
    if not offered.smtputf8 and (
        not mail.sender.isascii() or (mail.smtputf8 and eightbit and not _header(data).isascii())
    ):
        return NEEDS_SMTPUTF8
    if eightbit and not offered.eightbitmime:
        return NEEDS_8BITMIME
    return None


def _header(data: Sequence[bytes]) -> bytes:
    return b"".join(data).partition(b"\r\n\r\n")[0]


def _mail(mail: Outgoing, offered: Capabilities, size: int, *, eightbit: bool) -> bytes:
    line = f"MAIL FROM:<{mail.sender}>"
    if offered.size is not None:
        line += f" SIZE={size}"
    if offered.eightbitmime and (mail.body8bit or eightbit):
        line += " BODY=8BITMIME"
    if offered.smtputf8 and (
        mail.smtputf8 or not mail.sender.isascii() or any(not r.address.isascii() for r in mail.recipients)
    ):
        line += " SMTPUTF8"
    if offered.dsn:
        if mail.ret in ("FULL", "HDRS"):
            line += f" RET={mail.ret}"
        if mail.envid and _xtext(mail.envid, 100):
            line += f" ENVID={mail.envid}"
    return f"{line}\r\n".encode()


def _rcpt(recipient: Recipient, offered: Capabilities) -> bytes:
    line = f"RCPT TO:<{recipient.address}>"
    if offered.dsn:
        if recipient.notify and set(recipient.notify) <= {"NEVER", "SUCCESS", "FAILURE", "DELAY"}:
            line += f" NOTIFY={','.join(recipient.notify)}"
        if recipient.orcpt and _xtext(recipient.orcpt, 500):
            line += f" ORCPT={recipient.orcpt}"
    return f"{line}\r\n".encode()


def _xtext(value: str, longest: int) -> bool:
    """Whether a parameter can go on as it came (RFC 3461 4): printable ASCII without blanks and ``=``, of a sane length."""
    return value.isascii() and value.isprintable() and " " not in value and "=" not in value and len(value) <= longest
