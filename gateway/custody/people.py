"""Operators: who they are, what they may answer, and the proof that they are there (TOTP, RFC 6238)."""

import hmac
import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from unicodedata import normalize

import pyotp

from audit.event import Actor, Event
from gateway.config import Operator
from gateway.recording.recorder import Recorder
from gateway.store.protocol import Proofs, Store
from policies.decision import Reason
from policies.facts import fold_address
from scanners.message import Envelope

STEP_S = 30
WINDOW = (-1, 0, 1)
"""Steps around now whose codes are taken: half a minute for slow hands and clocks."""
FAILURES = 5
"""Wrong codes in a row before the lock: the chance to guess one is then 1 in 66 000 per lock."""
LOCK = timedelta(minutes=15)
SWAPS = 10
"""Tries to save against others of the same name; more than ten at once is nobody's console."""
APPROVER = "approver"
MAX_SECRET_FILE = 1024


class Refused(Exception):
    """What was asked may not be; both languages say why and what to do."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} / {en}")
        self.zh, self.en = zh, en


def not_proven() -> Refused:
    """One answer for an unknown name, a wrong code and a code used before: a guesser learns nothing from it."""
    return Refused(
        "操作员或验证码不正确，或该验证码已用过", "operator or code is not right, or the code was used before"
    )


def actor(operator: Operator) -> Actor:
    """How an event cites a person: by name, never by address."""
    return Actor("operator", operator.name)


def entitled(operator: Operator, reason: Reason) -> bool:
    """Whether this person may answer this reason: the role, and a group or address that the rule names, if it names any."""
    if APPROVER not in operator.roles or not reason.waivable:
        return False
    if not reason.approvers:
        return True
    mine = {f"group:{group}" for group in operator.groups} | {fold_address(operator.address), operator.name}
    return any((word if word.startswith("group:") else fold_address(word)) in mine for word in reason.approvers if word)


def own_mail(operator: Operator, envelope: Envelope, authors: Collection[str] = ()) -> bool:
    """Whether the operator sent it: as envelope sender, by login, or as one of its ``authors`` (the addresses in From and Sender).

    One mailbox has many spellings: cases, composed letters, the domain's two forms, and whatever stands behind a plus.
    """
    mine = {_mailbox(operator.address), _mailbox(operator.name)}
    if "@" in operator.address:
        mine.add(_mailbox(operator.address.rpartition("@")[0]))  # a login is often the name before the @
    theirs = {_mailbox(word) for word in (envelope.sender, envelope.user, *authors)}
    return bool(theirs & (mine - {""}))


def _mailbox(address: str) -> str:
    """An address or a login in the one spelling of its mailbox."""
    local, at, domain = fold_address(normalize("NFKC", address.strip()).casefold()).rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}" if at else domain


class People:
    """The configured operators. ``groups`` are the configuration's: members by address."""

    def __init__(
        self,
        operators: Sequence[Operator],
        groups: Sequence[tuple[str, tuple[str, ...]]],
        store: Store,
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
        ids: Callable[[], str],
    ) -> None:
        self._operators: Mapping[str, Operator] = {each.name: _with_groups(each, groups) for each in operators}
        self._store, self._recorder, self._clock, self._ids = store, recorder, clock, ids

    async def prove(self, name: str, code: str) -> Operator:
        """The operator of that name, if the code is right, new, and not one guess too many. The log is told either way.

        Raises Refused; RecorderUnavailable or StoreUnavailable when it can't be remembered: then nothing is proven.
        """
        operator = self._operators.get(name)
        secret = _secret(operator) if operator else pyotp.random_base32()
        taken = await self._checked(name if operator else "", secret, code)
        outcome = "success" if operator and taken else "failure"
        # An unknown name may be a password typed into the wrong field: it is not written down.
        who = Actor("operator", operator.name if operator else "unknown")
        await self._recorder.record([Event(self._ids(), "admin.mfa", self._clock(), who, outcome, "totp")], None)
        if not operator or not taken:
            raise not_proven()
        return operator

    async def _checked(self, name: str, secret: str, code: str) -> bool:
        """Whether the code is taken. The failure is counted first: guesses made at once can't share one count."""
        before = await self._counted(name) if name else Proofs()
        now = int(self._clock().timestamp()) // STEP_S
        found = 0
        for offset in WINDOW:  # every candidate is compared, so that time tells nothing
            expected = pyotp.TOTP(secret).generate_otp(max(0, now + offset))
            if hmac.compare_digest(expected.encode(), code.strip().encode("utf-8", "replace")):
                found = now + offset
        if not name or not found:
            return False
        for _ in range(SWAPS):
            if found <= before.last_step:
                return False
            if await self._store.swap_proofs(name, before, Proofs(found)):
                return True
            before = await self._store.proofs(name)
        return False

    async def _counted(self, name: str) -> Proofs:
        for _ in range(SWAPS):
            before = await self._store.proofs(name)
            now = self._clock()
            if before.locked_until is not None and before.locked_until > now:
                raise Refused("错误次数过多，请 15 分钟后再试", "too many wrong codes: try again in 15 minutes")
            failures = 1 if before.locked_until is not None else before.failures + 1
            after = replace(before, failures=failures, locked_until=now + LOCK if failures >= FAILURES else None)
            if await self._store.swap_proofs(name, before, after):
                return after
        raise Refused("有其他人正以此名义验证，请稍后再试", "others are using this name right now: try again")


def _with_groups(operator: Operator, groups: Sequence[tuple[str, tuple[str, ...]]]) -> Operator:
    address = fold_address(operator.address)
    named = [name for name, members in groups if address and address in map(fold_address, members)]
    return replace(operator, groups=tuple(dict.fromkeys((*operator.groups, *named))))


def _secret(operator: Operator) -> str:
    """The base32 secret of the operator's file. Raises Refused with what to do."""
    path = operator.totp_file
    if path is None:
        raise Refused(
            f"操作员 {operator.name} 未配置 totp_file",
            f"operator {operator.name} has no totp_file: sealgate operator add",
        )
    return read_secret(path)


def read_secret(path: Path) -> str:
    """Raises Refused for a file that is missing, open to others, or no base32 secret."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(MAX_SECRET_FILE).decode("ascii", "replace").strip().replace(" ", "")
    except OSError as error:
        raise Refused(f"无法读取 {path}", f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise Refused(f"{path} 权限过宽，请执行 chmod 600", f"{path} is open to others: chmod 600 it")
    try:
        pyotp.TOTP(text).generate_otp(1)
    except ValueError:
        text = ""
    if len(text) < 16:
        raise Refused(f"{path} 不是 TOTP 密钥", f"{path} holds no base32 TOTP secret of 16 letters or more")
    return text
