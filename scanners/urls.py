"""Links in text and HTML: those that show another address than they lead to, and hosts that are not what they look like."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from scanners import active, charset, text
from scanners.base import Result, Stage
from scanners.finding import Code, Evidence, Finding, Severity
from scanners.impersonation import registered, unicode_domain
from scanners.message import Message, Part
from scanners.normalise import normalise, skeleton
from scanners.patterns import compiled

MISMATCH = Code(
    "url.mismatch",
    Severity.HIGH,
    "链接显示的地址与实际不同",
    "A link shows another domain than it leads to; about is where it leads",
)
CONFUSABLE = Code(
    "url.confusable",
    Severity.HIGH,
    "链接域名混用易混淆字符",
    "A link's host mixes look-alike letters of several scripts",
)
ADDRESS = Code(
    "url.ip_host", Severity.MEDIUM, "链接直接指向 IP 地址", "A link leads to an IP address instead of a name"
)
USERINFO = Code("url.userinfo", Severity.HIGH, "链接用 @ 掩盖真实主机", "A link hides its host behind a user name")
SCHEME = Code(
    "url.scheme", Severity.MEDIUM, "链接使用危险协议", "A link runs script or holds data instead of leading somewhere"
)
LIMIT = Code("content.limit.urls", Severity.LOW, "链接数量超过上限", "More links than are looked at")
CODES = (MISMATCH, CONFUSABLE, ADDRESS, USERINFO, SCHEME, LIMIT, *active.CODES)

MAX_URLS = 500
"""Links of one message that are looked at; newsletters have about fifty."""
MAX_PAGE = 1024 * 1024
"""Bytes of one page in which links are looked for; newsletters have a tenth."""
MAX_URL = 4_000
"""Characters of one link; browsers take about so many."""
INLINE = 64 * 1024
"""Bytes of text up to which the event loop may wait for the answer; longer texts go to a thread."""
TEXT_URL = "(?i)(?:https?|ftp)://[^\\s<>\"'\\x{3002}\\x{ff0c}\\x{ff1b}\\x{3001}\\x{ff09}\\x{300b}]{3,1000}"
_SKIP = ("mailto:", "tel:", "cid:", "#", "sms:")
_ODD_TARGET = (
    r"(?i)(?:[\s\"'/](?:src|href|action|formaction|data|background|poster|xlink:href)\s{0,4}=|;\s{0,4}url\s{0,4}=)\s{0,4}[\"']?\s{0,4}"
    r"((?:(?:https?|ftp)://(?:[0-9]|\[)|javascript:|vbscript:|data:text/|file:|\\\\|ms-[a-z]{2,20}:|search-ms:|mhtml:)[^\s\"'<>]{0,1000})"
)
"""What a page loads, sends to or goes to by itself, where that is no name but a number, a script or a share; what acts in it is looked for
in the same pass."""
_RUNS = ("javascript:", "data:", "vbscript:", "file:", "\\\\", "ms-", "search-ms:", "search:", "mhtml:", "shell:")


@dataclass(frozen=True)
class UrlScanner:
    """Looks at every link of bodies and HTML parts, without following any."""

    _url: Any = field(default_factory=lambda: compiled(TEXT_URL), repr=False, compare=False)
    _odd: Any = field(default_factory=lambda: compiled(f"{_ODD_TARGET}|{active.PATTERN}"), repr=False, compare=False)

    @property
    def name(self) -> str:
        """As Scanner."""
        return "urls"

    @property
    def stage(self) -> Stage:
        """As Scanner: the text of attachments counts."""
        return Stage.OPENED

    @property
    def codes(self) -> tuple[Code, ...]:
        """As Scanner."""
        return CODES

    async def scan(self, message: Message) -> Result:
        """As Scanner; a thread does the work for long texts."""
        pages = sum(len(part.content) for part in message.parts if part.media_type == "text/html")
        if pages + sum(len(part.text or "") for part in message.parts) > INLINE:
            return Result(await asyncio.to_thread(self.find, message))
        return Result(self.find(message))

    def find(self, message: Message) -> tuple[Finding, ...]:
        """Findings about the links of one message."""
        found: dict[tuple[str, str], Finding] = {}
        budget = MAX_URLS
        for part in message.parts:
            held: list[text.Link] = []
            if part.media_type == "text/html" and part.content:
                label = part.charset or text.declared_charset(part.content)
                source = charset.decode(part.content[:MAX_PAGE], label).text
                if len(part.content) > MAX_PAGE:
                    _keep(found, LIMIT, part.path, "urls")
                held, more = (
                    text.links(source) if "href" in source or "HREF" in source or "Href" in source else ([], False)
                )
                if more:
                    _keep(found, LIMIT, part.path, "urls")
                held += self._loaded(source.encode("utf-8", "replace"), found, part, budget)
            if part.text and "://" in part.text:
                data = part.text.encode("utf-8", "replace")
                for number, match in enumerate(self._url.finditer(data)):
                    if number >= budget:
                        break
                    held.append(text.Link(match.group().decode("utf-8", "replace"), ""))
            for link in held[:budget]:
                self._link(found, link, part.path)
            budget -= len(held)
            if budget <= 0:
                _keep(found, LIMIT, part.path, "urls")
                break
        return tuple(found.values())

    def _loaded(
        self, source: bytes, found: dict[tuple[str, str], Finding], part: Part, budget: int
    ) -> Iterator[text.Link]:
        """What a page loads or goes to by itself where that is odd; what acts in a body is noted (in files a decoder does it)."""
        place, room = 0, budget
        while room > 0 and (match := self._odd.search(source, place)) is not None:
            room -= 1
            if match.group(1):
                place = match.end()
                yield text.Link(match.group(1).decode("utf-8", "replace"), "")
            else:
                place = match.start() + 1  # the addresses of an element stand within it
                if part.is_body:
                    _keep(found, active.ACTIVE, part.path, active.kind_of(match.group(2), match.group(3)))
        if room <= 0:
            _keep(found, LIMIT, part.path, "urls")

    def _link(self, found: dict[tuple[str, str], Finding], link: text.Link, path: str) -> None:
        href = link.href[:MAX_URL]
        if " " in href or not href.isprintable():
            href = "".join(character for character in href if character > " ")
        lower = href.lower()
        if lower.startswith(_SKIP):
            return
        if lower.startswith(_RUNS):
            _keep(found, SCHEME, path, lower.partition(":")[0])
            return
        host, user = host_of(href)
        if not host:
            return
        if user:
            _keep(found, USERINFO, path, host)
        if is_address(host):
            _keep(found, ADDRESS, path, host)
        if is_confusable(host):
            _keep(found, CONFUSABLE, path, host)
        seen = shown_host(link.shown)
        if seen and differ(seen, host):
            _keep(found, MISMATCH, path, host)


def shown_host(shown: str) -> str:
    """The host a link's text names, or ``""`` when the text is no address but words."""
    plain = normalise(shown[:500]).text.strip().lower()
    for scheme in ("http://", "https://"):
        plain = plain.removeprefix(scheme)
    for mark in "/?#:":
        plain = plain.partition(mark)[0]
    labels = plain.split(".")
    if len(labels) < 2 or not all(label.replace("-", "").isalnum() for label in labels):
        return ""
    return plain if 2 <= len(labels[-1]) <= 20 and labels[-1].isalpha() else ""


def differ(shown: str, host: str) -> bool:
    """Whether two hosts belong to different owners, as far as their names tell."""
    return registered(unicode_domain(shown)) != registered(unicode_domain(host))


def _keep(found: dict[tuple[str, str], Finding], code: Code, path: str, about: str) -> None:
    found.setdefault((code.code, about), Finding(code.code, code.severity, code.en, path, Evidence(), about))


def host_of(href: str) -> tuple[str, str]:
    """Host and user name of a link as a browser takes them (backslashes are slashes, the last @ counts), or ``("", "")``."""
    href = href.replace("\\", "/")
    scheme, mark, rest = href.partition(":")
    if mark and scheme.lower() in ("http", "https", "ftp"):
        href = f"{scheme}://{rest.lstrip('/')}"
    elif href.startswith("//"):
        href = "http:" + href
    else:
        return "", ""
    try:
        parts = urlsplit(href)
    except ValueError:
        return "", ""
    user, _, netloc = parts.netloc.rpartition("@")
    host = netloc if netloc.startswith("[") else netloc.partition(":")[0]
    host = (
        normalise(unquote(host)).text.replace("。", ".").lower().rstrip(".")
        if not host.isascii()
        else unquote(host).lower().rstrip(".")
    )
    return _raw_host(netloc, host), user


def _raw_host(netloc: str, host: str) -> str:
    """Full-width letters are ASCII to a browser, other scripts' letters are not: keep those as written."""
    written = unquote(netloc.partition(":")[0]).lower().rstrip(".")
    return (
        written
        if not written.isascii() and skeleton(written) != written and any("\u0370" <= c <= "\u058f" for c in written)
        else host
    )


def is_address(host: str) -> bool:
    """A dotted, single-number, octal or hexadecimal IPv4 address, or an IPv6 one."""
    if host.startswith("["):
        return True
    labels = host.split(".")
    return len(labels) <= 4 and all(
        label.isdigit() or (label.startswith("0x") and all(c in "0123456789abcdef" for c in label[2:]))
        for label in labels
    )


def is_confusable(host: str) -> bool:
    """Does one label mix Latin with letters that look Latin, or consist of such letters only?"""
    for label in unicode_domain(host).split("."):
        if label.isascii():
            continue
        letters = [character for character in label if character.isalpha()]
        foreign = [c for c in letters if "\u0370" <= c <= "\u058f" or "\u13a0" <= c <= "\u13ff" or c in "ıɑɡᴀᴄᴏſ"]
        alike = [c for c in foreign if skeleton(c).isascii()]
        latin = any(c.isascii() for c in letters)
        if foreign and (latin or len(alike) == len(letters)):
            return True
    return False
