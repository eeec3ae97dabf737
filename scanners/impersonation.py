"""Someone who pretends to be one of us: names, look-alike domains, our own domain from outside, replies that go elsewhere.

What DMARC says is the authentication scanner's; this one looks at what a reader would take the sender for.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from scanners.base import Result, Stage
from scanners.finding import Code, Evidence, Finding, Severity
from scanners.message import Direction, Message
from scanners.normalise import normalise, skeleton

DISPLAY_NAME = Code(
    "impersonation.display_name",
    Severity.HIGH,
    "外部邮件使用了同事的姓名",
    "A colleague's display name on an address outside",
)
LOOKALIKE = Code(
    "impersonation.lookalike",
    Severity.HIGH,
    "发件域名与本单位域名相似",
    "The sender's domain looks like one of ours; about is that domain",
)
OWN_DOMAIN = Code(
    "impersonation.own_domain",
    Severity.HIGH,
    "外部来信的发件人声称是本单位域名",
    "Mail from outside whose From is one of our own domains",
)
REPLY_TO = Code(
    "impersonation.reply_to",
    Severity.MEDIUM,
    "回复地址指向另一域名",
    "Replies would go to another domain than the sender's; about is that domain",
)
LIMIT = Code(
    "content.limit.addresses",
    Severity.MEDIUM,
    "发件人或回复地址过多",
    "More addresses in From, Sender or Reply-To than are looked at",
)
CODES = (DISPLAY_NAME, LOOKALIKE, OWN_DOMAIN, REPLY_TO, LIMIT)

MAX_ADDRESSES = 20
"""Addresses looked at in one field: From and Reply-To of real mail have one."""
MAX_KNOWN = 2_048
"""Domains remembered, at most 253 characters each."""
MAX_DOMAIN = 253
"""Characters of a domain name (RFC 1035 2.3.4)."""

FREEMAIL = frozenset(
    (  # noqa: SIM905
        "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com aol.com icloud.com me.com mail.com gmx.com "
        "gmx.net gmx.de web.de protonmail.com proton.me pm.me yandex.com yandex.ru mail.ru zoho.com tutanota.com qq.com foxmail.com "
        "163.com 126.com yeah.net sina.com sina.cn sohu.com 139.com 189.cn 21cn.com aliyun.com tom.com wo.cn 88.com naver.com hanmail.net"
    ).split()
)
"""Where anybody gets an address."""
COUSINS = (
    "mail", "secure", "login", "account", "support", "service", "office", "group", "corp", "inc", "ltd", "hr", "it", "finance", "payment",
    "portal", "online", "cn", "china", "global", "intl", "admin", "help", "verify", "update", "billing", "invoice", "team", "hq",
)  # fmt: skip
"""Words that look-alike domains add to the name they copy."""


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a field: the name shown, and the parts of the address in lower case."""

    name: str
    local: str
    domain: str


@dataclass(frozen=True)
class ImpersonationScanner:
    """``local_domains`` are ours; ``people`` the names of colleagues, or their addresses (the local part then stands for the name)."""

    local_domains: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    _names: frozenset[str] = field(init=False, repr=False)
    _skeletons: Any = field(init=False, repr=False)
    _known: Callable[[str], str] = field(init=False, repr=False, compare=False)
    """``imitated`` of whole domains, remembered: the answer depends on the domain and on ours only."""

    def __post_init__(self) -> None:
        ours = tuple(map(unicode_domain, self.local_domains))
        object.__setattr__(self, "local_domains", ours)
        names = frozenset(key for person in self.people if len(key := name_key(person.partition("@")[0])) >= 2)
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_skeletons", {skeleton(domain): domain for domain in ours})
        object.__setattr__(self, "_known", lru_cache(maxsize=MAX_KNOWN)(self._imitated))

    @property
    def name(self) -> str:
        """As Scanner."""
        return "impersonation"

    @property
    def stage(self) -> Stage:
        """As Scanner: headers only."""
        return Stage.BYTES

    @property
    def codes(self) -> tuple[Code, ...]:
        """As Scanner."""
        return CODES

    async def scan(self, message: Message) -> Result:
        """As Scanner. Looks at inbound mail only: on the way out the sender is known."""
        if message.envelope.direction is not Direction.INBOUND:
            return Result()
        senders = [one for header in message.all("from") for one in addresses(header.text)]
        senders += [one for header in message.all("sender") for one in addresses(header.text)]
        findings: dict[tuple[str, str], Finding] = {}
        for sender in senders[:MAX_ADDRESSES]:
            for finding in self._sender(sender):
                findings.setdefault((finding.code, finding.about), finding)
        replies = [one for header in message.all("reply-to") for one in addresses(header.text)]
        for finding in self._replies(senders, replies[:MAX_ADDRESSES]):
            findings.setdefault((finding.code, finding.about), finding)
        if max(len(senders), len(replies)) >= MAX_ADDRESSES:
            findings[LIMIT.code, ""] = _found(LIMIT, "more addresses than are looked at", "")
        return Result(tuple(findings.values()))

    def is_ours(self, domain: str) -> bool:
        """One of our domains, or below one, in either form of its name."""
        if "xn--" in domain:
            domain = unicode_domain(domain)
        return any(domain == own or domain.endswith("." + own) for own in self.local_domains)

    def _sender(self, sender: Address) -> list[Finding]:
        if self.is_ours(sender.domain):
            return [_found(OWN_DOMAIN, "From is a domain of ours, from outside", sender.domain)]
        found: list[Finding] = []
        imitated = self.imitated(sender.domain)
        if imitated:
            found.append(_found(LOOKALIKE, f"looks like {imitated}", sender.domain))
        shown = normalise(sender.name).text
        inside = [one for one in addresses(shown) if one.domain] if "@" in shown else []
        inside += addresses(sender.local.strip('"')) if "@" in sender.local else []
        if self._names and not self._names.isdisjoint(_keys(sender.name)):
            found.append(_found(DISPLAY_NAME, "display name of a colleague", sender.domain))
        elif any(self.is_ours(one.domain) or self.imitated(one.domain) for one in inside):
            found.append(_found(DISPLAY_NAME, "display name holds an address of ours", sender.domain))
        return found

    def _replies(self, senders: list[Address], replies: list[Address]) -> list[Finding]:
        found: list[Finding] = []
        homes = {registered(sender.domain) for sender in senders}
        for reply in replies:
            if not reply.domain or self.is_ours(reply.domain) or registered(reply.domain) in homes:
                continue
            imitated = self.imitated(reply.domain)
            if imitated:
                found.append(_found(LOOKALIKE, f"Reply-To looks like {imitated}", reply.domain))
            kind = "a freemail address" if reply.domain in FREEMAIL else "another domain"
            found.append(_found(REPLY_TO, f"replies go to {kind}", reply.domain))
        return found

    def imitated(self, domain: str) -> str:
        """Our domain that ``domain`` looks like, or ``""``: same skeleton, one edit away, another ending, or a cousin word added."""
        return self._known(domain[:MAX_DOMAIN])

    def _imitated(self, domain: str) -> str:
        domain = unicode_domain(domain)
        if not domain or self.is_ours(domain):
            return ""
        home = registered(domain)
        for one in dict.fromkeys((domain, home)):
            if skeleton(one) in self._skeletons:
                return str(self._skeletons[skeleton(one)])
        for own in self.local_domains:
            if _resembles(domain, home, own):
                return own
        return ""


def _found(code: Code, summary: str, about: str) -> Finding:
    return Finding(code.code, code.severity, summary, None, Evidence(), about)


def _resembles(domain: str, home: str, own: str) -> bool:
    name, other = home.partition(".")[0], own.partition(".")[0]
    if len(other) >= 4 and name == other and home != own:
        return True  # the same name under another ending
    if len(other) >= 5 and one_edit(skeleton(name), skeleton(other)):
        return True
    if len(other) >= 4 and name in (own.replace(".", ""), own.replace(".", "-")):
        return True  # corptest.example
    if domain.startswith((own + ".", own.replace(".", "-") + ".")) or ("." + own + ".") in domain:
        return True  # corp.test.evil.example
    if len(other) >= 4 and skeleton(other) in (word := skeleton(name)) and word != skeleton(other):
        rest = [piece for piece in word.replace(skeleton(other), "-", 1).split("-") if piece]
        return bool(rest) and all(piece in _COUSIN_KEYS or piece.isdigit() for piece in rest)
    return False


_COUSIN_KEYS = frozenset(skeleton(word) for word in COUSINS)


def one_edit(first: str, second: str) -> bool:
    """Exactly one insertion, deletion, substitution or swap of neighbours apart."""
    if first == second or abs(len(first) - len(second)) > 1:
        return False
    at = next(
        (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    if len(first) == len(second):
        same_rest = first[at + 1 :] == second[at + 1 :]
        swapped = first[at : at + 2] == second[at : at + 2][::-1] and first[at + 2 :] == second[at + 2 :]
        return same_rest or swapped
    longer, shorter = (first, second) if len(first) > len(second) else (second, first)
    return longer[at + 1 :] == shorter[at:]


def unicode_domain(domain: str) -> str:
    """Lower case, with xn-- labels decoded where they can be; never raises."""
    labels = []
    for label in domain.lower().rstrip(".").split("."):
        if label.startswith("xn--"):
            # an impossible label stays as written: it is compared like any other text
            with contextlib.suppress(UnicodeError, ValueError):
                label = label[4:].encode("ascii").decode("punycode")
        labels.append(label)
    return ".".join(labels)


_SECOND_LEVEL = frozenset(("com", "net", "org", "gov", "edu", "ac", "co", "gob", "ne", "or"))


def registered(domain: str) -> str:
    """Roughly the domain someone registered: the last two labels, three under com.cn, co.uk and the like."""
    labels = domain.lower().rstrip(".").split(".")
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-keep:])


def name_key(name: str) -> str:
    """A display name as people recognise it: look-alikes folded, letters and Han characters only, lower case."""
    folded = normalise(name).text
    return "".join(character for character in folded.lower() if character.isalnum())


_TITLES = (
    "董事长", "副总经理", "总经理", "副总", "总裁", "经理", "总监", "主任", "老师", "先生", "女士", "小姐", "财务", "老板", "总", "董",
)  # fmt: skip
"""What people put behind a name."""


def _keys(name: str) -> tuple[str, ...]:
    """Ways to take a display name: as it stands, family name first, and what stands before a bracket, a dash or a title."""
    plain = normalise(name).text
    keys = [name_key(plain), _swapped(plain)]
    for mark in "(（[【|/-–—_@":
        plain = plain.partition(mark)[0] if plain.partition(mark)[0].strip() else plain
    keys += [name_key(plain), _swapped(plain)]
    bare = name_key(plain)
    title = next((title for title in _TITLES if bare.endswith(title)), "")
    return (*keys, bare.removesuffix(title)) if title else tuple(keys)


def _swapped(name: str) -> str:
    """``Smith, John`` and ``Smith John`` as ``John Smith``."""
    words = normalise(name).text.replace(",", " ").split()
    return name_key(" ".join((*words[1:], words[0]))) if len(words) > 1 else ""


def addresses(text: str) -> list[Address]:
    """Addresses of a decoded field, read leniently; a field without any yields its text as a name. Linear."""
    if text.count("<") == 1 and '"' not in text and "," not in text and ";" not in text:
        shown, _, rest = text.partition("<")
        inside, _, rest = rest.partition(">")
        return [_address(shown, inside), *_bare(rest)]  # what the loop below makes of a plain field
    found: list[Address] = []
    name: list[str] = []
    position, size = 0, len(text)
    while position < size and len(found) < MAX_ADDRESSES:
        character = text[position]
        if character == '"':
            close = text.find('"', position + 1)
            close = size if close < 0 else close
            name.append(text[position + 1 : close])
            position = close + 1
        elif character == "<":
            close = text.find(">", position)
            close = size if close < 0 else close
            found.append(_address("".join(name), text[position + 1 : close]))
            name, position = [], close + 1
        elif character in ",;":
            found += _bare("".join(name))
            name, position = ([], position + 1) if "@" in "".join(name) or found else ([*name, character], position + 1)
        else:
            name.append(character)
            position += 1
    return found + _bare("".join(name))


def _bare(text: str) -> list[Address]:
    words = text.split()
    at = next((word for word in words if "@" in word), "")
    if at:
        return [_address(" ".join(word for word in words if word != at), at)]
    return [Address(text.strip(), "", "")] if text.strip() else []


def _address(name: str, address: str) -> Address:
    local, _, domain = address.strip().strip("<>()[]").rpartition("@")
    return Address(name.strip(" \t,;"), local.lower(), domain.strip().lower().rstrip("."))
