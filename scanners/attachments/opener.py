"""The worker's side: hands attachments to a decoder, and puts what came back into the Message. Never blocks the loop."""

import asyncio
import contextlib
import dataclasses
import hashlib
import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scanners.active import ACTIVE
from scanners.attachments.cache import Cache, Key, Opened
from scanners.attachments.candidates import passwords
from scanners.attachments.codes import CODES, CRASHES, ENCRYPTED, LIMIT
from scanners.attachments.filetype import detect
from scanners.attachments.html import may_smuggle
from scanners.attachments.poison import GIVE_UP, Poison
from scanners.attachments.protocol import (
    ACCEPTED,
    MAX_ANSWER,
    MAX_PARTS,
    Answer,
    FoundFinding,
    FoundPart,
    Job,
    JobPart,
    clip,
    frame,
)
from scanners.finding import Evidence, Finding, Severity
from scanners.message import Message, Part

INLINE = 1_000_000
"""Bytes up to which copying and hashing happen on the loop (0.8 ms); more goes to a thread."""
CONNECT_RETRY_S = 0.005
"""Between two tries when the decoders' backlog is full; the deadline bounds them."""
MAX_LEFT = 8
"""Decoders that may end with our connection in their hands before we give up: each is replaced or has siblings."""
SMALLEST_S = 0.05
"""A try with less time than this left is not worth starting."""
SOFT_SHARE = 0.8
"""Of the time for a try, what the decoder gives the job; then it has its own grace, and answering takes a moment."""
_EICAR = b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"
_STARRED = tuple(code.code[:-1] for code in CODES if code.code.endswith(".*"))
_PLAIN = frozenset((*(code.code for code in CODES if not code.code.endswith(".*")), "url.mismatch", ACTIVE.code))
_ANSWER = msgspec.msgpack.Decoder(Answer)


class DecoderLost(Exception):
    """The decoder ended, hung or sent rubbish while it had the job."""


class DecodersBusy(Exception):
    """No decoder took the job in time: nothing is known about the content."""


class DecoderLeft(Exception):
    """The decoder ended before it took the job: another one can have it, and the content is not to blame."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """One attachment to be opened."""

    part: Part
    sha256: str


@dataclass(slots=True)
class AttachmentOpener:
    """Implements scanners.base.Opener.

    ``version`` is that of the YARA rules the decoders have (it is part of the cache key). ``deadline_s`` bounds one ``open``; one try
    gets half of it, so that a retry of each part alone fits.
    """

    socket_path: Path
    version: str
    cache: Cache
    poison: Poison
    deadline_s: float = 12.0

    async def open(self, message: Message) -> Message:
        """The message with members, texts and findings added; the same object when nothing is attached.

        Raises DecodersBusy when no decoder is there to take it: that becomes ``scanner.failed``.
        """
        parts = [part for part in message.parts if needs_opening(part)]
        if not parts:
            return message
        if len(parts) > MAX_PARTS:
            more = Finding(
                "content.limit.parts", LIMIT.severity, "more attachments than are opened", None, Evidence(), "parts"
            )
            message, parts = dataclasses.replace(message, defects=(*message.defects, more)), parts[:MAX_PARTS]
        end = asyncio.get_running_loop().time() + self.deadline_s
        large = sum(len(part.content) for part in parts) > INLINE
        subjects = await asyncio.to_thread(_identify, parts) if large else _identify(parts)
        results: dict[str, Opened] = {}
        waiting: list[_Subject] = []
        for subject in subjects:
            known = self.cache.get(self._key(subject))
            if known is not None:
                results[subject.part.path] = known
            elif self.poison.count(subject.sha256) >= GIVE_UP:
                results[subject.part.path] = _lone(
                    subject, CRASHES.code, CRASHES.severity, "crashed decoders before; not decoded again"
                )
            else:
                waiting.append(subject)
        if waiting:
            await self._open(waiting, message, results, end)
        return _merge(message, subjects, results)

    async def _open(self, waiting: list[_Subject], message: Message, results: dict[str, Opened], end: float) -> None:
        try:
            found = await self._ask(waiting, (), end, 0.5)
        except DecoderLost:
            found = await self._one_by_one(waiting, end)
        locked = [subject for subject in waiting if _has(found[subject.part.path], ENCRYPTED.code)]
        if locked:
            words = passwords(message)
            if words:
                with contextlib.suppress(DecoderLost, DecodersBusy):  # the first reading stands: it says encrypted
                    found |= await self._ask(locked, words, end, 0.9)
        results |= found
        alone = len(waiting) == 1
        for subject in waiting:
            opened = found[subject.part.path]
            # During a reload a decoder of other rules may answer: good for this message, not for a key that names one version.
            if opened.version == self.version and not any(
                _fleeting(finding.code, alone) for finding in opened.findings
            ):
                self.cache.put(self._key(subject), opened)

    async def _one_by_one(self, waiting: Sequence[_Subject], end: float) -> dict[str, Opened]:
        """After a crash: each part alone, so that only the one that does it stays unread."""
        found: dict[str, Opened] = {}
        for subject in waiting:
            if len(waiting) == 1:
                self.poison.crashed(subject.sha256)
            try:
                found |= await self._ask([subject], (), end, 0.5)
            except DecoderLost:
                self.poison.crashed(subject.sha256)
                found[subject.part.path] = _lone(
                    subject, CRASHES.code, CRASHES.severity, "the decoder crashed or hung on this part"
                )
        return found

    async def _ask(
        self, subjects: Sequence[_Subject], words: tuple[str, ...], end: float, share: float
    ) -> dict[str, Opened]:
        left = end - asyncio.get_running_loop().time()
        if left < SMALLEST_S:
            return {
                subject.part.path: _lone(subject, "content.limit.time", LIMIT.severity, "no time left to decode")
                for subject in subjects
            }
        limit = left * share
        job_parts, offset = [], 0
        for subject in subjects:
            part = subject.part
            job_parts.append(
                JobPart(
                    clip(part.path), clip(part.labelled), clip(part.filename), offset, len(part.content), subject.sha256
                )
            )
            offset += len(part.content)
        job = Job(tuple(job_parts), words, int(limit * SOFT_SHARE * 1000))
        contents = [subject.part.content for subject in subjects]
        descriptor = os.memfd_create("attachments", os.MFD_CLOEXEC)
        try:
            if offset > INLINE:
                await asyncio.to_thread(_write, descriptor, contents)
            else:
                _write(descriptor, contents)
            answer = await self._exchange(job, descriptor, limit, end)
        finally:
            os.close(descriptor)
        return _sort(subjects, job, answer)

    async def _exchange(self, job: Job, descriptor: int, limit: float, end: float) -> Answer:
        for _ in range(MAX_LEFT):
            try:
                return await exchange(self.socket_path, job, descriptor, limit, end)
            except DecoderLeft:
                continue
        raise DecodersBusy("decoders end before they take a job")

    def _key(self, subject: _Subject) -> Key:
        return Key(subject.sha256, subject.part.filename, subject.part.labelled, self.version)


def needs_opening(part: Part) -> bool:
    """True for attachments, and for bodies whose bytes are not the text they claim to be."""
    if not part.content:
        return False
    if not part.is_body:
        return True
    kind = detect(part.content[:512])  # enough for every magic that text could hide behind, tar included
    if kind.known and not kind.media_type.startswith(("text/", "message/")):
        return True
    page = part.media_type == "text/html" or kind.media_type == "text/html"
    return _EICAR in part.content or (page and may_smuggle(part.content))


async def exchange(path: Path, job: Job, descriptor: int, limit_s: float, end: float = math.inf) -> Answer:
    """One job to whichever decoder takes it, within ``limit_s``; from then on it has ``limit_s`` to answer, but nobody waits past
    ``end`` (seconds of the loop): a job that waited long for its turn is not blamed for what the others took.

    Raises:
        DecodersBusy: none took it in time, or none is there, or it was ``end`` before its own time was over.
        DecoderLeft: the one that accepted ended before it took the job.
        DecoderLost: the one that took it died, hung past its time or answered with rubbish.
    """
    loop = asyncio.get_running_loop()
    taken = spent = False
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        async with asyncio.timeout(limit_s) as limit:
            await _connect(connection, path)
            data = frame(job)
            sent = socket.send_fds(connection, [data], [descriptor])
            if sent < len(data):
                await loop.sock_sendall(connection, data[sent:])
            buffer = bytearray()
            while True:
                chunk = await loop.sock_recv(connection, 262_144)
                if not taken and chunk[:1] == ACCEPTED:
                    taken, chunk = True, chunk[1:]
                    own = loop.time() + limit_s
                    spent = own <= end
                    limit.reschedule(min(own, end))
                    if not chunk:
                        continue
                if not chunk and not taken:
                    raise DecoderLeft
                if not chunk:
                    break
                buffer += chunk
                if len(buffer) > MAX_ANSWER + 4:
                    raise DecoderLost("answer too long")
                if len(buffer) >= 4 and len(buffer) >= 4 + int.from_bytes(buffer[:4], "big"):
                    break
        if len(buffer) > INLINE:
            return await asyncio.to_thread(_read, buffer)
        return _read(buffer)
    except TimeoutError:
        if taken and not spent:
            raise DecodersBusy("the job was taken too late to be done") from None
        raise (DecoderLost("hung") if taken else DecodersBusy("no decoder took the job")) from None
    except (ConnectionResetError, BrokenPipeError):
        raise (DecoderLost("connection reset") if taken else DecoderLeft()) from None
    except OSError as error:
        raise (DecoderLost(type(error).__name__) if taken else DecodersBusy(type(error).__name__)) from None
    finally:
        connection.close()


async def _connect(connection: socket.socket, path: Path) -> None:
    while True:
        try:
            connection.connect(str(path))
            return
        except BlockingIOError:
            await asyncio.sleep(CONNECT_RETRY_S)  # a unix socket cannot be waited for while its backlog is full


def _read(buffer: bytearray) -> Answer:
    if len(buffer) < 4 or len(buffer) != 4 + int.from_bytes(buffer[:4], "big"):
        raise DecoderLost("answer cut short")
    try:
        return _ANSWER.decode(memoryview(buffer)[4:])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DecoderLost("answer is rubbish") from None


def _identify(parts: Sequence[Part]) -> list[_Subject]:
    return [_Subject(part, part.sha256 or hashlib.sha256(part.content).hexdigest()) for part in parts]


def _write(descriptor: int, contents: Sequence[bytes]) -> None:
    for content in contents:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]


def _lone(subject: _Subject, code: str, severity: Severity, summary: str) -> Opened:
    """A result that says only why there is none."""
    part = FoundPart(
        "", subject.part.media_type, subject.part.filename, len(subject.part.content), subject.sha256, None
    )
    return Opened((part,), (FoundFinding(code, int(severity), summary, "", "", 1, -1, 0),))


def _has(opened: Opened, code: str) -> bool:
    return any(finding.code == code for finding in opened.findings)


def _fleeting(code: str, alone: bool) -> bool:
    """Results that another try, another mail's passwords, or (bounds are for a whole message) other company may change."""
    if code in (ENCRYPTED.code, CRASHES.code, "content.decrypted", "content.limit.time"):
        return True
    return code.startswith("content.limit.") and not alone


def _declared(code: str) -> bool:
    return code in _PLAIN or code.startswith(_STARRED)


def _sort(subjects: Sequence[_Subject], job: Job, answer: Answer) -> dict[str, Opened]:
    """The answer by attachment, paths made relative. Anything outside the job is rubbish."""
    parts: dict[str, list[FoundPart]] = {part.path: [] for part in job.parts}
    findings: dict[str, list[FoundFinding]] = {part.path: [] for part in job.parts}
    for found in answer.parts:
        root, suffix = _root(found.path, parts)
        parts[root].append(msgspec.structs.replace(found, path=suffix))
    for finding in answer.findings:
        root, suffix = _root(finding.path, findings)
        if not _declared(finding.code):
            raise DecoderLost("undeclared code")
        findings[root].append(msgspec.structs.replace(finding, path=suffix))
    if any(not found or found[0].path for found in parts.values()):
        raise DecoderLost("a part is missing")
    return {
        subject.part.path: Opened(tuple(parts[part.path]), tuple(findings[part.path]), answer.version)
        for subject, part in zip(subjects, job.parts, strict=True)
    }


def _root(path: str, known: dict[str, list[FoundPart]] | dict[str, list[FoundFinding]]) -> tuple[str, str]:
    """The longest attachment path that ``path`` begins with, and the rest."""
    candidate = path
    while candidate not in known:
        cut = candidate.rfind("!")
        if cut < 0:
            raise DecoderLost("answer about a part that was not asked for")
        candidate = candidate[:cut]
    return candidate, path[len(candidate) :]


def _merge(message: Message, subjects: Sequence[_Subject], results: dict[str, Opened]) -> Message:
    by_path = {subject.part.path: subject for subject in subjects}
    parts: list[Part] = []
    texts = dict(message.texts)
    findings: list[Finding] = list(message.defects)
    for part in message.parts:
        if part.path not in by_path:
            parts.append(part)
            continue
        opened = results[part.path]
        for found in opened.parts:
            parts.append(_own(part, found) if not found.path else _member(part.path, found))
            if found.other:
                texts[f"{part.path}{found.path}~charset"] = found.other
        findings.extend(_finding(part.path, finding) for finding in opened.findings)
    return dataclasses.replace(message, parts=tuple(parts), defects=tuple(findings), texts=texts)


def _own(part: Part, found: FoundPart) -> Part:
    text = found.text if found.text is not None and (part.text is None or not part.is_body) else part.text
    opaque = found.media_type == "application/octet-stream"
    media_type = part.media_type if part.is_body or opaque else found.media_type
    return dataclasses.replace(part, media_type=media_type, text=text, sha256=found.sha256, size=found.size)


def _member(root: str, found: FoundPart) -> Part:
    return Part(
        root + found.path, found.media_type, "", found.filename, "attachment", b"", found.text, found.sha256, found.size
    )


def _finding(root: str, found: FoundFinding) -> Finding:
    offset = found.offset if found.offset >= 0 else None
    evidence = Evidence("", max(1, found.count), offset, found.length if offset is not None else None)
    return Finding(found.code, Severity(found.severity), found.summary, root + found.path, evidence, found.about)
