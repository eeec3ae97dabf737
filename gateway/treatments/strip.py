"""A part taken out, with a note in its place that says what it was and how to get it. The original stays in custody."""

import hashlib

from pybase64 import b64encode

from gateway.terminal import safe
from gateway.treatments.surgery import Node, content, replaced

MAX_TYPE = 127
"""Characters of a media type that is named (RFC 6838 4.2: 127)."""
_LINE = 76


def chosen(root: Node, value: str) -> list[Node]:
    """The leaves that ``value`` names: a list of part paths (``2``), endings (``.exe``) or types (``application/zip``), by comma;
    nothing named: every file."""
    wanted = [word.strip().lower() for word in value.split(",") if word.strip()]
    leaves = [node for node in root.walk() if not node.children]
    if not wanted:
        return [leaf for leaf in leaves if leaf.attached]
    return [leaf for leaf in leaves if any(_is(leaf, word) for word in wanted)]


def stripped(raw: bytes, root: Node, value: str, message_id: str) -> bytes:
    """``raw`` with the chosen parts exchanged for notes; the same bytes when none is there."""
    changes = {node.start: (node.end, _note(raw, node, message_id)) for node in chosen(root, value)}
    return replaced(raw, changes) if changes else raw


def _is(leaf: Node, word: str) -> bool:
    if word.startswith("."):
        return leaf.filename.lower().rstrip(". ").endswith(word)
    return word == leaf.media if "/" in word else word == leaf.path


def _note(raw: bytes, node: Node, message_id: str) -> bytes:
    data = content(node, raw)
    name = " ".join(node.filename.split())[:200] or "-"
    lines = [
        "信关已移除此附件。 Sealgate has taken this attachment out.",
        "",
        f"名称 name:    {safe(name)}",
        f"类型 type:    {safe(node.media[:MAX_TYPE])}",
        f"大小 size:    {len(data)} 字节 bytes",
        f"SHA-256:      {hashlib.sha256(data).hexdigest()}",
        f"邮件 message: {message_id}",
        "",
        "原件保留 30 天，如有需要请凭邮件编号联系管理员。",
        "The original is kept for 30 days; ask your administrator for it by the message id.",
    ]
    coded = b64encode(("\r\n".join(lines) + "\r\n").encode("utf-8", "replace"))
    body = b"\r\n".join(coded[at : at + _LINE] for at in range(0, len(coded), _LINE))
    fields = (
        b'Content-Type: text/plain; charset=utf-8; name="removed.txt"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="removed.txt"\r\n\r\n'
    )
    if node.start == 0:  # the whole message is the part: its other fields stay
        from gateway.treatments.surgery import without_fields

        dropped = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition"})
        kept = without_fields(raw[node.start : node.body], dropped).rstrip(b"\r\n")
        # With no other field an empty line in front would end the header before it begins.
        return (kept + b"\r\n" if kept else b"") + fields + body + b"\r\n"
    return fields + body
