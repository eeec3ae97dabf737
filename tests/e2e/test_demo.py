"""The demo plays, and each of its checks can fail: every one is broken once in every way it can notice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.demo import play
from gateway.demo import mails, scenes
from gateway.demo.scenes import SCENES, Scene, Seen
from gateway.demo.stage import Answer, Printed
from gateway.demo.stubs import Delivered

SENT = b"Subject: x\r\n\r\nbody\r\n"
PASSED = b"Authentication-Results: gw.test;\r\n spf=pass; dkim=pass;\r\n dmarc=pass; arc=none\r\n" + SENT


def event(kind: str = "message.decided", role: str = "system", **more: Any) -> dict[str, Any]:
    return {"type": kind, "actor": {"role": role, "id": "x"}, "findings": [], "policy": {}, **more}


def found(code: str, count: int = 1) -> list[dict[str, Any]]:
    return [{"code": code, "count": count}]


def arrived(data: bytes = SENT) -> tuple[Delivered, ...]:
    return (Delivered("a@b", ("c@d",), data),)


GOOD: dict[str, Seen] = {
    "clean mail": Seen(Answer(250, "2.0.0 Ok"), arrived(PASSED), (event(), event("message.relayed")), sent=SENT),
    "spoofed ceo@": Seen(Answer(550, "5.7.26 no"), (), (event(outcome="refuse", findings=found("auth.dmarc.fail")),)),
    "EICAR in a zip": Seen(Answer(550, "5.7.1 no"), (), (event(findings=found("malware.yara.eicar")),)),
    "合同总价": Seen(
        Answer(250, "held"), (), (event(outcome="hold", findings=found("content.dictionary.company")),),
        (Printed(1, "operator or code is not right"),),
    ),
    "released, TOTP": Seen(None, arrived(), (event("hold.approve", "operator"),), (Printed(0, "ok"),), SENT),
    "resident ID": Seen(
        Answer(250, "ok"), (), (event(findings=found("content.identifier.cn_id18")),) * 3,
        (Printed(0, "1101**********0014"),),
    ),
    "银行账号": Seen(Answer(250, "held"), (), (event(policy={"treatments": ["encrypt"]}),)),
    "audit verify": Seen(events=tuple(event() for _ in range(12)), printed=(Printed(0, "all agree"),)),
    "one bit flipped": Seen(printed=(Printed(1, "event 3 does not match"),)),
}  # fmt: skip

BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("clean mail", "another answer", {"answer": Answer(451, "later")}),
    ("clean mail", "nothing arrived", {"delivered": ()}),
    ("clean mail", "twice", {"delivered": arrived(PASSED) * 2}),
    ("clean mail", "other bytes", {"delivered": arrived(PASSED[:-3] + b"!\r\n")}),
    ("clean mail", "spf missing", {"delivered": arrived(PASSED.replace(b"spf=pass", b"spf=none"))}),
    ("clean mail", "one event", {"events": (event(),)}),
    ("spoofed ceo@", "taken", {"answer": Answer(250, "ok")}),
    ("spoofed ceo@", "another code", {"answer": Answer(550, "5.7.1 no")}),
    ("spoofed ceo@", "arrived", {"delivered": arrived()}),
    ("spoofed ceo@", "finding missing", {"events": (event(outcome="refuse"),)}),
    ("spoofed ceo@", "outcome", {"events": (event(outcome="relay", findings=found("auth.dmarc.fail")),)}),
    ("EICAR in a zip", "taken", {"answer": Answer(250, "ok")}),
    ("EICAR in a zip", "arrived", {"delivered": arrived()}),
    ("EICAR in a zip", "finding missing", {"events": (event(),)}),
    ("合同总价", "refused", {"answer": Answer(550, "no")}),
    ("合同总价", "arrived", {"delivered": arrived()}),
    ("合同总价", "not held", {"events": (event(outcome="relay", findings=found("content.dictionary.company")),)}),
    ("合同总价", "finding missing", {"events": (event(outcome="hold"),)}),
    ("合同总价", "wrong code taken", {"printed": (Printed(0, "released"),)}),
    ("合同总价", "refused for another reason", {"printed": (Printed(1, "no such command"),)}),
    ("released, TOTP", "refused", {"printed": (Printed(1, "no"),)}),
    ("released, TOTP", "not arrived", {"delivered": ()}),
    ("released, TOTP", "other bytes", {"delivered": arrived(b"other")}),
    ("released, TOTP", "nobody acted", {"events": (event(),)}),
    ("resident ID", "not found", {"events": (event(),) * 3}),
    ("resident ID", "found in two only", {"events": (event(findings=found("content.identifier.cn_id18")),) * 2}),
    ("resident ID", "in clear in the log", {"events": (event(findings=found("content.identifier.cn_id18"), x=mails.RESIDENT_ID),) * 3}),
    ("resident ID", "not shown", {"printed": (Printed(0, "nothing"),)}),
    ("resident ID", "shown in clear", {"printed": (Printed(0, f"1101**********0014 {mails.RESIDENT_ID}"),)}),
    ("银行账号", "refused", {"answer": Answer(451, "later")}),
    ("银行账号", "went out", {"delivered": arrived()}),
    ("银行账号", "no encryption asked", {"events": (event(),)}),
    ("audit verify", "fails", {"printed": (Printed(1, "damage"),)}),
    ("audit verify", "empty", {"events": ()}),
    ("one bit flipped", "passes", {"printed": (Printed(0, "all agree"),)}),
    ("one bit flipped", "names nothing", {"printed": (Printed(1, "no"),)}),
]  # fmt: skip


def scene(name: str) -> Scene:
    return next(each for each in SCENES if each.name == name)


@pytest.mark.parametrize("name", [each.name for each in SCENES])
def test_what_should_be_passes(name: str) -> None:
    assert scene(name).check(GOOD[name]) == []


@pytest.mark.parametrize(("name", "how", "change"), BROKEN, ids=[f"{name}: {how}" for name, how, _ in BROKEN])
def test_each_check_notices(name: str, how: str, change: dict[str, Any]) -> None:
    assert scene(name).check(replace(GOOD[name], **change)), how


def test_no_scene_lets_an_empty_stage_pass() -> None:
    assert all(each.check(Seen()) for each in scenes.SCENES)


async def test_the_demo_plays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await play(tmp_path), capsys.readouterr()
    assert "9 of 9 scenes" in capsys.readouterr().out
