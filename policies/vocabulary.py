"""What a rule may name: each fact with its kind, its title in both languages, and how it is read from the facts. Unknown is ``None``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from policies.decision import Title
from policies.facts import COUNTERS, Facts, Value, fold_domain
from policies.lists import logged_in
from scanners.message import Direction

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Kind(Enum):
    """What sort of value a fact has, and so which comparisons a rule may use."""

    TEXT = "text"
    DOMAIN = "domain"
    YESNO = "yes/no"
    NUMBER = "number"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class Fact:
    """One name a rule may use. ``values`` closes the choice where it isn't empty; ``needs`` names the Context field it reads.

    ``top`` is the greatest value of a number after which it begins anew at 0, as hours do.
    """

    name: str
    kind: Kind
    title: Title
    read: Callable[[Facts], Value]
    values: tuple[str, ...] = ()
    needs: str = ""
    top: int | None = None


def _outside(domain: str | None, facts: Facts) -> bool | None:
    return None if domain is None else domain not in facts.context.local_domains


def _sender_outside(facts: Facts) -> bool | None:
    if facts.common.sender == "":
        return facts.common.direction == Direction.INBOUND
    return _outside(facts.common.sender_domain, facts)


def _from_local(facts: Facts) -> bool | None:
    domain = facts.common.from_domain
    if domain is None:
        return None
    return any(domain == ours or domain.endswith("." + ours) for ours in facts.context.local_domains)


def _from_authenticated(facts: Facts) -> bool | None:
    """DMARC passed, or a DKIM signature of the From domain or of a parent of it did. Unknown when DNS or the scanner failed."""
    by_code, domain = facts.common.by_code, facts.common.from_domain
    if "auth.from.ambiguous" in by_code:
        return False
    if "auth.dmarc.pass" in by_code:
        return True
    if domain is None:
        return None
    for finding in by_code.get("auth.dkim.pass", ()):
        signer = fold_domain(finding.about)
        if "." in signer and (domain == signer or domain.endswith("." + signer)):
            return True
    failed = any(finding.about.startswith("auth") for finding in by_code.get("scanner.failed", ()))
    return None if failed or "auth.dmarc.temperror" in by_code or "auth.dkim.temperror" in by_code else False


def _sender_is_login(facts: Facts) -> bool | None:
    """Envelope sender and From are the mailbox of who logged in; what stands behind a plus is the same mailbox. Unknown without a login."""
    common = facts.common
    if not common.user or common.from_address is None or common.sender is None:
        return None
    mine = logged_in(facts)
    return mine is not None and {_mailbox(common.from_address), _mailbox(common.sender)} <= {_mailbox(mine), ""}


def _mailbox(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


def _header(facts: Facts, name: str) -> str | None:
    if facts.common.headers is None:
        return None
    return next((header.text for header in facts.common.headers if header.key == name), "")


def _has_header(*names: str) -> Callable[[Facts], bool | None]:
    def read(facts: Facts) -> bool | None:
        if facts.common.headers is None:
            return None
        return any(header.key in names for header in facts.common.headers)

    return read


def _automatic(facts: Facts) -> bool | None:
    value = _header(facts, "auto-submitted")
    return None if value is None else value.strip().lower() not in ("", "no")


def _content(facts: Facts) -> tuple[str, str] | None:
    value = _header(facts, "content-type")
    if value is None:
        return None
    kind, _, rest = value.lower().partition(";")
    return kind.strip(), rest


def _signed(facts: Facts) -> bool | None:
    found = _content(facts)
    return (
        None if found is None else found[0] == "multipart/signed" or ("signed-data" in found[1] and "pkcs7" in found[0])
    )


def _encrypted(facts: Facts) -> bool | None:
    found = _content(facts)
    if found is None:
        return None
    return found[0] == "multipart/encrypted" or ("pkcs7-mime" in found[0] and "signed-data" not in found[1])


def _extensions(facts: Facts) -> frozenset[str] | None:
    names = facts.common.names
    return None if names is None else frozenset(name.rpartition(".")[2] for name in names if "." in name)


def _hour(facts: Facts) -> int | None:
    return facts.context.now.hour if facts.context.now else None


def _weekday(facts: Facts) -> str | None:
    return WEEKDAYS[facts.context.now.weekday()] if facts.context.now else None


def _counter(name: str) -> Callable[[Facts], int | None]:
    return lambda facts: facts.context.counters.get(name)


_COUNTER_TITLES = {
    "sent_hour": Title("发件人最近一小时的邮件数", "messages of the sender in the last hour"),
    "sent_day": Title("发件人最近一天的邮件数", "messages of the sender in the last day"),
    "recipients_day": Title("发件人最近一天的不同收件人数", "different recipients of the sender in the last day"),
}

FACTS: Mapping[str, Fact] = {
    fact.name: fact
    for fact in (
        Fact(
            "direction",
            Kind.TEXT,
            Title("方向", "which way the mail goes"),
            lambda facts: facts.common.direction,
            tuple(direction.value for direction in Direction),
        ),
        Fact(
            "listener",
            Kind.TEXT,
            Title("接收它的监听端口名", "name of the listener it came by"),
            lambda facts: facts.common.listener,
        ),
        Fact(
            "sender.address",
            Kind.TEXT,
            Title("信封发件人地址（退信为空）", "envelope sender; empty for a bounce"),
            lambda facts: facts.common.sender,
        ),
        Fact(
            "sender.domain",
            Kind.DOMAIN,
            Title("信封发件人的域", "domain of the envelope sender"),
            lambda facts: facts.common.sender_domain,
        ),
        Fact(
            "sender.groups",
            Kind.WORDS,
            Title("发件人所在的组", "groups the sender belongs to"),
            lambda facts: facts.context.sender_groups,
            needs="sender_groups",
        ),
        Fact(
            "sender.outside",
            Kind.YESNO,
            Title("发件人在本公司之外", "the sender is outside the company"),
            _sender_outside,
        ),
        Fact(
            "sender.login",
            Kind.TEXT,
            Title("发信登录名（SMTP AUTH）", "login used to send (SMTP AUTH)"),
            lambda facts: facts.common.user,
        ),
        Fact(
            "sender.is_login",
            Kind.YESNO,
            Title("发件人（信封与信头 From）就是登录者本人", "the sender, in envelope and From, is who logged in"),
            _sender_is_login,
        ),
        Fact(
            "from.address",
            Kind.TEXT,
            Title("信头 From 的地址（读者看到的）", "address in From, which the reader sees"),
            lambda facts: facts.common.from_address,
        ),
        Fact(
            "from.domain",
            Kind.DOMAIN,
            Title("信头 From 的域", "domain in From"),
            lambda facts: facts.common.from_domain,
        ),
        Fact(
            "from.local", Kind.YESNO, Title("信头 From 是本公司的域", "From names one of our own domains"), _from_local
        ),
        Fact(
            "from.authenticated",
            Kind.YESNO,
            Title(
                "信头 From 的域通过了认证（DMARC，或本域的 DKIM）",
                "the domain in From is authenticated (DMARC, or its own DKIM)",
            ),
            _from_authenticated,
        ),
        Fact("recipient.address", Kind.TEXT, Title("收件人地址", "recipient address"), lambda facts: facts.recipient),
        Fact(
            "recipient.domain",
            Kind.DOMAIN,
            Title("收件人的域", "domain of the recipient"),
            lambda facts: facts.recipient_domain,
        ),
        Fact(
            "recipient.groups",
            Kind.WORDS,
            Title("收件人所在的组", "groups the recipient belongs to"),
            lambda facts: facts.context.recipient_groups,
            needs="recipient_groups",
        ),
        Fact(
            "recipient.outside",
            Kind.YESNO,
            Title("收件人在本公司之外", "the recipient is outside the company"),
            lambda facts: _outside(facts.recipient_domain, facts),
        ),
        Fact(
            "recipient.country",
            Kind.TEXT,
            Title(
                "收件人所在国家（两位字母，如 de；按域名推断）",
                "country of the recipient, two letters such as de; inferred from the domain",
            ),
            lambda facts: facts.context.country.lower() if facts.context.country else None,
            needs="country",
        ),
        Fact(
            "recipients", Kind.NUMBER, Title("收件人个数", "how many recipients"), lambda facts: facts.common.recipients
        ),
        Fact(
            "first_contact",
            Kind.YESNO,
            Title("初次往来（本公司从未给对方写过信）", "first contact: the company never wrote to this party before"),
            lambda facts: facts.context.first_contact,
            needs="first_contact",
        ),
        Fact(
            "size",
            Kind.NUMBER,
            Title("邮件大小（字节，可写 10MB）", "size in bytes; 10MB may be written"),
            lambda facts: facts.common.size,
        ),
        Fact("subject", Kind.TEXT, Title("主题", "subject"), lambda facts: facts.common.subject),
        Fact(
            "attachment.names",
            Kind.WORDS,
            Title("附件名（小写，含压缩包内）", "names of attachments in lower case, inside archives too"),
            lambda facts: facts.common.names,
        ),
        Fact(
            "attachment.extensions",
            Kind.WORDS,
            Title("附件扩展名（如 xlsx）", "extensions of attachments, such as xlsx"),
            _extensions,
        ),
        Fact(
            "attachment.types",
            Kind.WORDS,
            Title("附件类型（声明的与实际的）", "media types of attachments, declared and true"),
            lambda facts: facts.common.types,
        ),
        Fact(
            "attachment.count",
            Kind.NUMBER,
            Title("附件个数", "how many attachments"),
            lambda facts: facts.common.attachments,
        ),
        Fact(
            "message.reply",
            Kind.YESNO,
            Title("是回复或转发（有 In-Reply-To 或 References）", "a reply: it has In-Reply-To or References"),
            _has_header("in-reply-to", "references"),
        ),
        Fact(
            "message.list",
            Kind.YESNO,
            Title("来自邮件列表（有 List-Id）", "from a mailing list: it has List-Id"),
            _has_header("list-id"),
        ),
        Fact(
            "message.automatic",
            Kind.YESNO,
            Title("自动生成（Auto-Submitted）", "sent by a machine (Auto-Submitted)"),
            _automatic,
        ),
        Fact("message.signed", Kind.YESNO, Title("有 S/MIME 或 PGP 签名", "signed by S/MIME or PGP"), _signed),
        Fact(
            "message.encrypted", Kind.YESNO, Title("已用 S/MIME 或 PGP 加密", "encrypted by S/MIME or PGP"), _encrypted
        ),
        Fact("client.address", Kind.TEXT, Title("来源 IP", "address of the client"), lambda facts: facts.common.client),
        Fact(
            "client.tls",
            Kind.TEXT,
            Title("来信的 TLS 版本（无则为空）", "TLS version it came by; empty if none"),
            lambda facts: facts.common.tls,
        ),
        Fact("time.hour", Kind.NUMBER, Title("当地钟点 0-23", "local hour, 0 to 23"), _hour, needs="now", top=23),
        Fact("time.weekday", Kind.TEXT, Title("星期几", "day of the week"), _weekday, WEEKDAYS, "now"),
        *(
            Fact(f"counter.{name}", Kind.NUMBER, _COUNTER_TITLES[name], _counter(name), needs="counters")
            for name in COUNTERS
        ),
    )
}
"""Every fact a rule may name."""

KEPT = (
    "direction",
    "sender.outside",
    "from.local",
    "from.authenticated",
    "recipient.outside",
    "recipient.country",
    "first_contact",
    "message.reply",
    "message.list",
    "message.automatic",
    "attachment.count",
)
"""Facts that name nobody and show no content: an event may keep them in clear, and replay asks them (policies.replay)."""


def kept(facts: Facts) -> tuple[Value, ...]:
    """The values of KEPT for one recipient, in that order."""
    return tuple(FACTS[name].read(facts) for name in KEPT)
