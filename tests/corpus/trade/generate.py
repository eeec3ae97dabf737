# ruff: noqa: E501  (tables of words read better a line a row)
"""Makes the corpus from templates.txt: the same two hundred mails every time.

    python -m tests.corpus.trade.generate FOLDER      writes them as .eml files

Variation: parties, goods, numbers, language, charset (UTF-8, GB18030, ISO-8859-1), transfer encoding, HTML beside the text, attachments
(docx, xlsx, txt), replies up to five deep, footers.
"""

import base64
import html
import quopri
import random
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from policies.sample import Attachment
from policies.sample_mail import content

COUNT = 200
SEED = 20261122
OWN_ACCOUNT = "3505 8827 1160 9"
"""The bank account of the company in the corpus: in the templates' bank blocks as {own}."""
HOME = "corp.test"
ONCE = frozenset(("bankquery", "holdme"))
"""Kinds of which there is one each: the holds a manager would want."""


@dataclass(frozen=True, slots=True)
class Template:
    """One text of the file."""

    kind: str
    language: str
    direction: str
    subject: str
    body: str
    attachment: str
    attached: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail of the corpus, with its envelope."""

    name: str
    direction: str
    sender: str
    recipient: str
    raw: bytes


GOODS = [
    ("garden chairs", "户外椅"), ("LED work lamps", "LED 工作灯"), ("stainless hinges", "不锈钢合页"), ("silicone kitchen tools", "硅胶厨具"),
    ("bicycle pumps", "打气筒"), ("wooden toys", "木制玩具"), ("water meters", "水表"), ("aluminium profiles", "铝型材"),
    ("safety gloves", "劳保手套"), ("electric kettles", "电热水壶"), ("ball valves", "球阀"), ("camping tents", "帐篷"),
]  # fmt: skip
BUYERS = [
    ("Ana Lopez", "ana.lopez@puertoazul.example", "Puerto Azul S.A."), ("James Whitby", "j.whitby@northgate-supplies.example", "Northgate Supplies Ltd"),
    ("Katrin Voss", "voss@hansahandel.example", "Hansa Handel GmbH"), ("Tomás Rivera", "trivera@andino.example", "Comercial Andino SpA"),
    ("Priya Nair", "priya@coastline.example", "Coastline Imports"), ("Ove Lund", "ove@fjordhus.example", "Fjordhus AS"),
    ("Maria Conti", "conti@bottega.example", "Bottega Conti Srl"), ("Omar Haddad", "omar@levantgoods.example", "Levant Goods"),
]  # fmt: skip
SELLERS = [
    ("Lily Zhang", "张丽", "zhang"),
    ("Kevin Li", "李凯", "li"),
    ("Grace Wang", "王洁", "wang"),
    ("Sam Chen", "陈松", "chen"),
]
BUYERS_ZH = ["周先生", "刘经理", "黄小姐", "吴工", "郑总"]
MONTHS = ["January", "March", "April", "May", "June", "September", "October", "November"]
MONTHS_ES = ["enero", "marzo", "abril", "mayo", "junio", "septiembre", "octubre", "noviembre"]
PORTS = [("Ningbo", "宁波"), ("Shanghai", "上海"), ("Shenzhen", "深圳"), ("Qingdao", "青岛")]
FOOTERS = {
    "en": "This e-mail may contain confidential information. If you are not the intended recipient, please delete it.",
    "zh": "本邮件及其附件含有保密信息，仅供收件人使用。",
    "es": "Este mensaje puede contener información confidencial.",
}


def templates() -> list[Template]:
    """Read templates.txt."""
    found: list[Template] = []
    text = (Path(__file__).parent / "templates.txt").read_text(encoding="utf-8")
    for block in text.split("\n=== ")[1:]:
        head, subject, rest = block.split("\n", 2)
        kind, language, direction, *name = head.split(" ", 3)
        body, _, attached = rest.partition("---8<---\n")
        found.append(
            Template(kind, language, direction, subject, body.strip(), name[0] if name else "", attached.strip())
        )
    return found


def corpus() -> list[Mail]:
    """All mails, the same every time."""
    rng = random.Random(SEED)
    known = templates()
    usual = [one for one in known if one.kind not in ONCE]
    chosen = [one for one in known if one.kind in ONCE]
    while len(chosen) < COUNT:
        chosen.append(usual[len(chosen) % len(usual)])
    return [_mail(number, template, known, rng) for number, template in enumerate(chosen)]


def _words(rng: random.Random, language: str, direction: str) -> dict[str, str]:
    item, item_zh = rng.choice(GOODS)
    buyer, address, company = rng.choice(BUYERS)
    seller, seller_zh, login = rng.choice(SELLERS)
    month = rng.randrange(len(MONTHS))
    port, port_zh = rng.choice(PORTS)
    buyer_zh = rng.choice(BUYERS_ZH)
    peer, me = (buyer, seller) if direction == "out" else (seller, buyer)
    peer_zh, me_zh = (buyer_zh, seller_zh) if direction == "out" else (seller_zh, buyer_zh)
    return {
        "item": item, "item_zh": item_zh, "buyer": buyer, "company": company, "seller": seller, "seller_zh": seller_zh,
        "buyer_zh": buyer_zh, "peer": peer, "me": me, "peer_zh": peer_zh, "me_zh": me_zh, "login": login, "address": address,
        "month": MONTHS_ES[month] if language == "es" else MONTHS[month], "month_zh": f"{month + 1}月", "port": port, "port_zh": port_zh,
        "dest": rng.choice(["Hamburg", "Valparaiso", "Felixstowe", "Callao", "Genoa", "Beirut"]), "country": rng.choice(["Chile", "Peru", "Norway", "UK"]),
        "qty": str(rng.randrange(3, 90) * 100), "price": f"{rng.randrange(90, 4200) / 100:.2f}", "number": str(rng.randrange(24000, 26999)),
        "cartons": str(rng.randrange(40, 900)), "weight": str(rng.randrange(900, 18000)), "day": f"{rng.randrange(1, 28)}",
        "vessel": rng.choice(["GRACE", "ACE", "LIVEN"]), "container": _container(rng), "tracking": str(rng.randrange(10**9, 10**10)),
        "stand": f"{rng.choice('ABCDEFG')}{rng.randrange(1, 49):02d}", "phone": f"+86 574 8{rng.randrange(10**6, 10**7)}",
        "forwarder": rng.choice(["Bluewave Logistics", "Meridian Freight"]), "own": OWN_ACCOUNT,
    }  # fmt: skip


def _container(rng: random.Random) -> str:
    """A container number with its check digit (ISO 6346)."""
    text = rng.choice(["TGHU", "MSKU", "OOLU"]) + f"{rng.randrange(10**6):06d}"
    values = {**{str(digit): digit for digit in range(10)}}
    value = 10
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        values[letter] = value
        value += 2 if value % 11 == 10 else 1  # multiples of eleven are left out
    return text + str(sum(values[letter] << place for place, letter in enumerate(text)) % 11 % 10)


def _fill(text: str, words: dict[str, str]) -> str:
    for key, value in words.items():
        text = text.replace("{" + key + "}", value)
    return text


def _mail(number: int, template: Template, known: list[Template], rng: random.Random) -> Mail:
    direction = rng.choice(["in", "out"]) if template.direction == "both" else template.direction
    words = _words(rng, template.language, direction)
    inside = f"{words['login']}@{HOME}"
    colleagues = template.kind == "internal"
    sender, recipient = (inside, words["address"]) if direction == "out" else (words["address"], inside)
    if colleagues:
        recipient = f"all@{HOME}"
    body = _fill(template.body, words)
    if template.kind not in ONCE:
        body = _replies(body, template, known, words, number % 6, rng)
    if rng.random() < 0.3:
        body += f"\n\n{FOOTERS[template.language]}"
    subject = _fill(template.subject, words)
    if number % 6 and not subject.startswith("Re:"):
        subject = f"Re: {subject}"
    at = datetime(2026, 10, 1, 8, tzinfo=UTC) + timedelta(hours=7 * number)
    names = (words["seller"], words["buyer"]) if direction == "out" else (words["buyer"], words["seller"])
    parts = [_text(body, template.language, number)]
    if template.attachment:
        parts.append(_file(_fill(template.attachment, words), _fill(template.attached, words)))
    reply = f"In-Reply-To: <{number - 1}@corpus.test>\r\n" if number % 6 else ""
    head = (
        f"From: {_encoded(names[0])} <{sender}>\r\nTo: {_encoded(names[1])} <{recipient}>\r\nSubject: {_encoded(subject)}\r\n"
        f"Date: {at:%a, %d %b %Y %H:%M:%S +0000}\r\nMessage-ID: <{number}@corpus.test>\r\n{reply}MIME-Version: 1.0\r\n"
    )
    raw = head.encode() + (parts[0] if len(parts) == 1 else _multipart("mixed", parts, number))
    name = f"{number:03d}-{template.kind}-{template.language}-{direction}"
    return Mail(name, "outbound" if direction == "out" else "inbound", sender, recipient, raw)


def _replies(
    body: str, template: Template, known: list[Template], words: dict[str, str], depth: int, rng: random.Random
) -> str:
    """Put up to five earlier mails of the same language below, each a level deeper; they are ordinary too."""
    earlier = [one for one in known if one.language == template.language and one.kind not in ONCE]
    quoted = ""
    for level in range(depth, 0, -1):
        one = rng.choice(earlier)
        head = f"{words['peer']} wrote:" if template.language != "zh" else f"{words['peer_zh']} 写道："
        lines = [head, *_fill(one.body, words).splitlines()]
        quoted += "".join("\n" + "> " * (depth - level + 1) + line for line in lines)
    return body + ("\n" + quoted if quoted else "")


def _encoded(text: str) -> str:
    if text.isascii():
        return text
    words = [text[start : start + 12] for start in range(0, len(text), 12)]
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(word.encode()).decode()}?=" for word in words)


def _text(body: str, language: str, number: int) -> bytes:
    charset = {"zh": ("utf-8", "gb18030"), "en": ("utf-8", "utf-8"), "es": ("utf-8", "iso-8859-1")}[language][
        number % 2
    ]
    plain = body.replace("\n", "\r\n").encode(charset, "replace")
    first = _coded("text/plain", charset, plain, quoted=number % 3 == 1)
    if number % 3:
        return first
    page = (
        "<html><body><p>"
        + html.escape(body).replace("\n\n", "</p><p>").replace("\n", "<br>\r\n")
        + "</p></body></html>"
    )
    return _multipart(
        "alternative", [first, _coded("text/html", charset, page.encode(charset, "replace"), quoted=True)], number
    )


def _coded(kind: str, charset: str, data: bytes, *, quoted: bool) -> bytes:
    how = "quoted-printable" if quoted else "base64"
    body = quopri.encodestring(data.replace(b"\r\n", b"\n")) if quoted else base64.encodebytes(data)
    return (
        f"Content-Type: {kind}; charset={charset}\r\nContent-Transfer-Encoding: {how}\r\n\r\n".encode()
        + body.replace(b"\n", b"\r\n")
    )


def _file(name: str, text: str) -> bytes:
    kind = {
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }.get(name.rpartition(".")[2], "text/plain; charset=utf-8")
    quoted = "".join(chr(byte) if byte < 128 and chr(byte).isalnum() else f"%{byte:02X}" for byte in name.encode())
    head = f"Content-Type: {kind}\r\nContent-Disposition: attachment; filename*=utf-8''{quoted}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64.encodebytes(content(Attachment(name, text))).replace(b"\n", b"\r\n")


def _multipart(kind: str, parts: list[bytes], number: int) -> bytes:
    boundary = f"=_trade-{kind}-{number}"
    inner = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return (
        f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode()
        + inner
        + f"--{boundary}--\r\n".encode()
    )


def main(folder: Path) -> None:
    """Write every mail as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for mail in corpus():
        (folder / f"{mail.name}.eml").write_bytes(mail.raw)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
