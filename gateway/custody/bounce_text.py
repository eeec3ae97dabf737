"""The words of a notification for people, in Chinese and English: what happened, and what to do next."""

from collections.abc import Sequence

_SUBJECTS = {
    "failed": ("邮件未能送达", "Your mail could not be delivered"),
    "delayed": ("邮件延迟，仍在投递", "Your mail is delayed, still trying"),
    "relayed": ("邮件已转交", "Your mail was passed on"),
}
_OPENINGS = {
    "failed": (
        "您的邮件未能送达下列收件人，我们不会再尝试。",
        "Your mail could not be delivered to the recipients below. We will not try again.",
    ),
    "delayed": (
        "您的邮件尚未送达下列收件人。我们会继续尝试，您无需重发。",
        "Your mail has not reached the recipients below yet. We keep trying; there is no need to send it again.",
    ),
    "relayed": (
        "您的邮件已转交给下列收件人的服务器，该服务器不提供送达回执。",
        "Your mail was passed on to the server of the recipients below, which does not confirm delivery.",
    ),
}
_ADVICE = (
    ("5.1.", "请核对收件人地址后重发。", "Check the recipient's address and send it again."),
    ("5.2.2", "收件人邮箱已满，请用其他方式联系对方。", "The mailbox is full: reach the recipient another way."),
    ("4.2.2", "收件人邮箱已满，请用其他方式联系对方。", "The mailbox is full: reach the recipient another way."),
    (
        "5.3.4",
        "邮件过大，请缩小附件或改用文件共享。",
        "The mail is too large: make it smaller or share the file by a link.",
    ),
    (
        "5.6.7",
        "对方系统不支持国际化邮件地址，请使用英文地址。",
        "The recipient's system does not take internationalised addresses.",
    ),
    (
        "5.6.",
        "对方系统不接受此邮件的编码，请以纯文本或其他格式重发。",
        "The recipient's system does not take this encoding.",
    ),
    (
        "5.7.",
        "对方按其安全策略拒收，请联系收件人或您的管理员。",
        "Refused by a security policy: ask the recipient or your administrator.",
    ),
    ("4.7.", "对方按其安全策略暂时拒收。", "Deferred by a security policy."),
    ("4.4.", "对方服务器暂时无法连接。", "The recipient's server can not be reached at the moment."),
    ("5.4.", "找不到对方服务器，请核对域名。", "No server was found for the recipient: check the domain."),
)
_REFERENCE = ("查询编号，联系管理员时请提供", "Reference, for questions to your administrator")


def subject(action: str) -> tuple[str, str]:
    """The subject line: Chinese (at most 15 characters), English (ASCII)."""
    return _SUBJECTS[action]


def words(action: str, reference: str, recipients: Sequence[tuple[str, str, str]]) -> str:
    """The whole text; ``recipients`` are (address, what was said, status). Lines end in CRLF."""
    lines = [*_OPENINGS[action], ""]
    for address, said, status in recipients:
        lines += [f"<{address}>", f"    {said}"]
        lines += [f"    {advice}" for advice in _advice(status)]
        lines.append("")
    lines += [f"{' / '.join(_REFERENCE)}: {reference}", ""]
    return "\r\n".join(lines)


def _advice(status: str) -> tuple[str, ...]:
    return next(((zh, en) for prefix, zh, en in _ADVICE if status.startswith(prefix)), ())
