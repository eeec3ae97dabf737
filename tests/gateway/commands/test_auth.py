"""sealgate auth: the reasoning of a saved message, over real DNS on loopback."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import dns.message
import pytest

from gateway.commands import auth
from scanners.resolver import CachingResolver
from tests.fakes.nameserver import nameserver, reply
from tests.scanners.authentication.mail import NOW, PLAIN, record, sign
from tests.scanners.authentication.test_scanner import ZONE

ROOT = Path(__file__).resolve().parents[3]


def respond(query: dns.message.Message, how: str) -> dns.message.Message:
    name = query.question[0].name.to_text(True)
    texts = ZONE.get(name, {}).get("TXT", []) if query.question[0].rdtype.name == "TXT" else []
    if not texts:
        return reply(query, rcode=0 if name in ZONE else 3)
    chunks = " ".join(f'"{texts[0][at : at + 200]}"' for at in range(0, len(texts[0]), 200))
    return reply(query, f"{name}. 60 IN TXT {chunks}")


async def sealgate(file: Path, *arguments: str) -> tuple[int, str]:
    """Run the program beside a name server of our own."""
    async with nameserver(respond) as server:
        command = [
            sys.executable,
            "-m",
            "gateway.cli",
            "auth",
            str(file),
            "--dns",
            f"127.0.0.1:{server.port}",
            *arguments,
        ]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PYTHONIOENCODING": "utf-8"}
        )
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


AS_SENT = ("--ip", "192.0.2.1", "--helo", "mx.a.test", "--mail-from", "joe@a.test", "--at", NOW.isoformat())


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
async def test_good_mail_is_explained_with_the_records(tmp_path: Path, line_end: bytes) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(sign(PLAIN).replace(b"\r\n", line_end))
    status, output = await sealgate(file, *AS_SENT, "--authserv-id", "gw.test")
    assert status == 0, output
    for expected in (
        "2. SPF: pass 通过",
        'a.test TXT "v=spf1 ip4:192.0.2.1 -all"',
        "3. DKIM #1: pass 通过",
        's._domainkey.a.test TXT "v=DKIM1; p=',
        "4. ARC: none 无",
        "5. DMARC: pass 通过",
        '_dmarc.a.test TXT "v=DMARC1; p=reject"',
        "aligned 对齐: SPF, DKIM",
        "auth.dmarc.pass  [a.test]",
        "Authentication-Results: gw.test;",
    ):
        assert expected in output


async def test_a_spoof_says_why_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(b"From: boss@a.test\r\n" + PLAIN)
    status, output = await sealgate(file, "--ip", "198.51.100.9", "--helo", "x", "--mail-from", "joe@a.test")
    assert status == 1
    assert "several_fields" in output
    assert "asks for 要求处置: reject" in output
    assert "192.0.2.1 -all" in output


async def test_without_an_address_spf_is_not_judged(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(PLAIN)
    _, output = await sealgate(file, "--mail-from", "joe@a.test")
    assert "auth.spf.no_client" in output


@pytest.mark.parametrize(
    "arguments", [("--ip", "host.test"), ("--dns", "ns.test"), ("--at", "yesterday"), ("--dns", "127.0.0.1:99999")]
)
async def test_wrong_use_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(PLAIN)
    status, output = await sealgate(file, *arguments)
    assert status == 2
    assert output.startswith("sealgate auth: ")
    assert "Traceback" not in output


async def test_a_missing_file(tmp_path: Path) -> None:
    status, output = await sealgate(tmp_path / "none.eml")
    assert status == 2
    assert "none.eml" in output


async def test_a_strangers_text_cannot_drive_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(PLAIN.replace(b"Joe <joe@a.test>", b"\x1b[2J <joe\x1b]0;x\x07@a.test>"))
    _, output = await sealgate(file, *AS_SENT)
    assert "\x1b" not in output
    assert "control" in output


def test_the_same_record_is_shown_that_was_published() -> None:
    assert record() in ZONE["s._domainkey.a.test"]["TXT"]


async def test_judging_closes_the_resolver() -> None:
    arguments: Any = auth.argparse.Namespace(file=Path(__file__), ip="", helo="", mail_from="", at="")
    resolver = CachingResolver(("127.0.0.1:1",), 0.05)
    found = await auth.judge(auth.read(arguments), resolver, ())
    assert found.author.ambiguous
