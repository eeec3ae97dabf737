"""Judges the same hundred messages by Sealgate, rspamd and OpenDKIM with OpenDMARC, and prints a table with every difference.

    python bench/compare_auth.py > table.md        # as root; Debian: apt install rspamd opendkim opendmarc

Runs itself in a network namespace of its own (unshare): the only name server there is ours, on port 53 of loopback, and nothing can
leave. The peers run with Debian's configuration, only told where to listen.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dns.message
import dns.rdatatype

from bench.auth_cases import Case, cases, why, zone
from scanners.answers import Status
from scanners.authentication.scanner import AuthenticationScanner
from tests.fakes.nameserver import nameserver, reply
from tests.fakes.resolver import FakeResolver
from tests.scanners.authentication.mail import message

RSPAMD, OPENDKIM, OPENDMARC = 20511, 20512, 20513
HOST = "gw.corp.test"
START_S = 150
"""How long a peer may take to listen."""
SYMBOLS = {
    "spf": {"R_SPF_ALLOW": "pass", "R_SPF_FAIL": "fail", "R_SPF_SOFTFAIL": "softfail", "R_SPF_NEUTRAL": "neutral"}
    | {"R_SPF_NA": "none", "R_SPF_DNSFAIL": "temperror", "R_SPF_PERMFAIL": "permerror", "R_SPF_PLUSALL": "pass"},
    "dkim": {"R_DKIM_ALLOW": "pass", "R_DKIM_REJECT": "fail", "R_DKIM_TEMPFAIL": "temperror"}
    | {"R_DKIM_PERMFAIL": "permerror", "R_DKIM_NA": "none"},
    "dmarc": {"DMARC_POLICY_ALLOW": "pass", "DMARC_POLICY_ALLOW_WITH_FAILURES": "pass", "DMARC_POLICY_REJECT": "fail"}
    | {"DMARC_POLICY_QUARANTINE": "fail", "DMARC_POLICY_SOFTFAIL": "fail", "DMARC_NA": "none"}
    | {"DMARC_BAD_POLICY": "permerror", "DMARC_DNSFAIL": "temperror"},
    "arc": {
        "ARC_ALLOW": "pass",
        "ARC_REJECT": "fail",
        "ARC_INVALID": "fail",
        "ARC_DNSFAIL": "temperror",
        "ARC_NA": "none",
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """What one program said: method -> result words, best first where there are several."""

    spf: str = "-"
    dkim: str = "-"
    dmarc: str = "-"
    arc: str = "-"


def respond(query: dns.message.Message, how: str) -> dns.message.Message:
    name, kind = query.question[0].name.to_text(True), dns.rdatatype.to_text(query.question[0].rdtype)
    found = RESOLVER.peek(name, kind)
    assert found is not None
    if found.status is Status.TEMPERROR:
        return reply(query, rcode=2)
    where = f"{name}." if name else "."
    texts = [" ".join(f'"{one.decode()[at : at + 200]}"' for at in range(0, len(one), 200)) for one in found.strings]
    data = [
        *texts,
        *found.addresses,
        *(f"{one}." for one in found.names),
        *(f"{one.preference} {one.host}." for one in found.exchanges),
    ]
    soa = (f"{where} 60 IN SOA ns.test. h.test. 1 2 3 4 5",) if not data else ()
    code = 3 if found.status is Status.NXDOMAIN else 0
    return reply(query, *(f"{where} 60 IN {kind} {one}" for one in data), rcode=code, authority=soa)


RESOLVER = FakeResolver(zone(), warm=True)


# --- the peers ----------------------------------------------------------------------------------------------------------


def start_rspamd(home: Path) -> subprocess.Popen[bytes]:
    shutil.copytree("/etc/rspamd", home / "etc")
    local = home / "etc/local.d"
    local.mkdir(exist_ok=True)
    suffixes = home / "suffixes.dat"
    suffixes.write_text(Path("/usr/share/rspamd/effective_tld_names.dat").read_text() + "\ntest\nrec\n")
    settings = {
        "worker-normal.inc": f'bind_socket = "127.0.0.1:{RSPAMD}"; count = 1;',
        "worker-controller.inc": "enabled = false;",
        "worker-proxy.inc": "enabled = false;",
        "worker-fuzzy.inc": "enabled = false;",
        "options.inc": 'dns { nameserver = ["127.0.0.1"]; timeout = 1s; retransmits = 1; } local_addrs = [];'
        f' url_tld = "{suffixes}";',
        "logging.inc": f'type = "file"; filename = "{home}/log";',
        **{
            f"{name}.conf": "enabled = false;"
            for name in ("fuzzy_check", "asn", "rspamd_update", "rbl", "phishing", "neural", "bayes")
        },
    }
    for name, text in settings.items():
        (local / name).write_text(text + "\n")
    subprocess.run(["chown", "-R", "_rspamd:_rspamd", str(home)], check=True)
    places = [
        f"--var={name}={home}/{'etc' if 'CONF' in name else ''}"
        for name in ("CONFDIR", "LOCAL_CONFDIR", "DBDIR", "RUNDIR", "LOGDIR")
    ]
    return subprocess.Popen(
        ["rspamd", "-c", str(home / "etc/rspamd.conf"), "-f", "-u", "_rspamd", "-g", "_rspamd", *places],
        stdout=sys.stderr,
    )


def start_opendkim(home: Path) -> subprocess.Popen[bytes]:
    # libunbound knows by itself that "test." doesn't exist (RFC 6761); here it does.
    (home / "unbound.conf").write_text(
        'server:\n  local-zone: "test." nodefault\n  module-config: "iterator"\n  do-not-query-localhost: no\n'
        'forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1\n'
    )
    config = home / "opendkim.conf"
    config.write_text(
        f"Mode v\nSocket inet:{OPENDKIM}@127.0.0.1\nAuthservID {HOST}\nAlwaysAddARHeader yes\nSyslog no\nBackground no\n"
        f"ResolverConfiguration {home}/unbound.conf\nDNSTimeout 2\nInternalHosts 127.0.0.1\nExternalIgnoreList csl:0.0.0.0/0\n"
    )
    return subprocess.Popen(["opendkim", "-f", "-x", str(config)], stdout=sys.stderr)


def start_opendmarc(home: Path) -> subprocess.Popen[bytes]:
    suffixes = (
        home / "suffixes.dat"
    )  # both peers know registries by the list only: tell them that test and rec are some
    suffixes.write_text(Path("/usr/share/publicsuffix/public_suffix_list.dat").read_text() + "\ntest\nrec\n")
    config = home / "opendmarc.conf"
    config.write_text(
        f"Socket inet:{OPENDMARC}@127.0.0.1\nAuthservID {HOST}\nTrustedAuthservIDs {HOST}\nSPFSelfValidate true\n"
        f"SPFIgnoreResults true\nSyslog false\nBackground false\nIgnoreHosts {home}/ignore\n"
        f"PublicSuffixList {suffixes}\nRejectFailures false\n"
    )
    (home / "ignore").write_text("203.0.113.250\n")
    return subprocess.Popen(["opendmarc", "-f", "-c", str(config)], stdout=sys.stderr)


async def listening(port: int) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens on {port} after {START_S} s; see its log")


def by_rspamd(case: Case) -> Row:
    headers = {"IP": case.ip, "Helo": case.helo, "From": case.sender or "<>", "Rcpt": "b@corp.test", "Queue-Id": "1"}
    request = urllib.request.Request(f"http://127.0.0.1:{RSPAMD}/checkv2", case.raw, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        symbols = json.load(answer).get("symbols", {})
    words = {method: [word for symbol, word in table.items() if symbol in symbols] for method, table in SYMBOLS.items()}
    return Row(**{method: "+".join(dict.fromkeys(found)) or "-" for method, found in words.items()})


class Milter:
    """The mail server's side of the milter protocol, version 6, without any optional step."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.added = reader, writer, [b""]

    async def send(self, command: bytes, data: bytes = b"", wait: bool = True) -> bytes:
        self.writer.write(len(command + data).to_bytes(4, "big") + command + data)
        await self.writer.drain()
        while wait:
            packet = await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(4), "big"))
            if packet[:1] in b"hi":
                self.added.append(packet[5:] if packet[:1] == b"i" else packet[1:])
            elif packet[:1] in b"carytdO":
                return packet[:1]
        return b""

    async def run(self, case: Case, extra: bytes) -> str:
        """All header fields that the milter adds, as text."""
        await self.send(b"O", (6).to_bytes(4, "big") + (0x1FF).to_bytes(4, "big") + (0).to_bytes(4, "big"))
        await self.send(b"C", b"mx.test\x004" + (25).to_bytes(2, "big") + case.ip.encode() + b"\0")
        await self.send(b"H", case.helo.encode() + b"\0")
        await self.send(b"D", b"Mi\x001\0", wait=False)
        await self.send(b"M", f"<{case.sender}>".encode() + b"\0")
        await self.send(b"R", b"<b@corp.test>\0")
        header, _, body = (extra + case.raw).partition(b"\r\n\r\n")
        for field in header.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n"):
            name, _, value = field.partition(b":")
            answer = await self.send(b"L", name + b"\0" + value.removeprefix(b" ") + b"\0")
            if answer not in b"c":
                return f"refused header: {answer.decode()}"
        await self.send(b"N")
        for start in range(0, len(body), 60_000):
            await self.send(b"B", body[start : start + 60_000])
        last = await self.send(b"E")
        self.writer.close()
        return "\n".join(one.decode("utf-8", "replace") for one in self.added) + f"\n{last.decode()}"


async def by_milter(port: int, case: Case, extra: bytes = b"") -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            return await Milter(reader, writer).run(case, extra)
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
        return f"milter: {type(error).__name__}"
    finally:
        writer.close()


def words(text: str, method: str) -> str:
    found = [piece.split()[0].strip(";") for piece in text.replace("\n", " ").split(f"{method}=")[1:]]
    order = ["pass", "fail", "policy", "temperror", "permerror", "neutral", "none"]
    return "+".join(sorted(dict.fromkeys(found), key=lambda word: order.index(word) if word in order else 9)) or "-"


async def by_open(case: Case) -> Row:
    signed = await by_milter(OPENDKIM, case)
    dkim = words(signed, "dkim")
    fields = [
        one.partition("\0")[2].rstrip("\0") for one in signed.split("\n") if one.startswith("Authentication-Results\0")
    ]
    extra = "".join(f"Authentication-Results: {one}\r\n" for one in fields if one).encode()
    if not extra and "dkim=" in signed:
        extra = f"Authentication-Results: {HOST}; dkim={dkim.split('+')[0]}\r\n".encode()
    extra = b"Authentication-Results: " + _unfolded(signed).encode() + b"\r\n" if "dkim=" in signed else extra
    judged = await by_milter(OPENDMARC, case, extra)
    return Row(words(judged, "spf"), dkim, words(judged, "dmarc"), "-")


def _unfolded(signed: str) -> str:
    value = signed.partition("Authentication-Results\0")[2].partition("\0")[0]
    return " ".join(value.split())


async def by_sealgate(case: Case) -> tuple[Row, str]:
    mail = message(case.raw, client=case.ip, helo=case.helo, sender=case.sender, received_at=case.at)
    scanner = AuthenticationScanner(RESOLVER, trusted_sealers=("list.test",))
    result = await scanner.scan(mail)
    found = result.authentication
    assert found is not None
    signatures = "+".join(dict.fromkeys(one.verdict.value for one in found.dkim)) or "none"
    codes = [one.code for one in result.findings if one.code in MARKS]
    row = Row(found.spf.verdict, signatures, found.dmarc.verdict, found.arc.verdict)
    return row, ", ".join(dict.fromkeys(MARKS[code] for code in codes))


MARKS = {
    "auth.from.ambiguous": "From ambiguous",
    "header.duplicate": "duplicate field",
    "auth.dkim.length": "l=",
    "auth.dkim.weak_key": "weak key",
    "auth.dkim.too_many": "too many signatures",
    "auth.arc.trusted": "trusted sealer",
}


def differs(ours: Row, theirs: Row) -> list[str]:
    """Methods in which the words aren't the same; what a peer says nothing about doesn't count."""
    methods = ("spf", "dkim", "dmarc", "arc")
    return [name for name in methods if getattr(theirs, name) != "-" and _set(ours, name) != _set(theirs, name)]


def _set(row: Row, method: str) -> set[str]:
    return set(getattr(row, method).split("+"))


def _opened(home: Path) -> Path:
    """The peers run as users of their own and must get in."""
    home.chmod(0o755)
    (home / "rspamd").mkdir(mode=0o755)
    return home


async def compare() -> None:
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        home = _opened(Path(folder))
        async with nameserver(respond, 53):
            peers = [start_rspamd(home / "rspamd"), start_opendkim(home), start_opendmarc(home)]
            try:
                for port in (RSPAMD, OPENDKIM, OPENDMARC):
                    await listening(port)
                await table()
            finally:
                for peer in peers:
                    peer.terminate()
                for peer in peers:
                    await asyncio.to_thread(peer.wait)


async def table() -> None:
    print(
        "| # | message | Sealgate: SPF, DKIM, DMARC, ARC | remarks | rspamd | OpenDKIM, OpenDMARC | differs in | why |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for number, case in enumerate(cases(), 1):
        ours, marks = await by_sealgate(case)
        rspamd, opened = await asyncio.to_thread(by_rspamd, case), await by_open(case)
        odd = [f"rspamd {'/'.join(found)}" for found in [differs(ours, rspamd)] if found]
        odd += [f"Open {'/'.join(found)}" for found in [differs(ours, opened)] if found]
        cells: list[Any] = [
            number,
            case.name,
            _cell(ours),
            marks,
            _cell(rspamd),
            _cell(opened),
            "; ".join(odd),
            why(case.name) if odd else "",
        ]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def _cell(row: Row) -> str:
    return ", ".join((row.spf, row.dkim, row.dmarc, row.arc))


def main() -> None:
    """Outside: enter namespaces. Inside: set loopback up, point resolv.conf at it, compare."""
    if "--inside" not in sys.argv:
        for program in ("unshare", "rspamd", "opendkim", "opendmarc"):
            if not shutil.which(program):
                raise SystemExit(f"{program} missing: apt install util-linux rspamd opendkim opendmarc")
        os.execvp("unshare", ["unshare", "-mn", sys.executable, __file__, "--inside"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w", prefix="resolv-") as file:
        file.write("nameserver 127.0.0.1\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        asyncio.run(compare())


if __name__ == "__main__":
    main()
