"""One job in a decoder: opens every attachment and member, and collects parts and findings within the budget.

A fault in one piece is a finding about that piece; the rest is still read.
"""

import codecs
import hashlib
import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from scanners.attachments import filetype, plain, tails, zips
from scanners.attachments.budget import MAX_DEPTH, MAX_TEXT, Budget, LimitReached
from scanners.attachments.codes import (
    AMBIGUOUS,
    DANGEROUS,
    DOUBLE_EXTENSION,
    LIMIT,
    MISMATCH,
    UNREADABLE,
    YARA,
)
from scanners.attachments.filetype import Kind
from scanners.attachments.protocol import MAX_FINDINGS, Answer, FoundFinding, FoundPart, JobPart, clip
from scanners.attachments.reading import Note, Reading, UnreadableContent
from scanners.attachments.registry import CONTAINERS, NATIVE, OFFICE, Reader, reader_for, refine
from scanners.attachments.yara import MatchTimeout, YaraEngine
from scanners.finding import Severity

_NAME = 255
"""Characters of a member's name in paths."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree a piece lies; ``ancestors`` are the hashes it lies in, against archives that contain themselves."""

    path: str
    prefix: str
    depth: int
    ancestors: tuple[str, ...]


class Inspection:
    """Mutable state of one job."""

    def __init__(
        self,
        engine: YaraEngine,
        words: tuple[str, ...],
        clock: Callable[[], float],
        soft_s: float,
        *,
        text: bool = True,
    ) -> None:
        self._engine = engine
        self._text = text
        self._words = words
        self._budget = Budget(clock, clock() + soft_s, int(soft_s * 1000))
        self._parts: list[FoundPart] = []
        self._findings: list[FoundFinding] = []
        self._limits: set[str] = set()
        self._named: Counter[str] = Counter()

    def attachment(self, part: JobPart, content: bytes) -> None:
        """Open one attachment of the message. A bound is reported once for each: later ones meet what earlier ones spent."""
        self._limits.clear()
        prefix = f"{part.path}!{_shown(part.filename) or 'attachment'}"
        self._open(_Place(part.path, prefix, 0, ()), part.filename, part.declared, content, part.sha256)

    def answer(self) -> Answer:
        """Everything found."""
        return Answer(self._engine.version, tuple(self._parts), tuple(self._findings))

    def _open(self, place: _Place, name: str, declared: str, content: bytes, digest: str = "") -> None:
        digest = digest or hashlib.sha256(content).hexdigest()
        kind = refine(content, filetype.detect(content), name, declared)
        index = len(self._parts)
        part = FoundPart(place.path, kind.media_type, clip(name), len(content), digest, None)
        self._parts.append(part)
        reading = self._reading(place, name, declared, digest)
        try:
            self._labels(reading, name, declared, kind, content)
            self._match(reading, content)
            self._appended(reading, place, content, kind)
            self._read(reading, place, content, kind, digest)
        except LimitReached as limit:
            self._limit(reading, limit)
        except UnreadableContent as error:
            reading.note(Note(UNREADABLE, f"{kind.media_type}: {error.reason}", about=kind.media_type))
        except MemoryError:
            reading.note(Note(LIMIT, "decoding took more memory than a decoder has", suffix="memory"))
        except RecursionError:
            reading.note(Note(LIMIT, "structure nested too deeply", suffix="depth"))
        except (
            Exception
        ) as error:  # any fault of a library on hostile bytes is "not read" (law 5), and the next piece goes on
            reading.note(Note(UNREADABLE, f"{kind.media_type}: {type(error).__name__}", about=kind.media_type))
        if reading.texts or reading.others:
            text, other = clip(reading.text, MAX_TEXT), clip("\n".join(reading.others), MAX_TEXT)
            self._parts[index] = FoundPart(place.path, kind.media_type, clip(name), len(content), digest, text, other)

    def _labels(self, reading: Reading, name: str, declared: str, kind: Kind, content: bytes) -> None:
        if not content:
            return
        danger = filetype.dangerous(name, kind)
        if danger:
            reading.note(Note(DANGEROUS, f"dangerous type: {danger}", about=danger))
        disguise = filetype.disguised(name)
        if disguise:
            reading.note(Note(DOUBLE_EXTENSION, f"name disguises its extension: {disguise}", about=disguise))
        claim = filetype.contradicts(name, declared, kind)
        if claim:
            reading.note(Note(MISMATCH, f"{claim} contradicts the true type {kind.media_type}", about=kind.media_type))

    def _match(self, reading: Reading, content: bytes) -> None:
        self._budget.tick()
        try:
            hits = self._engine.match(content)
        except MatchTimeout:
            raise LimitReached("yara_time", 5) from None
        for hit in hits:
            place = {"offset": hit.offset, "length": hit.length} if hit.offset >= 0 else {}
            note = Note(YARA, f"YARA rule {hit.rule}", hit.rule, hit.rule, Severity(hit.severity), hit.count, **place)
            reading.note(note)

    def _read(self, reading: Reading, place: _Place, content: bytes, kind: Kind, digest: str) -> None:
        reader: Reader | None = reader_for(kind) or (
            plain.read if plain.labelled_unlike_text(reading.declared) else None
        )
        if reader is None:
            opaque = kind.media_type.startswith(filetype.OPAQUE) or kind.media_type in NATIVE or not content
            if not opaque:
                raise UnreadableContent("no reader for this type")
            return
        if not self._text and kind.media_type not in CONTAINERS:
            return
        if digest in place.ancestors or place.depth >= MAX_DEPTH:
            raise LimitReached("depth", MAX_DEPTH)
        reader(content, reading)

    def _appended(self, reading: Reading, place: _Place, content: bytes, kind: Kind) -> None:
        """A file that is something else as well: behind its end, or a zip, whose unpackers do not care what comes first."""
        tail = tails.look(content, kind.media_type, reading) if place.depth < MAX_DEPTH else ""
        if kind.media_type in CONTAINERS or kind.media_type in OFFICE or tail in CONTAINERS | OFFICE:
            return
        if b"PK\x05\x06" not in content[-66_000:]:
            return
        if place.depth < MAX_DEPTH and zips.directory(content).entries:
            reading.note(Note(AMBIGUOUS, f"{kind.media_type} that is a zip as well", about=kind.media_type))
            zips.read(content, reading)

    def _reading(self, place: _Place, name: str, declared: str, digest: str) -> Reading:
        def member(member_name: str, content: bytes, member_declared: str) -> None:
            self._budget.entry()
            path = self._unique(f"{place.prefix}!{_shown(member_name) or 'member'}")
            below = _Place(path, path, place.depth + 1, (*place.ancestors, digest))
            self._open(below, member_name, member_declared, content)

        def note(found: Note) -> None:
            self._note(place.path, found)

        return Reading(name, declared, self._budget, self._words, member, note)

    def _unique(self, path: str) -> str:
        """Members of one name must not take each other's place where texts and findings are kept by path: ``x``, ``x#2`` ..."""
        self._named[path] += 1
        while self._named[path] > 1:
            path = f"{path}#{self._named[path]}"
            self._named[path] += 1
        return path

    def _limit(self, reading: Reading, limit: LimitReached) -> None:
        """Each bound is reported once an attachment: every level above meets a spent budget again."""
        if limit.which not in self._limits:
            self._limits.add(limit.which)
            reading.note(
                Note(LIMIT, f"stopped at the bound {limit.which} = {limit.bound}", str(limit.bound), limit.which)
            )

    def _note(self, path: str, note: Note) -> None:
        code = note.code.code.removesuffix("*") + note.suffix if note.suffix else note.code.code
        severity = int(note.code.severity if note.severity is None else note.severity)
        finding = FoundFinding(
            code, severity, clip(note.summary, 500), path, clip(note.about, 200), note.count, note.offset, note.length
        )
        if len(self._findings) < MAX_FINDINGS - 1:
            self._findings.append(finding)
        elif len(self._findings) == MAX_FINDINGS - 1:
            self._findings.append(
                FoundFinding(
                    "content.limit.findings", 3, "more findings than are kept", path, str(MAX_FINDINGS), 1, -1, 0
                )
            )


def _shown(name: str) -> str:
    """A member's name as part of a path: no separators of ours, bounded."""
    return clip(name.replace("!", "！").replace("\0", ""), _NAME)


def preload() -> None:
    """Import everything that reading may need, so that nothing has to be opened once the sandbox is closed."""
    for module in _MODULES:
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # an extra that is not installed: its formats are content.unreadable
    for name in (
        "gb18030",
        "cp950",
        "shift_jis",
        "hz",
        "iso2022_jp_2",
        "utf-16",
        "utf-32",
        "cp437",
        "cp1252",
        "latin-1",
        "idna",
        "unicode_escape",
    ):
        codecs.lookup(name)


_MODULES = (
    "pdf_oxide",
    "pypdfium2",
    "oletools.olevba",
    "olefile",
    "libarchive",
    "tnefparse",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.BmpImagePlugin",
    "PIL.WebPImagePlugin",
    "PIL.TiffImagePlugin",
    "zxingcpp",
    "lxml.etree",
    "selectolax.lexbor",
    "msoffcrypto",
    "cryptography.hazmat.primitives.ciphers.modes",
    "cryptography.hazmat.primitives.ciphers.algorithms",
    "tarfile",
    "lzma",
    "bz2",
    "scanners.mime",
    "email.policy",
    "email.parser",
)
