"""A configuration with a folder of rules, in a temporary place, for the policy commands."""

from pathlib import Path

RULE = """schema = 1
[[rule]]
name = "big-mail"
title = { zh = "大邮件", en = "Large mail" }
when.all = [{ fact = "size", min = "MIN" }, "recipient.outside"]
then = { disposition = "approve", approvers = ["group:boss"] }
[[rule.example]]
title = "large"
mail = { from = "li@corp.test", to = "a@x.example", text = "hi", size = 3000 }
expect = "approve"
[[rule.example]]
title = "small"
mail = { from = "li@corp.test", to = "a@x.example", text = "hi" }
expect = "no-match"
"""

MAIL = (
    b"From: Li <li@corp.test>\nTo: Buyer <buyer@acme.example>\nSubject: Terms\n"
    b"Content-Type: text/plain; charset=utf-8\n\n" + "合同总价 USD 1".encode() + b"\n"
)


def configured(folder: Path, rules: str = "", name: str = "policies.d") -> Path:
    """Write sealgate.toml with its folder of rules; gives the file."""
    (folder / name).mkdir()
    if rules:
        (folder / name / "10-own.toml").write_text(rules, encoding="utf-8")
    file = folder / "sealgate.toml"
    file.write_text(
        f'[gateway]\nhostname = "gw.corp.test"\nlocal_domains = ["corp.test"]\n[policies]\ndir = "{name}"\n',
        encoding="utf-8",
    )
    return file


def saved(folder: Path, raw: bytes = MAIL) -> Path:
    """Write a mail; gives the file."""
    file = folder / "mail.eml"
    file.write_bytes(raw)
    return file
