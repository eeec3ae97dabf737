"""Operators and their proofs."""

import asyncio
from dataclasses import replace

import pyotp
import pytest

from gateway.config import Operator
from gateway.custody.people import FAILURES, People, Refused, actor, entitled, own_mail
from gateway.recording.recorder import RecorderUnavailable
from tests.gateway.custodian import Custodian
from tests.gateway.samples import envelope, reason

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
async def at(tmp_path):
    custodian = await Custodian.start(tmp_path)
    yield custodian
    await custodian.close()


@pytest.fixture
def people(at, tmp_path):
    path = tmp_path / "wang.totp"
    path.write_text(SECRET)
    path.chmod(0o600)
    wang = Operator("wang", "Wang@corp.test", totp_file=path)
    none = Operator("none", "none@corp.test", totp_file=tmp_path / "missing")
    return People(
        [wang, none], [("sales-managers", ("wang@corp.test",))], at.store, at.recorder, clock=at.clock, ids=at.ids
    )


def code(at, offset=0):
    return pyotp.TOTP(SECRET).generate_otp(int(at.clock().timestamp()) // 30 + offset)


@pytest.mark.parametrize("offset", [-1, 0, 1])
async def test_a_right_code_proves_and_brings_the_groups_along(at, people, offset):
    operator = await people.prove("wang", f" {code(at, offset)}\n")
    assert operator.groups == ("sales-managers",)
    (event,) = at.recorder.of_type("admin.mfa")
    assert (event.outcome, event.actor) == ("success", actor(operator))


@pytest.mark.parametrize("offset", [-2, 2])
async def test_a_code_of_another_time_does_not(at, people, offset):
    with pytest.raises(Refused):
        await people.prove("wang", code(at, offset))


async def test_a_code_is_taken_once_and_none_older_after_it(at, people):
    await people.prove("wang", code(at))
    for offset in (0, -1):
        with pytest.raises(Refused):
            await people.prove("wang", code(at, offset))
    at.clock.go(seconds=30)
    await people.prove("wang", code(at))


async def test_the_same_code_at_once_proves_once(at, people):
    found = await asyncio.gather(*(people.prove("wang", code(at)) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(each, Operator) for each in found) == 1


async def test_after_five_wrong_codes_a_right_one_waits(at, people):
    for _ in range(FAILURES):
        with pytest.raises(Refused, match="not right"):
            await people.prove("wang", "000000")
    with pytest.raises(Refused, match="15 minutes"):
        await people.prove("wang", code(at))
    at.clock.go(minutes=15, seconds=1)
    await people.prove("wang", code(at))
    assert (await at.store.proofs("wang")).failures == 0


async def test_the_lock_holds_across_processes(at, people, tmp_path):
    other = await at.again()
    for _ in range(FAILURES):
        with pytest.raises(Refused):
            await people.prove("wang", "")
    assert (await other.store.proofs("wang")).locked_until is not None


@pytest.mark.parametrize("name", ["nobody", "", "planted-password"])
async def test_an_unknown_name_hears_the_same_and_is_not_written_down(at, people, name):
    with pytest.raises(Refused, match="not right"):
        await people.prove(name, code(at))
    assert at.recorder.events[-1].actor.id == "unknown"


async def test_without_a_log_nothing_is_proven(at, people):
    at.recorder.failures = 1
    with pytest.raises(RecorderUnavailable):
        await people.prove("wang", code(at))


@pytest.mark.parametrize(
    ("content", "mode"), [(SECRET, 0o644), ("short", 0o600), ("not base32 !!!!!!!!!!!!!!!", 0o600)]
)
async def test_a_bad_secret_file_says_what_to_do(at, tmp_path, content, mode):
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(mode)
    people = People([Operator("wang", totp_file=path)], [], at.store, at.recorder, clock=at.clock, ids=at.ids)
    with pytest.raises(Refused, match="chmod 600" if mode == 0o644 else "base32"):
        await people.prove("wang", "123456")


@pytest.mark.parametrize(
    ("approvers", "roles", "may"),
    [
        ((), ("approver",), True),
        ((), ("auditor",), False),
        (("group:sales-managers",), ("approver",), True),
        (("group:lawyers", "wang@CORP.test"), ("approver",), True),
        (("group:lawyers",), ("approver", "admin"), False),
        (("sales-managers",), ("approver",), False),
        (("",), ("approver",), False),
    ],
)
def test_who_may_answer_what(approvers, roles, may):
    wang = Operator("wang", "wang@corp.test", roles, ("sales-managers",))
    assert entitled(wang, reason(approvers=approvers)) is may
    assert not entitled(wang, reason(approvers=approvers, waivable=False))


@pytest.mark.parametrize(
    ("address", "sender", "user", "own"),
    [
        ("zhang@corp.test", "ZHANG@corp.test", "", True),
        ("zhang@corp.test", "zhang+deals@corp.test", "", True),
        ("zhang+gate@corp.test", "zhang@corp.test", "", True),
        ("zhang@例子.测试", "zhang@xn--fsqu00a.xn--0zwm56d", "", True),
        ("jos\u00e9@corp.test", "JOSE\u0301@corp.test", "", True),
        ("zhang@corp.test", "li@corp.test", "zhang", True),
        ("zhang@corp.test", "li@corp.test", "Zhang@corp.test", True),
        ("zhang@corp.test", "li@corp.test", "", False),
        ("zhang@corp.test", "zhang@partner.example", "", False),
        ("zhang@corp.test", "", "", False),
        ("+@corp.test", "", "", False),
    ],
)
def test_own_mail_in_every_spelling(address, sender, user, own):
    assert own_mail(Operator("z", address), replace(envelope(sender=sender), user=user)) is own
