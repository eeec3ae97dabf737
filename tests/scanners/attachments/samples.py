"""Files made in the tests, and a way to open them without a process."""

import io
import itertools
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from scanners.attachments.inspection import Inspection
from scanners.attachments.protocol import Answer, FoundFinding, FoundPart, JobPart
from scanners.attachments.yara import YaraEngine
from scanners.message import Direction, Envelope, Message, Part

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
CN_ID = "110101190001010014"
"""A resident identity number with a right check digit, of nobody: born in 1900."""


@dataclass(frozen=True)
class Seen:
    """An answer with questions."""

    answer: Answer

    @property
    def codes(self) -> set[str]:
        return {finding.code for finding in self.answer.findings}

    @property
    def paths(self) -> list[str]:
        return [part.path for part in self.answer.parts]

    def text(self, ending: str = "") -> str:
        """All text of the parts whose path ends so."""
        return "\n".join((part.text or "") + part.other for part in self.answer.parts if part.path.endswith(ending))

    def part(self, ending: str) -> FoundPart:
        return next(part for part in self.answer.parts if part.path.endswith(ending))

    def finding(self, code: str) -> FoundFinding:
        return next(finding for finding in self.answer.findings if finding.code == code)


def look(
    engine: YaraEngine,
    name: str,
    data: bytes,
    declared: str = "",
    words: tuple[str, ...] = (),
    soft_s: float = 600.0,  # a busy machine is not what is tested
    clock: Callable[[], float] = time.monotonic,
    text: bool = True,
) -> Seen:
    """Open one attachment in this process."""
    inspection = Inspection(engine, words, clock, soft_s, text=text)
    inspection.attachment(JobPart("2", declared, name, 0, len(data)), data)
    return Seen(inspection.answer())


def zipped(members: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An ordinary zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def raw_zip(members: Mapping[bytes, bytes], *, listed: set[bytes] | None = None, flags: int = 0) -> bytes:
    """A zip written by hand: names as bytes, and a directory that may leave members out."""
    out = io.BytesIO()
    directory = io.BytesIO()
    count = 0
    for name, content in members.items():
        packed = zlib.compress(content)[2:-4]
        start = out.tell()
        fixed = struct.pack(
            "<HHHHHIIIHH", 20, flags, 8, 0, 0, zlib.crc32(content), len(packed), len(content), len(name), 0
        )
        out.write(b"PK\x03\x04" + fixed + name + packed)
        if listed is None or name in listed:
            count += 1
            directory.write(
                b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, start) + name
            )
    offset = out.tell()
    out.write(directory.getvalue())
    out.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, directory.tell(), offset, 0))
    return out.getvalue()


_ENVELOPE = Envelope(
    "m", "s", "in", Direction.INBOUND, datetime(2026, 11, 22, tzinfo=UTC), None, "127.0.0.1", "c.test", "", "", "a@acme.example", ()
)  # fmt: skip


def attached(name: str, data: bytes, path: str = "2", declared: str = "application/octet-stream") -> Part:
    """An attachment."""
    return Part(path, declared, declared, name, "attachment", data, size=len(data))


def mail(*parts: Part, body: str = "hello") -> Message:
    """A message with a text body and these attachments."""
    text = Part("1", "text/plain", "text/plain", content=body.encode(), text=body, size=len(body), is_body=True)
    return Message(_ENVELOPE, b"", (), (text, *parts))


def fake_clock(step: float) -> Callable[[], float]:
    """Every look at it takes ``step`` seconds."""
    ticks = itertools.count()
    return lambda: next(ticks) * step
