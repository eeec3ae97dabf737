"""The AUTH users file: ``login:argon2id-hash`` a line. Read on the way in, written by ``sealgate user``."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from gateway.smtp.login import Credentials

MAX_LOGIN = 255
MAX_USERS_BYTES = 50_000_000
"""A file larger than this is not a users file; about 400,000 users."""
CONCURRENT = 2
"""Argon2 takes 64 MB and tens of milliseconds a try: more at once would let guessers take the machine."""
MAX_WAITING = 64
"""Logins waiting for their turn; more are told to come again."""
# An argon2id hash of nothing anybody knows, with the default cost, so that an unknown login takes as long as a wrong password.
DECOY = "$argon2id$v=19$m=65536,t=3,p=4$5eBDFqURpVXP8Di3lTzW4g$1Uo8HXXW6+KIwLoY8zD7JTh4q8ghEkcWAR87lrW+svo"


class UsersError(Exception):
    """The users file is unreadable or wrong; the text says what to do, in both languages."""


class BusyError(Exception):
    """Too many logins at once."""


class Users(Protocol):
    """Who may log in."""

    async def verify(self, credentials: Credentials) -> str | None:
        """The login in its one spelling, or None for a wrong login or password. Raises BusyError, UsersError."""


def login_key(text: str) -> str:
    """A login in its one spelling: lower case. Raises UsersError for one that can't stand in the file."""
    key = text.strip().lower()
    if not key or len(key.encode()) > MAX_LOGIN or not key.isprintable() or ":" in key or key.startswith("#"):
        raise UsersError(f"用户名不可用 / not a usable login: {text!r}")
    return key


def parse(text: str, source: str) -> dict[str, str]:
    """Login -> hash. Blank lines and lines that begin with ``#`` are skipped. Raises UsersError with the line's number."""
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        login, colon, digest = line.partition(":")
        if not colon or not digest.startswith("$argon2"):
            raise UsersError(f"{source}:{number}: 应为 login:argon2 / want login:argon2-hash; sealgate user add")
        if login_key(login) in users:
            raise UsersError(f"{source}:{number}: 用户重复 / login given twice")
        users[login_key(login)] = digest.strip()
    return users


def read(path: Path) -> dict[str, str]:
    """The file's users; a missing file has none. Raises UsersError."""
    try:
        if path.stat().st_size > MAX_USERS_BYTES:
            raise UsersError(f"{path}: 文件过大 / larger than {MAX_USERS_BYTES} bytes")
        return parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsersError(f"{path}: 无法读取 / can't be read: {error}") from error


def write(path: Path, users: Mapping[str, str]) -> None:
    """Replace the file (mode 0600) at once or not at all: a crash before the rename leaves the old file, after it the new one."""
    text = "".join(f"{login}:{digest}\n" for login, digest in sorted(users.items()))
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UsersError(f"{path}: 无法写入 / can't be written: {error}") from error


class UsersFile:
    """Users of a file, read again when it changes, so that adding one needs no restart."""

    def __init__(self, path: Path, hasher: PasswordHasher | None = None) -> None:
        self._path = path
        self._hasher = hasher or PasswordHasher()
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, str] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._waiting = 0

    async def verify(self, credentials: Credentials) -> str | None:
        """See Users. Off the loop: a try takes tens of milliseconds."""
        if self._waiting >= MAX_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(self._check, credentials)
        finally:
            self._waiting -= 1

    def _check(self, credentials: Credentials) -> str | None:
        try:
            login = login_key(credentials.login)
        except UsersError:
            login = ""
        digest = self._current().get(login)
        try:
            self._hasher.verify(digest or DECOY, credentials.password)
        except VerifyMismatchError:
            return None
        except (InvalidHashError, VerificationError) as error:
            raise UsersError(f"{self._path}: 口令散列损坏 / a password hash is damaged; sealgate user add") from error
        return login if digest else None

    def _current(self) -> dict[str, str]:
        try:
            status = self._path.stat()
            stamp: tuple[int, int, int] | None = (status.st_mtime_ns, status.st_size, status.st_ino)
        except FileNotFoundError:
            stamp = None
        if stamp != self._stamp:
            self._users = read(self._path)
            self._stamp = stamp
        return self._users if stamp else {}
