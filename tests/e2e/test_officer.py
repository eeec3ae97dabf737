"""A compliance officer who knows no Python: writes a rule from the page alone, tries it, replays it, sees why a mail waits, lets it go."""

import asyncio
import contextlib
import os
import re
import signal
from datetime import datetime, timedelta
from pathlib import Path

from gateway.demo import mails
from gateway.demo.stage import Stage
from tests.e2e.conftest import code

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
TENDER = mails.mail(
    "li@corp.test", "buyer@acme.example", "papers", "see file", {"标书.txt": "第一章 planted-words".encode()}
)
PATIENCE_S = 120.0


def rule_of_the_page() -> str:
    """The first TOML block: what the page tells the reader to copy."""
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found.group(1)


async def test_a_rule_from_the_page_alone(stage: Stage) -> None:
    draft = stage.folder / "draft.d"
    draft.mkdir()
    (draft / "20-tenders.toml").write_text(rule_of_the_page(), encoding="utf-8")
    saved = stage.folder / "mail.eml"
    saved.write_bytes(TENDER)

    # Past mail, for the replay: it left, since nobody asked for approval yet.
    sent = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], TENDER)
    assert sent.code == 250
    words = mails.mail("li@corp.test", "buyer@acme.example", "合同", "合同总价为人民币 100 万元")
    priced = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], words)
    assert priced.code == 250

    # Write, check, read.
    checked = await stage.command("policy", "check", "--dir", str(draft))
    assert (checked.status, "1 of your own" in checked.text) == (0, True), checked.text
    explained = await stage.command("policy", "explain", "tender-papers", "--dir", str(draft))
    assert "外发标书须主管审批" in explained.text, explained.text

    # Replay a draft on what has passed: names cannot be told from the log, findings can, and the people are masked.
    replayed = await stage.command("policy", "replay", "--draft", str(draft), "--since", "7d")
    assert "2 mails" in replayed.text, replayed.text
    assert "attachment.names" in replayed.text, replayed.text
    strict = stage.folder / "strict.d"
    strict.mkdir()
    (strict / "strict.toml").write_text(
        'schema = 1\n[[rule]]\nname = "strict"\ntitle = { zh = "严", en = "Strict" }\n'
        'when.all = ["recipient.outside", { finding = "content.dictionary.company", min_score = 1 }]\n'
        'then = { disposition = "quarantine" }\n',
        encoding="utf-8",
    )
    replayed = await stage.command("policy", "replay", "--draft", str(strict), "--since", "7d")
    assert replayed.status == 1, replayed.text
    for part in ("2 mails, 1 would change", "approve -> quarantine  +strict", "l***@corp.test"):
        assert part in replayed.text, replayed.text
    assert "li@corp.test" not in replayed.text

    # Put it in force as the page says: into policies.d, and SIGHUP.
    (stage.folder / "policies.d").mkdir()
    (stage.folder / "policies.d" / "20-tenders.toml").write_text(rule_of_the_page(), encoding="utf-8")
    settings = stage.settings.read_text(encoding="utf-8")
    stage.settings.write_text(settings + '\n[policies]\ndir = "policies.d"\n', encoding="utf-8")
    tested = await stage.command("policy", "test", str(saved), "--to", "buyer@acme.example", "--expect", "approve")
    assert (tested.status, "tender-papers" in tested.text) == (0, True), tested.text
    why = await stage.command("explain", str(saved), "--rule", "tender-papers")
    assert "+ 附件名" in why.text, why.text
    assert stage.process is not None
    os.kill(stage.process.pid, signal.SIGHUP)
    held = await held_at_last(stage)

    # Why does it wait?
    listed = await stage.command("held", "list", "--rule", "tender-papers")
    assert held in listed.text, listed.text
    shown = await stage.command("held", "show", held)
    for part in (
        "外发标书须主管审批 / Tender papers need the manager's approval",
        "may answer 可审批: group:sales-managers",
        "l***@corp.test",
        "expires unsent",
        "a sender of ours is told",
        f"sealgate held release {held}",
    ):
        assert part in shown.text, shown.text
    assert "planted-words" not in shown.text
    traced = await stage.command("trace", held)
    assert "tender-papers" in traced.text, traced.text

    # Let it go; what arrives is what was sent.
    before = len(stage.delivered())
    released = await stage.command(
        "held", "release", held, "--operator", "wang.fang", "--code", "-", stdin=code() + "\n"
    )
    assert (released.status, "released 已放行" in released.text) == (0, True), released.text
    async with asyncio.timeout(PATIENCE_S):
        while not any(each.data.endswith(TENDER) for each in stage.delivered()[before:]):
            await stage.pause(0.1)
    kinds = [event["type"] for event in stage.events(held)]
    assert [kind for kind in kinds if kind in ("hold.approve", "message.released")] == [
        "hold.approve",
        "message.released",
    ]


async def held_at_last(stage: Stage) -> str:
    """Send until the new rules hold it: the reload takes a moment. Gives the message id."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], TENDER)
            if "tender-papers" in answer.text:
                return answer.message_id
            await stage.pause(0.3)


async def test_a_delayed_mail_waits_is_judged_again_and_leaves(stage: Stage) -> None:
    (stage.folder / "policies.d").mkdir()
    (stage.folder / "policies.d" / "10-undo.toml").write_text(
        "schema = 1\n"
        + "".join(
            f'[[rule]]\nname = "undo-window-{delay}"\ntitle = {{ zh = "缓发", en = "A while to think again" }}\n'
            f'when.all = [{{ fact = "direction", is = "outbound" }}, {{ fact = "subject", contains = "{words}" }}]\n'
            f'then = {{ disposition = "delay", delay = "{delay}" }}\n'
            for words, delay in (("undo this", "10m"), ("undo not", "6s"))
        ),
        encoding="utf-8",
    )
    await stage.stop_gateway()
    stage.settings.write_text(
        stage.settings.read_text(encoding="utf-8") + '\n[policies]\ndir = "policies.d"\n', encoding="utf-8"
    )
    (stage.folder / "gateway.log").unlink()  # it names the ports of before
    await stage.start_gateway()
    first = mails.mail("li@corp.test", "buyer@acme.example", "undo this", "one")
    second = mails.mail("li@corp.test", "buyer@acme.example", "undo not", "two")
    taken_back = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], first)
    words = (
        "held",
        "reject",
        taken_back.message_id,
        "--operator",
        "wang.fang",
        "--comment",
        "wrong price",
        "--code",
        "-",
    )
    rejected = await stage.command(*words, stdin=code() + "\n")
    assert rejected.status == 0, rejected.text
    goes = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], second)
    async with asyncio.timeout(PATIENCE_S):
        while len(events := stage.events(goes.message_id)) < 4:
            await stage.pause(0.1)
    assert events[0]["outcome"] == "delay"
    assert [event["type"] for event in events[1:4]] == ["hold.approve", "message.released", "message.delivered"]
    decided, released = (datetime.fromisoformat(events[place]["time"]) for place in (0, 2))
    assert released - decided > timedelta(seconds=5)
    assert [each.data.endswith(second) for each in stage.delivered()].count(True) == 1
    assert not any(each.data.endswith(first) for each in stage.delivered())


async def test_a_state_secret_is_nowhere_on_the_disk(stage: Stage) -> None:
    text = "机密★10年\n关于某事的通知 planted-state-secret"
    raw = mails.mail("li@corp.test", "buyer@acme.example", "planted-subject", text, {"planted-name.txt": b"x"})
    answer = await stage.send("outbound", "li@corp.test", ["buyer@acme.example", "wang@corp.test"], raw)
    assert (answer.code, "state-secret-mark" in answer.text) == (550, True), answer.text
    (event,) = stage.events(answer.message_id)
    assert event["content"] == "not-kept"
    body = raw.split(b"\r\n\r\n")[2][:60]
    for file in stage.folder.rglob("*"):
        with contextlib.suppress(OSError):  # folders, sockets, and files that are gone again
            data = file.read_bytes()
            assert b"planted" not in data, file
            assert body not in data, file
    assert stage.delivered() == []
    assert [file for file in (stage.state / "custody").rglob("*") if file.is_file()] == []
