"""What authentication costs: SPF, DKIM, ARC and DMARC of one mail with a warm DNS cache, CPU time of one process.

    python bench/authentication.py [--messages 2000]

Rows: a small signed mail by canonicalisation, the stages alone, bodies of growing size (only hashing may grow), and hostile bodies.
Best of three rounds. No network: answers come from a dictionary, as they do from a warm cache.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dkim as signer

from scanners.authentication import arc, dkim, dmarc, headers, spf
from scanners.authentication.keys import KeyStore
from scanners.authentication.results import authentication_results, strip_forged
from scanners.authentication.scanner import AuthenticationScanner
from scanners.authentication.verdicts import Verdict
from scanners.message import Message
from tests.fakes.resolver import FakeResolver
from tests.scanners.authentication.mail import message, pem, prepare, record, split

ROUNDS = 3
ZONE = {
    "a.test": {"TXT": ["v=spf1 ip4:198.51.100.0/24 include:spf.a.test -all"]},
    "spf.a.test": {"TXT": ["v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/24 ~all"]},
    "_dmarc.a.test": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@a.test"]},
    "s._domainkey.a.test": {"TXT": [record()]},
}
TRACE = b"Received: from mx.a.test (mx.a.test [192.0.2.1])\r\n\tby relay.test with ESMTPS id 1;\r\n\tFri, 2 Jan 2026 03:04:05 +0000\r\n"
HEADER = (
    TRACE
    * 4
    + b"From: =?utf-8?B?5byg5LiJ?= <joe@a.test>\r\nTo: <b@corp.test>\r\nSubject: =?utf-8?B?5L2g5aW9?= hello\r\n"
    b"Date: Fri, 2 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@a.test>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-Mailer: bench\r\n\r\n"
)
LINE = "一行中文 and some English words, about as long as lines in mail are\r\n".encode()


def signed(body: bytes, canonicalize: tuple[bytes, bytes] = (b"relaxed", b"relaxed")) -> Message:
    raw = HEADER + body
    names = [b"from", b"to", b"subject", b"date", b"message-id", b"content-type"]
    raw = signer.sign(raw, b"s", b"a.test", pem(), canonicalize=canonicalize, include_headers=names) + raw
    mail = message(raw)
    return replace(mail, envelope=replace(mail.envelope, received_at=datetime.now(UTC)))


async def cost_us(messages: int, work: Callable[[], Awaitable[object]]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(messages):
            await work()
        best = min(best, time.process_time() - began)
    return best / messages * 1e6


async def stages(mail: Message, resolver: FakeResolver, messages: int) -> None:
    keys, at, end = KeyStore(), mail.envelope.received_at.timestamp(), split(mail.raw)
    prepared = prepare(mail.raw)
    spf_result = await spf.check(resolver, "192.0.2.1", "mx.a.test", "joe@a.test")
    dkim_result = await dkim.verify(prepared, resolver, keys, at)
    authentication = await AuthenticationScanner(resolver).authenticate(mail)

    async def pure(work: Callable[[], object]) -> None:
        work()

    rows: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("header split", lambda: pure(lambda: prepare(mail.raw))),
        ("From", lambda: pure(lambda: headers.author(prepared, mail.raw, end))),
        ("SPF (include)", lambda: spf.check(resolver, "192.0.2.1", "mx.a.test", "joe@a.test")),
        ("DKIM with split", lambda: dkim.verify(prepare(mail.raw), resolver, keys, at)),
        ("ARC, no chain", lambda: arc.verify(prepared, resolver, keys)),
        ("DMARC", lambda: dmarc.check(resolver, "a.test", spf_result, dkim_result)),
        ("Authentication-Results", lambda: pure(lambda: authentication_results(authentication, "gw.test"))),
        ("forged fields", lambda: pure(lambda: strip_forged(mail.raw, end, "gw.test"))),
    ]
    for name, work in rows:
        print(f"  {name:38} {await cost_us(messages, work):8.0f} us")


async def main(messages: int) -> None:
    resolver = FakeResolver(ZONE, warm=True)
    scanner = AuthenticationScanner(resolver)
    print("all four, one mail, findings included")
    small = LINE * (16_000 // len(LINE))
    for form in ((b"relaxed", b"relaxed"), (b"relaxed", b"simple"), (b"simple", b"simple")):
        mail = signed(small, form)
        result = await scanner.scan(mail)
        assert result.authentication is not None
        assert result.authentication.dmarc.verdict is Verdict.PASS
        cost = await cost_us(messages, lambda mail=mail: scanner.scan(mail))
        print(f"  {len(mail.raw) // 1000} kB, {b'/'.join(form).decode():31} {cost:8.0f} us")
    print("stages of the first")
    await stages(signed(small), resolver, messages)
    print("size of the body (above 64 kB in a thread)")
    for size in (100_000, 1_000_000, 10_000_000):
        mail = signed(LINE * (size // len(LINE)), (b"relaxed", b"simple"))
        print(
            f"  {size // 1000} kB {'':31} {await cost_us(max(3, messages // 100), lambda mail=mail: scanner.scan(mail)):8.0f} us"
        )
    print("hostile megabyte under a relaxed signature")
    honest = signed(small)
    for name, unit in (
        ("blanks", b" "),
        ("tabs and blanks", b" \t"),
        ("empty lines", b"\r\n"),
        ("stray CR", b"\r\r\n"),
    ):
        raw = honest.raw + unit * (1_000_000 // len(unit))
        mail = replace(honest, raw=raw)
        print(f"  {name:38} {await cost_us(5, lambda mail=mail: scanner.scan(mail)):8.0f} us")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    asyncio.run(main(parser.parse_args().messages))
