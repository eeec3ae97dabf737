"""sealgate held, queue and operator, on a real store; the log is reached by a keeper or not at all."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from gateway import config as configuration
from gateway.cli import main
from gateway.custody import listing
from gateway.custody.custody import Custody
from gateway.custody.delivery import Addressee, State
from gateway.custody.desk import ids, now
from gateway.store.blobs import FolderBlobs
from gateway.store.opening import open_store
from gateway.store.protocol import Change, Filter
from policies.decision import Decision, Disposition, Treatment
from tests.fakes.keeper import PATIENCE_S
from tests.fakes.recorder import FakeRecorder
from tests.gateway.samples import RAW, decided, decision, delivery, envelope, reason, share

SETTINGS = """
[gateway]
hostname = "gw.test"
local_domains = ["corp.test"]

[[listener]]
name = "outbound"
bind = "127.0.0.1:0"
direction = "outbound"
clients = ["127.0.0.0/8"]

[[route]]
recipients = "*"
to = "smtp://127.0.0.1:9"

[[operator]]
name = "wang"
address = "wang@corp.test"
groups = ["sales-managers"]
totp_file = "state/keys/operators/wang.totp"

[[operator]]
name = "zhang"
address = "zhang@corp.test"
totp_file = "state/keys/operators/zhang.totp"
"""


@pytest.fixture
def settings(tmp_path) -> Path:
    path = tmp_path / "sealgate.toml"
    path.write_text(SETTINGS)
    return path


def keep(settings: Path, what=None) -> str:
    """Take one message as a worker would."""
    config = configuration.load(settings)

    async def work() -> str:
        store = await open_store(config)
        recorder = FakeRecorder()
        blobs = FolderBlobs(config.gateway.state_dir / "custody")
        custody = Custody(store, blobs, recorder, clock=now, ids=ids, owner="test")
        of = envelope(ids(), recipients=("planted-buyer@acme.example",))
        shares = (
            share(what or decision(reason(approvers=("group:sales-managers",))), ("planted-buyer@acme.example",)),
        )
        await custody.take(of, RAW, shares, decided(of.id, ids()), await recorder.message_key([]))
        await store.close()
        return of.id

    return asyncio.run(work())


def test_list_and_show_mask_addresses_and_say_what_to_do(settings, capsys):
    message_id = keep(settings)
    assert main(["held", "list", "--config", str(settings)]) == 0
    listed = capsys.readouterr().out
    assert message_id in listed
    assert "z***@corp.test -> p***@acme.example" in listed
    assert main(["held", "show", message_id, "--config", str(settings)]) == 0
    shown = capsys.readouterr().out
    assert "group:sales-managers" in shown
    assert f"sealgate held release {message_id}" in shown
    assert "planted" not in listed + shown


def due_of(settings: Path) -> datetime:
    config = configuration.load(settings)

    async def work() -> datetime:
        store = await open_store(config)
        (only,) = (await store.page(Filter())).deliveries
        await store.close()
        return only.due

    return asyncio.run(work())


def columns(line: str, *starts: str) -> list[int]:
    return [listing.columns_of(line[: line.index(start)]) for start in starts]


@pytest.mark.parametrize("command", ["held", "queue"])
def test_columns_stand_under_their_titles_also_with_han_characters(settings, capsys, command):
    message_id = keep(settings)
    assert main([command, "list", "--config", str(settings)]) == 0
    title, row = capsys.readouterr().out.splitlines()[:2]
    assert "\x1b" not in title + row
    found = columns(
        row, message_id, "awaiting-approval", listing.when(due_of(settings)), "outbound-contract-price", "z***@"
    )
    assert columns(title, "id 邮件", "state", "due", "rule", "from") == found


def on_a_terminal(columns: int, *words: str) -> str:
    """What a command writes on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([sys.executable, "-m", "gateway.cli", *words], stdout=theirs, env=environment)
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # EIO: the other end has been closed
        while piece := os.read(ours, 65536):
            written += piece
    os.close(ours)
    assert process.wait(300) == 0
    return written.decode()


@pytest.mark.parametrize("command", ["held", "queue"])
def test_a_narrow_terminal_gets_lines_that_fit(settings, command):
    message_id = keep(settings)
    lines = on_a_terminal(60, command, "list", "--config", str(settings)).splitlines()
    assert lines[0].startswith(message_id)
    assert all(listing.columns_of(line) <= 60 for line in lines), lines


@pytest.mark.parametrize("words", [("held", "list"), ("queue", "list"), ("held", "show"), ("queue", "show")])
def test_scripts_get_an_object_a_line_and_no_address(settings, capsys, words):
    message_id = keep(settings)
    assert main([*words, *([message_id] if words[1] == "show" else []), "--json", "--config", str(settings)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["message"], found["state"], found["from"]) == (message_id, "awaiting-approval", "z***@corp.test")
    assert found["reasons"][0]["approvers"] == ["group:sales-managers"]
    assert "planted" not in line


@pytest.mark.parametrize("limit", ["0", "-1", "1001"])
def test_a_limit_out_of_bounds_is_said(settings, capsys, limit):
    assert main(["held", "list", "--limit", limit, "--config", str(settings)]) == 2
    assert "1 to 1000" in capsys.readouterr().err


def test_what_cannot_be_encrypted_says_what_to_do(settings, capsys):
    bank = Decision(Disposition.DELIVER, frozenset({Treatment("encrypt")}), (reason("bank", Disposition.DELIVER),))
    message_id = keep(settings, bank)
    assert main(["held", "show", message_id, "--config", str(settings)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "treatment.encrypt",
        "nobody can waive this; it ends when the treatment can be done",
        'to = "smtp://127.0.0.1:2600" write tls = "verified"',
        f"reload, then 重新加载后再次执行: sealgate held release {message_id}",
        f"sealgate held reject {message_id}",
    ):
        assert part in shown, shown


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--rule", "outbound-contract-price"], True),
        (["--rule", "other"], False),
        (["--address", "Planted-Buyer@acme.example"], True),
        (["--address", "nobody@acme.example"], False),
    ],
)
def test_list_finds_by_rule_and_address(settings, capsys, words, found):
    message_id = keep(settings)
    assert main(["held", "list", *words, "--config", str(settings)]) == 0
    assert (message_id in capsys.readouterr().out) is found


def test_queue_list_goes_page_by_page(settings, capsys):
    kept = {keep(settings, decision(reason(disposition=Disposition.QUARANTINE))) for _ in range(3)}
    seen, after = set(), ""
    for _ in range(3):
        assert (
            main(
                ["queue", "list", "--state", "quarantined", "--limit", "1", "--after", after, "--config", str(settings)]
            )
            == 0
        )
        lines = capsys.readouterr().out.splitlines()
        seen.add(lines[1].split()[1])
        after = lines[-1].split()[-1]
    assert seen == kept


@pytest.mark.parametrize("words", [("held", "release"), ("queue", "retry")])
def test_more_than_one_code_answers_is_refused_before_it_is_asked_for(settings, capsys, words):
    many = [f"01KAMZ3W8Q0000000000000{number:03}" for number in range(101)]
    assert main([*words, *many, "--operator", "li.lei", "--config", str(settings)]) == 2
    assert "at most 100" in capsys.readouterr().err


def test_what_is_not_there_is_said(settings, capsys):
    for command in ("held", "queue"):
        assert main([command, "show", "01KAMZ3W8Q0000000000000M99", "--config", str(settings)]) == 2
        assert "sealgate trace" in capsys.readouterr().err


def test_a_code_is_never_an_argument(settings, capsys):
    with pytest.raises(SystemExit):
        main(["held", "release", "X", "--operator", "wang", "--code", "123456", "--config", str(settings)])
    assert "--code" in capsys.readouterr().err


def test_operator_add_makes_a_secret_once(settings, capsys, tmp_path):
    words = [
        "operator",
        "add",
        "li.na",
        "--address",
        "li.na@corp.test",
        "--group",
        "lawyers",
        "--config",
        str(settings),
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    secret = tmp_path / "state" / "keys" / "operators" / "li.na.totp"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert f"secret={secret.read_text().strip()}" in said
    settings.write_text(SETTINGS + said[said.index("[[operator]]") :])
    added = configuration.load(settings).operators[-1]
    assert (added.name, added.groups, added.totp_file) == ("li.na", ("lawyers",), secret)
    assert main(words) == 1
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "名", "A B", "x" * 65])
def test_operator_names_are_plain(settings, name):
    assert main(["operator", "add", name, "--config", str(settings)]) == 2


@pytest.mark.parametrize(
    ("address", "shown"),
    [("zhang@corp.test", "z***@corp.test"), ("", "<>"), ("a@\x1b[31m.test", "a***@?[31m.test"), ("noat", "***@noat")],
)
def test_masks(address, shown):
    assert listing.mask(address) == shown


def test_a_reply_that_repeats_the_address_is_masked():
    row = replace(delivery(), recipients=(Addressee("secret@x.test", reply="550 5.1.1 <secret@x.test> unknown"),))
    shown = "\n".join(listing.page(replace(row, state=State.UNDELIVERABLE), _held(row)))
    assert "secret" not in shown
    assert "550 5.1.1" in shown


def _held(row):
    from gateway.store.protocol import Held

    return Held(envelope(row.message_id), row.message_id, 1)


@pytest.fixture
def keeper(settings):
    """A real keeper on the same state."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.recording.keeper", "--config", str(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    socket = settings.parent / "state" / "run" / "keeper.sock"
    end = time.monotonic() + PATIENCE_S
    while not socket.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if not socket.exists():
        process.kill()
        pytest.fail(f"the keeper did not start: {process.communicate()[0][-2000:]!r}")
    yield
    process.terminate()
    process.communicate()


def run(settings: Path, *words: str, code: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *words, "--code", "-", "--config", str(settings)],
        input=code + "\n", capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def secret_of(settings: Path, name: str) -> str:
    path = settings.parent / "state" / "keys" / "operators" / f"{name}.totp"
    if not path.exists():
        assert main(["operator", "add", name, "--config", str(settings)]) == 0
    return path.read_text().strip()


def test_only_a_proven_and_entitled_person_changes_anything(settings, keeper):
    message_id = keep(settings)
    secret, own = secret_of(settings, "wang"), secret_of(settings, "zhang")
    status, said = run(settings, "held", "release", message_id, "--operator", "wang", code="000000")
    assert (status, "not right" in said) == (1, True)
    out = settings.parent / "original.eml"
    words = ("held", "original", message_id, "--operator", "wang", "--purpose", "complaint", "--out", str(out))
    status, said = run(settings, *words, code="000000")
    assert (status, out.exists()) == (1, False), said
    code = pyotp.TOTP(secret).now()
    status, said = run(settings, *words, code=code)
    assert (status, out.read_bytes()) == (0, RAW), said
    assert out.stat().st_mode & 0o777 == 0o600
    status, said = run(settings, "held", "reject", message_id, "--operator", "zhang", code=pyotp.TOTP(own).now())
    assert (status, "own mail" in said) == (1, True), said
    # The next step's code: this one is used. It is taken half a minute early, as the window allows.
    code = pyotp.TOTP(secret).at(int(time.time()) + 30)
    status, said = run(settings, "held", "reject", message_id, "--operator", "wang", "--comment", "no", code=code)
    assert (status, f"rejected 已拒绝 {message_id}" in said) == (0, True), said
    status, said = run(settings, "queue", "delete", message_id, "--operator", "wang", code=code)
    assert (status, "used before" in said) == (1, True), "a code is taken once"


def test_several_are_answered_with_one_code_and_one_refusal_keeps_none_back(settings, keeper):
    first, second = keep(settings), keep(settings)
    other = keep(settings, decision(reason(approvers=("group:lawyers",))))
    code = pyotp.TOTP(secret_of(settings, "wang")).now()
    words = ("held", "reject", first, other, "01KAMZ3W8Q0000000000000M99", second, "--operator", "wang")
    status, said = run(settings, *words, code=code)
    assert status == 2, said
    for part in (
        f"rejected 已拒绝 {first}",
        f"rejected 已拒绝 {second}",
        f"refused 已拒绝 {other}",
        "M99: not in custody",
    ):
        assert part in said
    assert "group:lawyers" in said


def test_all_that_waits_for_one_hop_is_flushed(settings, keeper):
    kept = keep(settings, decision())
    held = keep(settings)
    postpone(settings)
    code = pyotp.TOTP(secret_of(settings, "wang")).now()
    status, said = run(
        settings, "queue", "flush", "--next-hop", "smtp://127.0.0.1:2600", "--operator", "wang", code=code
    )
    assert (status, "1 due now" in said) == (0, True), said
    status, said = run(settings, "queue", "hold", held, kept, "--operator", "wang", code=at_half_a_minute(settings))
    assert (status, "queued -> on-hold" in said) == (0, True), said
    assert "awaiting-approval: hold is not possible now" in said
    assert "held release, held reject, queue delete" in said


def postpone(settings: Path) -> None:
    """Queued deliveries become due in an hour."""
    config = configuration.load(settings)

    async def work() -> None:
        store = await open_store(config)
        page = await store.page(Filter(states=frozenset({State.QUEUED})))
        later = [replace(each, version=each.version + 1, due=now() + timedelta(hours=1)) for each in page.deliveries]
        assert all(await store.save([Change(old, (new,)) for old, new in zip(page.deliveries, later, strict=True)]))
        await store.close()

    asyncio.run(work())


def at_half_a_minute(settings: Path) -> str:
    return pyotp.TOTP(secret_of(settings, "wang")).at(int(time.time()) + 30)


def test_without_the_log_nothing_is_changed(settings):
    message_id = keep(settings)
    secret = secret_of(settings, "wang")
    status, said = run(settings, "held", "reject", message_id, "--operator", "wang", code=pyotp.TOTP(secret).now())
    assert (status, "审计" in said) == (1, True), said
