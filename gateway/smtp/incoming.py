"""A message as MAIL and RCPT announce it: the mail transaction (RFC 5321 3.3), and how its commands are read. Pure."""

from dataclasses import dataclass, field

from gateway.smtp import replies as say
from gateway.smtp.addresses import AddressError, Mailbox, ParameterError, path
from gateway.smtp.parameters import (
    Capabilities,
    MailParameters,
    NotOfferedError,
    RcptParameters,
    mail_parameters,
    rcpt_parameters,
)
from gateway.smtp.reply import Reply
from scanners.message import Recipient


@dataclass(slots=True)
class Incoming:
    """The transaction under way. ``refused`` counts recipients that were not taken."""

    sender: str = ""
    mail: MailParameters = field(default_factory=MailParameters)
    recipients: list[Recipient] = field(default_factory=list)
    refused: int = 0
    _named: set[tuple[str, str]] = field(default_factory=set)

    def has(self, box: Mailbox) -> bool:
        """Whether it was named already: named twice it is one recipient, for the next hop, for custody and for rules that count."""
        return (box.local, box.key) in self._named

    def add(self, box: Mailbox, parameters: RcptParameters) -> None:
        """One recipient more."""
        self._named.add((box.local, box.key))
        self.recipients.append(Recipient(str(box), parameters.notify, parameters.orcpt))


@dataclass(frozen=True, slots=True)
class Offer:
    """What this session's client may use: ESMTP or not, and what our EHLO said."""

    capabilities: Capabilities
    extended: bool
    auth: bool


def read_mail(argument: str, offer: Offer) -> tuple[str, MailParameters] | Reply:
    """Sender and parameters of MAIL (RFC 5321 4.1.1.2), or why not."""
    if argument[:5].upper() != "FROM:":
        return say.SYNTAX
    try:
        sender, rest = path(argument[5:].lstrip(" "), utf8=True, sender=True)
        if rest and not offer.extended:
            return say.NOT_OFFERED_PARAMETER
        mail = mail_parameters(rest, offer.capabilities, auth=offer.auth)
    except (AddressError, ParameterError, NotOfferedError) as error:
        return _malformed(error, "5.1.7")
    if not mail.smtputf8 and not str(sender).isascii():
        return say.NEEDS_UTF8
    return str(sender), mail


def read_rcpt(argument: str, offer: Offer, *, utf8: bool) -> tuple[Mailbox, RcptParameters] | Reply:
    """Address and parameters of RCPT (RFC 5321 4.1.1.3), or why not."""
    if argument[:3].upper() != "TO:":
        return say.SYNTAX
    try:
        box, rest = path(argument[3:].lstrip(" "), utf8=utf8, sender=False)
        parameters = rcpt_parameters(rest, offer.capabilities)
    except (AddressError, ParameterError, NotOfferedError) as error:
        return _malformed(error, "5.1.3")
    if rest and not offer.extended:
        return say.NOT_OFFERED_PARAMETER
    return box, parameters


def _malformed(error: Exception, enhanced: str) -> Reply:
    if isinstance(error, NotOfferedError):
        return say.NOT_OFFERED_PARAMETER
    if isinstance(error, ParameterError):
        return Reply(501, "5.5.4", str(error))
    if isinstance(error, AddressError) and error.utf8:
        return say.NEEDS_UTF8
    return Reply(501, enhanced, str(error))
