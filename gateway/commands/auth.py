"""sealgate auth FILE: judges a saved message as the gateway would have, and says why, with the records that decided."""

import argparse
import asyncio
import ipaddress
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.terminal import safe
from gateway.usage import trouble
from scanners.authentication.results import authentication_results
from scanners.authentication.scanner import AuthenticationScanner, findings
from scanners.authentication.verdicts import Authentication, Dkim, Verdict
from scanners.message import Direction, Envelope, Message, Recipient
from scanners.mime import parse
from scanners.resolver import CachingResolver, Resolver

MAX_FILE = 200_000_000
"""Octets of a file that is read; the gateway itself accepts less."""

WORDS = {
    Verdict.NONE: "无",
    Verdict.PASS: "通过",
    Verdict.FAIL: "失败",
    Verdict.SOFTFAIL: "软失败",
    Verdict.NEUTRAL: "中立",
    Verdict.POLICY: "不予采信",
    Verdict.TEMPERROR: "暂时错误",
    Verdict.PERMERROR: "永久错误",
}

EPILOG = """examples 示例:
  sealgate auth mail.eml --ip 192.0.2.1 --helo mx.example.com --mail-from joe@example.com
  sealgate auth mail.eml --ip 192.0.2.1 --helo mx.example.com --mail-from '' --dns 127.0.0.1:5353
  sealgate auth mail.eml --trust lists.example.org      ARC seals of this domain are believed 信任该域名的 ARC 签章

exit status: 0 nothing wrong, 1 not authenticated or ambiguous, 2 wrong use
退出码：0 无问题，1 未通过或有歧义，2 用法错误
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the reasoning: what was looked at, the verdict, and the details below it."""

    title: str
    verdict: str
    details: tuple[str, ...]


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "auth",
        help="judge a saved message's sender, step by step 逐步判定一封邮件的发件人认证",
        description="SPF, DKIM, ARC and DMARC of a saved message, each with the record that decided it.\n"
        "对保存的邮件逐步判定 SPF、DKIM、ARC 与 DMARC，并给出起决定作用的 DNS 记录。不需要配置文件。",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="message, as received 邮件原文（.eml）")
    parser.add_argument("--ip", default="", help="address of the client; none: SPF is not judged 客户端地址")
    parser.add_argument("--helo", default="", help="what it said in EHLO HELO 名")
    parser.add_argument("--mail-from", default="", help="envelope sender; '' is the null sender 信封发件人")
    parser.add_argument(
        "--dns", action="append", default=[], metavar="ADDRESS:PORT", help="DNS server; default the system's DNS 服务器"
    )
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds per DNS attempt 每次 DNS 查询的秒数")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="DOMAIN", help="trusted ARC sealer 受信任的 ARC 转发者"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object, for scripts 输出 JSON 对象")
    parser.add_argument("--at", default="", metavar="TIME", help="judge as of then, ISO 8601; default now 以该时刻判定")
    parser.add_argument(
        "--authserv-id", default="localhost", help="in the Authentication-Results field 结果字段中的标识"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the reasoning. Exit 0: nothing wrong; 1: not authenticated, or ambiguous; 2: wrong use."""
    try:
        message = read(arguments)
        resolver = CachingResolver(tuple(arguments.dns), arguments.timeout)
    except OSError as error:
        print(trouble(error), file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"sealgate auth: {error}", file=sys.stderr)
        return 2
    authentication = asyncio.run(judge(message, resolver, tuple(arguments.trust)))
    good = authentication.dmarc.verdict in (Verdict.PASS, Verdict.NONE) and not authentication.author.ambiguous
    if arguments.json:
        print(as_json(authentication, message, arguments.authserv_id))
        return 0 if good else 1
    for step in explain(authentication, message):
        print(f"{step.title}: {step.verdict}")
        for detail in step.details:
            print(f"    {detail}")
    print("\nfindings 发现:")
    signatures = len(message.all("dkim-signature"))
    for finding in findings(authentication, signatures):
        about = f"  [{finding.about}]" if finding.about else ""
        print(f"    {finding.code}{about}  {safe(finding.summary)}")
    print()
    print(authentication_results(authentication, arguments.authserv_id).decode().replace("\r\n", "\n"), end="")
    return 0 if good else 1


def as_json(authentication: Authentication, message: Message, authserv_id: str) -> str:
    """The same for scripts."""
    found = findings(authentication, len(message.all("dkim-signature")))
    return json.dumps(
        {
            "steps": [asdict(step) for step in explain(authentication, message)],
            "findings": [{"code": one.code, "about": one.about, "summary": one.summary} for one in found],
            "authentication_results": authentication_results(authentication, authserv_id).decode(),
        },
        ensure_ascii=False,
    )


def read(arguments: argparse.Namespace) -> Message:
    """The file as a message. Raises OSError, or ValueError that says what to do."""
    if arguments.file.stat().st_size > MAX_FILE:
        raise ValueError(f"{arguments.file} is larger than {MAX_FILE} octets 文件过大")
    raw = arguments.file.read_bytes()
    if b"\r\n" not in raw:
        raw = raw.replace(b"\n", b"\r\n")  # saved with the line ends of a Unix file; signatures are over CRLF
    if arguments.ip:
        try:
            ipaddress.ip_address(arguments.ip)
        except ValueError:
            raise ValueError(
                f"--ip {arguments.ip!r} is not an IP address; give one like 192.0.2.1 不是 IP 地址"
            ) from None
    at = datetime.now(UTC)
    if arguments.at:
        at = datetime.fromisoformat(arguments.at)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    envelope = Envelope(
        "auth", "auth", "auth", Direction.INBOUND, at, arguments.ip or None, "", arguments.helo, "", "",
        arguments.mail_from.strip("<>"), (Recipient(""),),
    )  # fmt: skip
    return parse(envelope, raw)


async def judge(message: Message, resolver: Resolver, trusted: tuple[str, ...]) -> Authentication:
    """The verdicts, by the very scanner the gateway uses."""
    try:
        return await AuthenticationScanner(resolver, trusted_sealers=trusted).authenticate(message)
    finally:
        if isinstance(resolver, CachingResolver):
            await resolver.close()


def explain(authentication: Authentication, message: Message) -> Iterator[Step]:
    """The reasoning in the order in which it is done."""
    author, spf, dmarc = authentication.author, authentication.spf, authentication.dmarc
    names = ", ".join(author.domains) or "-"
    odd = tuple(f"ambiguous 有歧义: {reason}" for reason in author.ambiguous)
    twice = tuple(f"occurs more than once 重复出现: {name}" for name in authentication.duplicates)
    yield Step("1. From 作者", names, (f"address 地址: {safe(author.address) or '-'}", *odd, *twice))
    checked = f"{message.envelope.client or '?'} for 代表 {spf.domain or '-'} ({spf.identity})"
    record = _record(spf.record_domain, spf.record)
    matched = (f"matched 匹配: {safe(spf.mechanism)}",) if spf.mechanism else ()
    said = (f"the domain's owner says 域名所有者说明: {spf.explanation}",) if spf.explanation else ()
    yield Step("2. SPF", _verdict(spf.verdict), (checked, *record, *matched, *said, f"because 原因: {spf.reason}"))
    if not authentication.dkim:
        yield Step("3. DKIM", _verdict(Verdict.NONE), ("no signature 无签名",))
    for number, one in enumerate(authentication.dkim, 1):
        yield Step(f"3. DKIM #{number}", _verdict(one.verdict), tuple(_dkim_details(one)))
    arc = authentication.arc
    chain = (f"sealers 签章者: {' > '.join(arc.sealers)}",) if arc.sealers else ()
    trust = (f"trusted 受信任: {arc.trusted} ({arc.vouched})",) if arc.trusted else ()
    yield Step("4. ARC", _verdict(arc.verdict), (*chain, *trust, f"because 原因: {safe(arc.reason)}"))
    asked = f"asks for 要求处置: {dmarc.requested}" + (" (t=y: testing, none 测试中，不处置)" if dmarc.testing else "")
    aligned = [name for name, yes in (("SPF", dmarc.spf_aligned), ("DKIM", dmarc.dkim_aligned)) if yes]
    details = [*_record(f"_dmarc.{dmarc.record_domain}", dmarc.record), *([asked] if dmarc.record else [])]
    details.append(f"aligned 对齐: {', '.join(aligned) or '-'}")
    yield Step("5. DMARC", _verdict(dmarc.verdict), (*details, f"because 原因: {safe(dmarc.reason)}"))


def _dkim_details(one: Dkim) -> Iterator[str]:
    yield f"d={safe(one.domain)} s={safe(one.selector)} a={safe(one.algorithm)} {one.bits or '?'} bit"
    yield from _record(f"{one.selector}._domainkey.{one.domain}", one.record)
    if one.flags:
        yield f"remarks 备注: {', '.join(one.flags)}"
    if one.reason:
        yield f"because 原因: {safe(one.reason)}"


def _verdict(verdict: Verdict) -> str:
    return f"{verdict} {WORDS[verdict]}"


def _record(name: str, text: str) -> tuple[str, ...]:
    return (f'{safe(name)} TXT "{safe(text)[:300]}"',) if text else ()
