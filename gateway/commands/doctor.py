"""sealgate doctor: is this gateway in order, and the DNS of our own domains? Checks of the machine are in gateway/checkup."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway.checkup import examination
from gateway.checkup.check import Check, Health
from gateway.config import Config
from scanners.authentication import keys, spf
from scanners.authentication.domains import to_ascii
from scanners.authentication.verdicts import Verdict
from scanners.resolver import Answer, CachingResolver, Resolver, Status

STRANGER = "192.0.2.255"
"""An address of the documentation range (RFC 5737): nobody's record should let it pass."""
TIMEOUT_S = 60.0
"""For all checks of all domains."""


SIGNS = {Health.GOOD: "✓", Health.REMARK: "!", Health.WRONG: "✗"}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="is everything in order? 体检：配置、端口、证书、时钟、磁盘、进程、下一跳与 DNS",
        description="Rules, ports, certificates, clock, disk, processes, log, clamd and next hops of this gateway;\n"
        "MX, SPF, DKIM and DMARC of our own domains, as the world sees them. Changes nothing.\n"
        "检查本机的策略、端口、证书、时钟、磁盘、进程、日志、clamd 与下一跳；\n"
        "并从外部视角检查本单位域名的 MX、SPF、DKIM 与 DMARC。不作任何更改。",
        epilog="examples 示例:\n  sealgate doctor --config sealgate.toml\n"
        "  sealgate doctor --domain example.com --selector mail --dns 127.0.0.1:5353",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.add_argument("--domain", action="append", default=[], help="check this instead of local_domains 指定域名")
    parser.add_argument("--no-dns", action="store_true", help="look at this machine only 只检查本机")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, for scripts 每行一个 JSON 对象")
    parser.add_argument("--selector", default="", help="DKIM selector to look for DKIM 选择器")
    parser.add_argument("--dns", action="append", default=[], metavar="ADDRESS:PORT", help="DNS server DNS 服务器")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: nothing wrong; 1: something is; 2: wrong use."""
    config: Config | None = None
    if not arguments.domain:
        config = configuration.load(arguments.config)
    domains = tuple(arguments.domain) or (config.gateway.local_domains if config else ())
    servers = tuple(arguments.dns) or (config.dns.servers if config else ())
    selector = arguments.selector or (config.dkim.selector if config else "")
    try:
        resolver = CachingResolver(servers, config.dns.timeout_s if config else 2.0)
    except ValueError as error:
        print(f"sealgate doctor: {error}", file=sys.stderr)
        return 2
    checks = asyncio.run(_everything(config, resolver, () if arguments.no_dns else domains, selector))
    if arguments.json:
        for check in checks:
            print(json.dumps({**asdict(check), "health": check.health.name.lower()}, ensure_ascii=False))
        return 1 if any(check.health is Health.WRONG for check in checks) else 0
    for check in checks:
        print(f"{SIGNS[check.health]} {check.subject}: {check.en} {check.zh}")
        if check.advice:
            print(f"    → {check.advice}")
    wrong = sum(check.health is Health.WRONG for check in checks)
    remarks = sum(check.health is Health.REMARK for check in checks)
    print(
        f"{len(checks)} checks, {wrong} wrong, {remarks} remarks 共 {len(checks)} 项，{wrong} 项有误，{remarks} 项提示"
    )
    return 1 if any(check.health is Health.WRONG for check in checks) else 0


async def _everything(config: Config | None, resolver: Resolver, domains: Sequence[str], selector: str) -> list[Check]:
    """This machine if a configuration was read, then the DNS of the domains."""
    return [*(await examination.examine(config) if config else ()), *await examine(resolver, domains, selector)]


async def examine(resolver: Resolver, domains: Sequence[str], selector: str) -> list[Check]:
    """Every check of every domain."""
    checks: list[Check] = []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for written in domains:
                domain = to_ascii(written)
                if not domain:
                    checks.append(Check(written, Health.WRONG, "不是域名", "is not a domain name"))
                    continue
                checks.append(await check_mx(resolver, domain))
                checks.append(await check_spf(resolver, domain))
                checks.append(await check_dmarc(resolver, domain))
                if selector:
                    checks.append(await check_dkim(resolver, domain, selector))
    except TimeoutError:
        checks.append(
            Check("DNS", Health.WRONG, "检查超时", "the checks took too long", "try --dns ADDRESS:PORT 换一台 DNS")
        )
    finally:
        if isinstance(resolver, CachingResolver):
            await resolver.close()
    return checks


def _unknown(subject: str, answer: Answer) -> Check:
    return Check(
        subject,
        Health.WRONG,
        "DNS 未给出答复",
        f"DNS gave no answer ({answer.detail})",
        "ask again, or another server 稍后重试",
    )


async def check_mx(resolver: Resolver, domain: str) -> Check:
    """Mail can reach us: MX records whose hosts have addresses (RFC 5321 5.1)."""
    subject = f"{domain} MX"
    answer = await resolver.query(domain, "MX")
    if answer.status is Status.TEMPERROR:
        return _unknown(subject, answer)
    if not answer.exchanges:
        return Check(subject, Health.WRONG, "没有 MX 记录", "no MX record", f"publish: {domain}. MX 10 mx.{domain}.")
    for exchange in answer.exchanges:
        addresses = [await resolver.query(exchange.host, rdtype) for rdtype in ("A", "AAAA")]
        if not any(one.addresses for one in addresses):
            return Check(
                subject,
                Health.WRONG,
                f"{exchange.host} 没有地址",
                f"{exchange.host} has no address",
                f"publish A or AAAA for {exchange.host}",
            )
    hosts = ", ".join(exchange.host for exchange in answer.exchanges)
    return Check(subject, Health.GOOD, "正常", f"{hosts}")


async def check_spf(resolver: Resolver, domain: str) -> Check:
    """One SPF record that checkdmarc can read, and that ends in a refusal (RFC 7208)."""
    subject = f"{domain} SPF"
    answer = await resolver.query(domain, "TXT")
    if answer.status is Status.TEMPERROR:
        return _unknown(subject, answer)
    records = _texts(answer, b"v=spf1")
    if not records:
        return Check(
            subject, Health.WRONG, "没有 SPF 记录", "no SPF record", f'publish: {domain}. TXT "v=spf1 mx -all"'
        )
    if len(records) > 1:
        return Check(
            subject, Health.WRONG, "有多条 SPF 记录，均无效", "several SPF records: none counts", "keep one 只保留一条"
        )
    if problem := await asyncio.to_thread(_spf_problem, records[0], domain):
        return Check(subject, Health.WRONG, "记录有误", f"{problem}", "correct the record 请修正记录")
    judged = await spf.check(resolver, STRANGER, domain, f"postmaster@{domain}")
    if judged.verdict in (Verdict.PERMERROR, Verdict.TEMPERROR):
        return Check(
            subject, Health.WRONG, "记录无法求值", judged.reason, "correct what it includes 请修正其引用的记录"
        )
    if judged.verdict is Verdict.PASS:
        return Check(
            subject,
            Health.WRONG,
            "记录放行所有人",
            f"{records[0]!r} lets everybody pass",
            "end it with -all 以 -all 结尾",
        )
    last = records[0].lower().split()[-1]
    if last not in ("-all", "~all") and not last.startswith("redirect="):
        return Check(
            subject,
            Health.REMARK,
            "记录不拒绝任何人",
            f"{records[0]!r} refuses nobody",
            "end it with -all 以 -all 结尾",
        )
    return Check(subject, Health.GOOD, "正常", records[0])


async def check_dmarc(resolver: Resolver, domain: str) -> Check:
    """One DMARC record that checkdmarc can read, with a policy and a report address (RFC 9989)."""
    subject = f"{domain} DMARC"
    answer = await resolver.query(f"_dmarc.{domain}", "TXT")
    if answer.status is Status.TEMPERROR:
        return _unknown(subject, answer)
    records = _texts(answer, b"v=DMARC1")
    if not records:
        advice = f'publish: _dmarc.{domain}. TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc@{domain}"'
        return Check(
            subject,
            Health.WRONG,
            "没有 DMARC 记录，任何人都可冒用",
            "no DMARC record: anybody may use the name",
            advice,
        )
    if len(records) > 1:
        return Check(
            subject,
            Health.WRONG,
            "有多条 DMARC 记录，均无效",
            "several DMARC records: none counts",
            "keep one 只保留一条",
        )
    tags, problem = await asyncio.to_thread(_dmarc_tags, records[0])
    if problem:
        return Check(subject, Health.WRONG, "记录有误", problem, "correct the record 请修正记录")
    if tags.get("p", "none") == "none":
        return Check(
            subject,
            Health.REMARK,
            "p=none 只观察不拦截",
            "p=none only watches",
            "go to quarantine, then reject 逐步收紧策略",
        )
    if "rua" not in tags:
        return Check(
            subject, Health.REMARK, "没有报告地址 rua", "no report address (rua)", f"add rua=mailto:dmarc@{domain}"
        )
    return Check(subject, Health.GOOD, "正常", records[0])


async def check_dkim(resolver: Resolver, domain: str, selector: str) -> Check:
    """The key with which we sign is published and strong (RFC 6376, RFC 8301)."""
    name = f"{selector}._domainkey.{domain}"
    answer = await resolver.query(name, "TXT")
    if answer.status is Status.TEMPERROR:
        return _unknown(name, answer)
    if len(answer.strings) != 1:
        return Check(
            name,
            Health.WRONG,
            "应有且只有一条公钥记录",
            f"{len(answer.strings)} key records, not one",
            f"publish the public key at {name}",
        )
    key = keys.parse(answer.strings[0])
    if isinstance(key, keys.BadKey):
        return Check(name, Health.WRONG, "公钥无效", key.reason, "publish the public key again 请重新发布公钥")
    if key.kind == "rsa" and key.bits < keys.GOOD_RSA_BITS:
        return Check(name, Health.REMARK, "密钥偏短", f"{key.bits}-bit key", "make a 2048-bit key 请换用 2048 位密钥")
    return Check(name, Health.GOOD, "正常", f"{key.kind} {key.bits} bit")


def _texts(answer: Answer, prefix: bytes) -> list[str]:
    return [text.decode("ascii", "replace") for text in answer.strings if text.lower().startswith(prefix.lower())]


def _spf_problem(record: str, domain: str) -> str:
    """What checkdmarc says against the syntax of an SPF record, or ``""``. It looks nothing up."""
    from checkdmarc.spf import SPFError, parse_spf_record

    try:
        parsed: Any = parse_spf_record(record, domain, resolver=_Silent(), timeout=0.1)
    except SPFError as error:
        return str(error)[:300]
    except _AskedDns:
        return ""  # the syntax is read up to the first name it wants; the gateway's own SPF judges the rest
    return "; ".join(parsed["warnings"])[:300]


def _dmarc_tags(record: str) -> tuple[dict[str, str], str]:
    """The tags checkdmarc reads in a DMARC record, and what it says against it."""
    from checkdmarc.dmarc import DMARCError, parse_dmarc_record

    try:
        parsed: Any = parse_dmarc_record(record, "example.test", resolver=_Silent(), timeout=0.1)
    except DMARCError as error:
        return {}, str(error)[:300]
    except _AskedDns:
        pairs: Iterable[list[str]] = (piece.split("=", 1) for piece in record.split(";") if "=" in piece)
        return {name.strip().lower(): value.strip().lower() for name, value in pairs}, ""
    return {name: str(tag["value"]).lower() for name, tag in parsed["tags"].items() if tag["explicit"]}, ""


class _AskedDns(Exception):
    """checkdmarc wanted to look something up; only our resolver asks DNS."""


class _Silent:
    """Stands where checkdmarc expects a dnspython resolver and lets no question out."""

    def resolve(self, *_: object, **__: object) -> None:
        raise _AskedDns

    def __getattr__(self, name: str) -> object:
        raise _AskedDns
