"""What reading and word matching cost: CPU microseconds per mail, best of several rounds.

    python bench/reading.py [FOLDER of .eml files]

Without a folder it makes its own mail: 16 kB, Chinese and English, text and HTML, base64.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from scanners import charset, mime
from scanners.dictionaries import Dictionaries, find, load
from scanners.identifiers import IdentifierScanner
from scanners.message import Direction, Envelope, Message
from scanners.normalise import normalise
from scanners.readings import readings
from scanners.text import read

AT = datetime(2026, 11, 22, tzinfo=UTC)
ENVELOPE = Envelope("m", "s", "inbound", Direction.INBOUND, AT, None, "", "", "", "", "a@b.test", ())
WORDS = Path(__file__).parents[1] / "scanners" / "data" / "keywords.toml"


def own_mail(charset_name: str) -> bytes:
    """One mail of about 16 kB."""
    lines = [
        "尊敬的客户您好，请查收附件中的装箱单与提单，货物将于下周五在宁波港装船。please find attached the packing list"
    ] * 22
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "王经理 <a@acme.test>", "b@corp.test", "装箱单与提单"
    made.set_content("\n".join(lines), charset=charset_name, cte="base64")
    rows = "".join(f"<tr><td>{n}</td><td>产品规格</td><td>{n * 7}.00</td></tr>\n" for n in range(25))
    paragraphs = "".join(f'<p style="font-family:微软雅黑;color:#333">{line}</p>\n' for line in lines)
    html = f"<html><head><meta charset={charset_name}></head><body>{paragraphs}<table border=1>{rows}</table></body></html>"
    made.add_alternative(html, subtype="html", charset=charset_name, cte="base64")
    return made.as_bytes(policy=SMTP)


def cost(work: Callable[[], object], rounds: int = 7, times: int = 60) -> float:
    """CPU microseconds of one call, best round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def thousand(engine: str) -> Dictionaries:
    """The shipped lists, a thousand words more, and fifty patterns."""
    words = ", ".join(f'"测试词{chr(0x4E00 + 3 * number)}条"' for number in range(1000))
    patterns = ", ".join(f"'QX{number:02}-[0-9]{{4,8}}[A-Z]'" for number in range(50))
    return load(WORDS.read_text(encoding="utf-8"), f"[more]\nany = [{words}]\nregex = [{patterns}]", engine=engine)


def report(name: str, mails: list[bytes]) -> None:
    """One table."""
    scanner = IdentifierScanner()
    parsed: list[Message] = [mime.parse(ENVELOPE, raw) for raw in mails]
    texts = [readings(message) for message in parsed]
    print(f"\n{name}: {len(mails)} mails, {sum(map(len, mails)) // len(mails)} bytes on average; us per mail")
    html = [part.content for message in parsed for part in message.parts if part.media_type == "text/html"]
    pages = [charset.decode(content).text for content in html]
    rows: list[tuple[str, Callable[[], object]]] = [
        ("mime + charset + html", lambda: [mime.parse(ENVELOPE, raw) for raw in mails]),
        ("  of which html to text", lambda: [read(page) for page in pages]),
        ("normalise all readings", lambda: [readings(message) for message in parsed]),
        ("identifiers", lambda: [scanner.find(held, AT) for held in texts]),
    ]
    for engine in ("hyperscan", "re2"):
        lists = load(WORDS.read_text(encoding="utf-8"), engine=engine)
        rows.append((f"words, shipped lists, {engine}", lambda lists=lists: [find(lists, held) for held in texts]))  # type: ignore[misc]
        more = thousand(engine)
        rows.append(
            (f"words, and 1000 more + 50 patterns, {engine}", lambda more=more: [find(more, held) for held in texts])
        )  # type: ignore[misc]
    for label, work in rows:
        print(f"  {label:48} {cost(work, times=max(1, 60 // len(mails))) / len(mails):8.1f}")


def main() -> None:
    """Print the tables."""
    report("own mail, utf-8", [own_mail("utf-8")])
    report("own mail, gb18030", [own_mail("gb18030")])
    clean = ("尊敬的客户您好，请查收附件报价单。please find attached " * 400)[:10_000]
    print(f"\nnormalise 10,000 characters of clean mixed text: {cost(lambda: normalise(clean)):.1f} us")
    print(f"normalise 10,000 characters with traditional ones: {cost(lambda: normalise(clean + '合同總價')):.1f} us")
    if len(sys.argv) > 1:
        files = sorted(Path(sys.argv[1]).glob("*.eml"))
        report(sys.argv[1], [raw for path in files if len(raw := path.read_bytes()) < 60_000])


if __name__ == "__main__":
    main()
