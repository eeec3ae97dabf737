"""What is allowed in rules and yet probably not meant."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import Config, Gateway, Operator, Policies, Route
from gateway.judging.loading import load_dictionaries, load_ruleset
from gateway.judging.remarks import remarks

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WANG = Operator("wang", "wang@corp.test", ("approver",), ("sales-managers",))
BASE = Config(Gateway("gw.test", ("corp.test",)), operators=(WANG,), groups=(("lawyers", ("Wang@corp.test",)),))
RULE = """schema = 1
[[rule]]
name = "r"
title = { zh = "题", en = "Title" }
when.all = ["recipient.outside"]
then = { disposition = "approve", approvers = ["WHO"] }
[[rule.example]]
mail = { from = "a@corp.test", to = "b@x.example", text = "-" }
expect = "match"
"""
ALLOW = """schema = 1
[[allow]]
list = "LIST"
sender = "x@corp.test"
auth = "dmarc"
reason = "r"
expires = 2030-01-01
"""
ENCRYPT = RULE.replace('"approve", approvers = ["WHO"]', '"deliver", treatments = ["encrypt"]')


def said(folder: Path, text: str, **changes: object) -> str:
    (folder / "a.toml").write_text(text, encoding="utf-8")
    config = replace(BASE, policies=Policies(folder, builtin="LIST" in text or "spoofed" in text), **changes)  # type: ignore[arg-type]
    return "\n".join(remarks(config, load_ruleset(config, load_dictionaries(config)), NOW))


@pytest.mark.parametrize("who", ["group:sales-managers", "group:lawyers", "wang", "WANG@corp.test"])
def test_approvers_that_are_somebody_need_no_remark(tmp_path: Path, who: str) -> None:
    assert said(tmp_path, RULE.replace("WHO", who)) == ""


@pytest.mark.parametrize(
    ("who", "meant"),
    [
        ("sales-managers", "group:sales-managers"),
        ("group:sales-manager", "group:sales-managers"),
        ("wnag", "wang"),
        ("x@y.test", ""),
    ],
)
def test_approvers_that_are_nobody_are_said(tmp_path: Path, who: str, meant: str) -> None:
    text = said(tmp_path, RULE.replace("WHO", who))
    assert f"r: 没有审批人属于 {who}" in text
    assert (f'did you mean "{meant}"?' in text) is bool(meant)


@pytest.mark.parametrize(
    ("unless", "remarked"),
    [
        ('{ fact = "sender.address", is = "boss@corp.test" }', "sender.address"),
        ('{ fact = "sender.groups", has = "boss" }', "sender.groups"),
        ('{ header = "X-Approved", exists = true }', "header.X-Approved"),
        ('{ any = ["message.list", { fact = "subject", contains = "[ok]" }] }', "message.list, subject"),
        ('{ all = [{ fact = "from.domain", is = "a.example" }, "from.authenticated"] }', ""),
        ('{ all = [{ fact = "sender.domain", is = "a.example" }, "auth.spf.pass"] }', ""),
        ('{ fact = "recipient.domain", is = "a.example" }', ""),
        ('"list.r"', ""),
    ],
)
def test_an_exception_that_any_sender_can_write_is_said(tmp_path: Path, unless: str, remarked: str) -> None:
    text = said(tmp_path, RULE.replace("WHO", "wang").replace("then =", f"unless = {unless}\nthen ="))
    assert (f"unless rests on {remarked}, which" in text) if remarked else ("unless rests on" not in text)


def test_without_any_approver_held_mail_has_no_way_out(tmp_path: Path) -> None:
    assert "sealgate operator add" in said(tmp_path, RULE, operators=())


def test_an_exception_under_a_mistyped_name_never_holds(tmp_path: Path) -> None:
    text = said(tmp_path, ALLOW.replace("LIST", "spoofed-own-domian"))
    assert 'no rule asks for this list; did you mean "spoofed-own-domain"?' in text
    assert "spoofed-own-dom" not in said(tmp_path, ALLOW.replace("LIST", "spoofed-own-domain"))


def test_encryption_without_a_way_is_said_before_mail_is_held(tmp_path: Path) -> None:
    bare, sure = Route("*", "smtp://out.test:25"), Route("*", "smtp://out.test:25", tls="verified")
    assert 'smtp://out.test:25 has no tls = "verified"' in said(tmp_path, ENCRYPT, routes=(bare,))
    assert said(tmp_path, ENCRYPT, routes=(sure,)) == ""


def test_a_rule_that_nobody_has_seen_match_is_said(tmp_path: Path) -> None:
    assert "r: 没有应匹配的例子" in said(tmp_path, RULE.replace("WHO", "wang").replace('"match"', '"no-match"'))
    assert "r: 没有应匹配的例子" in said(tmp_path, RULE.replace("WHO", "wang").partition("[[rule.example]]")[0])
