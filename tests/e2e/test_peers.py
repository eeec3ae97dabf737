"""Real peers: swaks and a Postfix in front, a Postfix behind."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo import mails
from gateway.demo.stage import CONFIG, Stage
from tests.e2e.conftest import SECRET
from tests.fakes.ports import free_port

PATIENCE_S = 180.0


def needs(*programs: str) -> None:
    """Skip visibly where a program is missing; in CI that is a failure."""
    missing = [each for each in programs if shutil.which(each) is None]
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"missing in CI: {missing}")
        pytest.skip(f"missing: {missing}; apt-get install {' '.join(missing)}")


def postfix(folder: Path, listen: int, relay: str, more: str = "") -> Path:
    """A Postfix of its own in ``folder``: takes mail on a loopback port and sends all to ``relay``, or keeps it in a mailbox."""
    etc, spool, data = folder / "etc", folder / "spool", folder / "data"
    for each in (etc, spool, data):
        each.mkdir(parents=True)
    shutil.chown(data, "postfix")
    (etc / "main.cf").write_text(
        f"""compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/mail.log
maillog_file_prefixes = /var, /tmp
myhostname = postfix.test
mydestination =
relayhost = {relay}
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtputf8_enable = no
alias_maps =
alias_database =
local_transport = error:none
{more}
""",
        encoding="utf-8",
    )
    services = ["pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr"]
    services += [
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
    ]
    services += [
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp",
    ]
    services += [
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
    ]
    services += [
        "proxymap unix - - n - - proxymap",
        "showq unix n - n - - showq",
        "postlog unix-dgram n - n - 1 postlogd",
    ]
    services += ["virtual unix - n n - - virtual"]
    (etc / "master.cf").write_text(
        f"127.0.0.1:{listen} inet n - n - - smtpd\n" + "\n".join(services) + "\n", encoding="utf-8"
    )
    if Path("/etc/postfix/dynamicmaps.cf").exists():
        shutil.copy("/etc/postfix/dynamicmaps.cf", etc)
        (etc / "dynamicmaps.cf.d").mkdir()
    subprocess.run(["postfix", "-c", str(etc), "start"], check=True, capture_output=True)
    return etc


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that Postfix' own people may enter, as pytest's may not be."""
    folder = Path(tempfile.mkdtemp(prefix="sealgate-postfix-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def test_swaks_delivers(tmp_path: Path) -> None:
    needs("swaks")
    async with Stage(tmp_path, SECRET) as stage:
        process = await asyncio.create_subprocess_exec(
            "swaks", "--server", f"127.0.0.1:{stage.ports['outbound']}", "--from", "li@corp.test", "--to", "zhang@corp.test",
            "--header", "Subject: from swaks", "--body", "hello", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        assert "Subject: from swaks" in stage.delivered()[0].data.decode()
        assert [event["type"] for event in stage.events()][-2:] == ["message.decided", "message.relayed"]


async def test_a_postfix_in_front_and_one_behind(tmp_path: Path, open_folder: Path) -> None:
    needs("postfix", "swaks")
    if os.geteuid() != 0:
        pytest.skip("a Postfix of our own needs root")
    behind_port, front_port = free_port(), free_port()
    mailbox = open_folder / "mail"
    mailbox.mkdir()
    shutil.chown(mailbox, "postfix")
    uid = pwd.getpwnam("postfix").pw_uid
    behind = postfix(
        open_folder / "behind",
        behind_port,
        "",
        f"virtual_mailbox_domains = corp.test\nvirtual_mailbox_base = {mailbox}\nvirtual_mailbox_maps = static:all/\n"
        f"virtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{uid}\nvirtual_minimum_uid = 1\n",
    )
    started = [behind]
    config = CONFIG.replace('to = "smtp://{server}"', f'to = "smtp://127.0.0.1:{behind_port}"')
    config = config.replace("proxy_protocol = true", "xclient = true")
    try:
        async with Stage(tmp_path / "gateway", SECRET, config) as stage:
            front = postfix(
                open_folder / "front",
                front_port,
                f"[127.0.0.1]:{stage.ports['inbound']}",
                "smtp_send_xforward_command = yes\n",
            )
            started.append(front)
            raw = mails.signed(
                mails.mail(f"ann@{mails.PARTNER}", "zhang@corp.test", "through two", "hello"), stage.keys
            )
            letter = tmp_path / "letter.eml"
            letter.write_bytes(raw)
            sent = await asyncio.to_thread(
                subprocess.run,
                ["swaks", "--server", f"127.0.0.1:{front_port}", "--from", f"ann@{mails.PARTNER}", "--to", "zhang@corp.test",
                 "--data", f"@{letter}"],
                capture_output=True, check=False,
            )  # fmt: skip
            assert sent.returncode == 0, sent.stdout
            arrived: list[Path] = []
            async with asyncio.timeout(PATIENCE_S):
                while not arrived:
                    arrived = [path for path in mailbox.rglob("new/*") if path.is_file()]
                    await asyncio.sleep(0.1)
            text = arrived[0].read_text(encoding="utf-8")
            assert "dkim=pass" in text
            assert "Subject: through two" in text
            async with asyncio.timeout(
                PATIENCE_S
            ):  # the mail may be in its box before the gateway has noted that it is
                while stage.events()[-1]["type"] != "message.relayed":
                    await asyncio.sleep(0.1)
            assert stage.events()[-2]["type"] == "message.decided"
    finally:
        for each in started:
            subprocess.run(["postfix", "-c", str(each), "stop"], check=False, capture_output=True)
