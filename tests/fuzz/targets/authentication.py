"""A mail and the DNS of whoever sent it into SPF, DKIM, ARC and DMARC: header fields, records, names, all hostile."""

import asyncio
from collections.abc import Iterator

from scanners.answers import Answer, Exchange, Status
from scanners.authentication.domains import public_suffixes
from scanners.authentication.keys import KeyStore
from scanners.authentication.results import authentication_results
from scanners.authentication.scanner import AuthenticationScanner
from scanners.mime import parse
from tests.fuzz.target import Target, declared
from tests.scanners.authentication.mail import PLAIN, ed_key, envelope, record, rsa_key, sign

BREAK = b"\n%%\n"
"""Between the pieces of an input: mail, SPF record, DMARC record, key record, hosts, envelope."""
MOST_QUESTIONS = 400
"""Names one message may make us ask for."""


class HostileResolver:
    """Answers every name with what the input says, by kind of name; counts the questions."""

    def __init__(self, txt: bytes, dmarc: bytes, key: bytes, hosts: bytes) -> None:
        self._txt = {"": txt, "_dmarc.": dmarc, "_domainkey": key}
        self._lines = [line.split() for line in hosts.decode("latin-1").split("\n") if line.strip()]
        self.asked = 0

    def peek(self, name: str, rdtype: str) -> Answer | None:
        """Every second name is in the cache."""
        return self._answer(name, rdtype) if len(name) % 2 else None

    async def query(self, name: str, rdtype: str) -> Answer:
        """What it is made of."""
        self.asked += 1
        return self._answer(name, rdtype)

    def _answer(self, name: str, rdtype: str) -> Answer:
        if rdtype == "TXT":
            kind = next((word for word in ("_dmarc.", "_domainkey") if word in name), "")
            records = self._txt[kind].split(b"\n--\n")
            return Answer(Status.FOUND, strings=tuple(records)) if records[0] else Answer(Status.NXDOMAIN)
        found = [line[1:] for line in self._lines if line[0] == rdtype and len(line) > 1]
        if not found:
            return Answer(Status.TEMPERROR if any(line[0] == "FAIL" for line in self._lines) else Status.NODATA)
        if rdtype == "MX":
            return Answer(Status.FOUND, exchanges=tuple(Exchange(len(words[0]), words[-1][:253]) for words in found))
        texts = tuple(words[0][:253] for words in found)
        return Answer(Status.FOUND, addresses=texts) if rdtype in ("A", "AAAA") else Answer(Status.FOUND, names=texts)


class Judge:
    """The scanner on a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._is_suffix = public_suffixes()

    def close(self) -> None:
        """Let go of the loop."""
        self._loop.close()

    def run(self, data: bytes) -> None:
        """Verdicts for anything; a bounded number of questions; findings of the catalogue; a field that is one header."""
        raw, txt, dmarc, key, hosts, said = (data.split(BREAK, 5) + [b""] * 6)[:6]
        sender, _, helo = said.decode("utf-8", "replace").partition("\n")
        resolver = HostileResolver(txt, dmarc, key, hosts)
        scanner = AuthenticationScanner(resolver, ("corp.test",), ("a.test",), self._is_suffix, KeyStore())
        message = parse(envelope(sender=sender[:320], helo=helo[:255]), raw)
        result = self._loop.run_until_complete(scanner.scan(message))
        declared(result.findings)
        assert resolver.asked <= MOST_QUESTIONS, f"asks: {resolver.asked}"
        assert result.authentication is not None
        field = authentication_results(result.authentication, "gw.test")
        for line in field.split(b"\r\n")[1:]:
            assert line == b"" or line[:1] in b" \t", "the field ends inside"
        assert b"\0" not in field


def seeds() -> Iterator[bytes]:
    """Signed mail with its key, sealed mail, and records of every shape."""
    spf = b"v=spf1 a mx:m.test ip4:192.0.2.0/24 ip6:2001:db8::/32 include:%{d2}.i.test exists:%{ir}._spf.%{d} ptr redirect=r.test"
    dmarc = b"v=DMARC1; p=reject; sp=none; adkim=s; aspf=r; pct=50; rua=mailto:a@b.test!10m; fo=1:d:s; np=quarantine; psd=n; t=y"
    hosts = b"A 192.0.2.1\nAAAA 2001:db8::1\nMX 10 m.test\nPTR h.a.test"
    seal = (
        b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=s; b=QUJD\r\n"
        b"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=s; h=from:to; bh=QUJD; b=QUJD\r\n"
        b"ARC-Authentication-Results: i=1; a.test; spf=pass smtp.mailfrom=a.test; dkim=pass header.d=a.test; dmarc=pass\r\n"
    )
    for mail, key in (
        (sign(PLAIN), record()),
        (sign(PLAIN, key=ed_key(), extra="c=simple/simple; l=5; t=1; x=9999999999; i=@a.test; "), record(ed_key())),
        (sign(PLAIN, h="from:from:to"), record(rsa_key(), "v=DKIM1; h=sha256; s=email; t=s:y; n=x; ")),
        (seal + PLAIN, record()),
        (b'From: a@a.test, "x" <b@b.test>\r\nFrom: =?utf-8?q?c?= (d) <@r:e@xn--fiq228c.test>\r\n\r\nx', ""),
    ):
        yield BREAK.join([mail, spf, dmarc, key.encode(), hosts, b"joe@a.test\nmx.a.test"])
    yield BREAK.join(
        [PLAIN, b"v=spf1 -all\n--\nv=spf1 +all", b"v=DMARC1;p=none\n--\nv=DMARC1", b"", b"FAIL", b"\n[192.0.2.1]"]
    )


def target() -> Target:
    """For the runner."""
    judge = Judge()
    return Target("authentication", judge.run, seeds, close=judge.close)
