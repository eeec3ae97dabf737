"""The fixed answers of the receiving side. Of what a client sent at most a parameter's name is repeated."""

from gateway.smtp.reading import MAX_LINE, Bad
from gateway.smtp.reply import Reply

MAX_TEXT = 480
"""Characters of text a reply line may hold: 512 octets with code, enhanced code and CRLF (RFC 5321 4.5.3.1.5)."""

OK = Reply(250, "2.0.0", "ok")
SENDER_OK = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "recipient ok")
SEND_DATA = Reply(354, "", "send the message, end with CRLF.CRLF")
BYE = Reply(221, "2.0.0", "bye")
READY_FOR_TLS = Reply(220, "2.0.0", "ready for TLS")
AUTHENTICATED = Reply(235, "2.7.0", "authenticated")
CANNOT_VERIFY = Reply(252, "2.5.2", "send some mail, we will try")
NO_EXPANSION = Reply(502, "5.5.1", "lists are not expanded here")
HELP = Reply(214, "2.0.0", "RFC 5321")

LINE_TOO_LONG = Reply(500, "5.5.2", "command line too long")
UNKNOWN_VERB = Reply(500, "5.5.1", "command not known")
NOT_SMTP = Reply(500, "5.5.1", "this is no web server, closing")
NOT_OFFERED = Reply(502, "5.5.1", "not offered here")
SYNTAX = Reply(501, "5.5.4", "an argument is missing or not allowed")
BAD_HELO = Reply(501, "5.5.4", "a domain name or address literal is needed")
HELLO_FIRST = Reply(503, "5.5.1", "EHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "MAIL first")
RCPT_FIRST = Reply(503, "5.5.1", "RCPT first")
NONE_ACCEPTED = Reply(554, "5.5.1", "no valid recipients")
IN_MESSAGE = Reply(503, "5.5.1", "not inside a message; RSET first")
TOO_EARLY = Reply(503, "5.5.0", "sent before our reply; not taken, closing")
TALKED_FIRST = Reply(554, "5.5.0", "sent before our greeting; not taken, closing")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors")

TLS_FIRST = Reply(530, "5.7.0", "STARTTLS first")
TLS_ACTIVE = Reply(503, "5.5.1", "TLS is active already")
AUTH_FIRST = Reply(530, "5.7.0", "authentication required")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "STARTTLS first, then AUTH")
AUTH_DONE = Reply(503, "5.5.1", "authenticated already")
BAD_LOGIN = Reply(535, "5.7.8", "wrong login or password")
AUTH_LATER = Reply(454, "4.7.0", "cannot authenticate now, try later")
TOO_MANY_LOGINS = Reply(421, "4.7.0", "too many failed logins")
NOT_TRUSTED = Reply(550, "5.7.0", "not authorized to name clients")

NEEDS_UTF8 = Reply(553, "5.6.7", "the address needs SMTPUTF8")
NOT_OFFERED_PARAMETER = Reply(555, "5.5.4", "parameter not offered")
TOO_BIG = Reply(552, "5.3.4", "message too big")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients, send the rest in another message")
NO_MEMORY = Reply(452, "4.3.1", "no room left for messages, try later")
TOO_MANY_MESSAGES = Reply(450, "4.7.1", "too many messages a minute, try later")

TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "too many connections from your address")
BUSY = Reply(421, "4.3.2", "too many connections, try later")
STOPPING = Reply(421, "4.3.2", "going down, try again")
COMMAND_TIMEOUT = Reply(421, "4.4.2", "waited too long for a command")
DATA_TIMEOUT = Reply(421, "4.4.2", "the message took too long")
FAILED = Reply(451, "4.3.0", "internal error, nothing was accepted; try again")

CLOSED = Reply(0, "", "closed without an answer")
"""Never said: stands in the log for a connection that was cut before a greeting."""

BAD_DATA = {
    Bad.BARE_CR: Reply(554, "5.6.0", "bare CR in the message: lines must end in CRLF"),
    Bad.BARE_LF: Reply(554, "5.6.0", "bare LF in the message: lines must end in CRLF"),
    Bad.NUL: Reply(554, "5.6.0", "NUL in the message"),
    Bad.LONG_LINE: Reply(554, "5.6.0", f"a line of the message is over {MAX_LINE} octets"),
    Bad.TOO_BIG: TOO_BIG,
    Bad.NO_MEMORY: NO_MEMORY,
    Bad.NO_SPOOL: Reply(452, "4.3.1", "no space for the message, try later"),
}
BAD_LINE = {
    Bad.BARE_CR: Reply(500, "5.5.2", "bare CR in a command: lines must end in CRLF, closing"),
    Bad.BARE_LF: Reply(500, "5.5.2", "bare LF ends a command: lines must end in CRLF, closing"),
    Bad.NUL: Reply(500, "5.5.2", "NUL in a command, closing"),
    Bad.LONG_LINE: LINE_TOO_LONG,
    Bad.TOO_BIG: Reply(500, "5.5.2", "command line far too long, closing"),
}


def wire(reply: Reply, lines: tuple[str, ...] = ()) -> bytes:
    """The reply as sent: ASCII, one line (or EHLO's several), control characters blanked, cut to what RFC 5321 allows."""
    text = str(reply) if reply.text or reply.enhanced else f"{reply.code} "
    if not text.isprintable() or not text.isascii():
        text = "".join(char if " " <= char <= "~" else "?" for char in text)
    if len(text) > MAX_TEXT + 16:
        text = text[: MAX_TEXT + 16]
    if not lines:
        return text.encode("ascii") + b"\r\n"
    rows = [f"{text[:3]}-{text[4:]}", *(f"{text[:3]}-{line}" for line in lines[:-1]), f"{text[:3]} {lines[-1]}", ""]
    return "\r\n".join(rows).encode("ascii")
