"""Which database the deliveries of a state folder are in, noted beside them: no change of ``[store]`` leaves mail behind unseen.

``state_dir/store.json`` names the store that was used last, by the identity that stands in the store itself and by where it was found.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from audit.files import write_durable
from gateway.config import Store
from gateway.store.errors import StoreUnavailable

NOTE = "store.json"
MAX_NOTE = 4096
"""Bytes read of it: an identity, a URL and a path."""


class LeftBehind(StoreUnavailable):
    """Deliveries wait, or may wait, in another database than the configured one; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Note:
    """The store in use: its own identity, and where it was. ``url`` empty: SQLite in the state folder."""

    id: str
    url: str = ""
    password_file: str = ""

    def store(self) -> Store:
        """The setting that leads there."""
        return Store(self.url, Path(self.password_file) if self.password_file else None)

    def place(self, state: Path) -> str:
        """Where it is, in words."""
        return self.url or str(state / "state.db")

    def setting(self) -> str:
        """What to write to go back there."""
        return f'[store] url = "{self.url}"' if self.url else "no [store] url (SQLite 不写 url)"


def noted(state: Path) -> Note | None:
    """What the state folder says; None before the first start. Raises StoreUnavailable for a note that cannot be read."""
    path = state / NOTE
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_NOTE), type=Note)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreUnavailable(
            f"{path}: 无法读取，请从备份恢复 / cannot be read ({type(error).__name__}): restore it from backup"
        ) from error


def note(state: Path, store: Store, identity: str) -> None:
    """Write down which store is in use. Raises StoreUnavailable.

    A crash before it is durable leaves the former note: nothing has been taken into the new store yet, so the next start compares again.
    """
    made = Note(identity, store.url, str(store.password_file or ""))
    try:
        write_durable(state / NOTE, msgspec.json.encode(made) + b"\n", 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{state / NOTE}: {error.strerror}; 无法写入 / cannot be written") from error


def waiting_elsewhere(former: Note, state: Path, waiting: int) -> str:
    """So many deliveries are in the store before this one."""
    where = former.place(state)
    return (
        f"{waiting} deliveries still wait in {where}, and [store] names another database. Go back to {former.setting()}\n"
        f"until they are gone (sealgate queue list), then change it. {waiting} 个投递仍在 {where} 中：\n"
        "请先恢复原来的 [store] 设置，运行至处理完毕，再切换数据库。"
    )


def not_answering(former: Note, state: Path, why: str) -> str:
    """Nobody can say whether something waits there."""
    where, path = former.place(state), state / NOTE
    return (
        f"mail may still wait in {where}, and [store] names another database. It does not answer: {why}.\n"
        f"Start it, or go back to {former.setting()}. If it is gone for good, remove {path}.\n"
        f"{where} 中可能仍有投递，但无法访问：请启动它，或恢复原来的设置；如确已不存在，请删除 {path}。"
    )


def made_anew(former: Note, state: Path) -> str:
    """Another database is where the one was that this state folder worked with."""
    where, path = former.place(state), state / NOTE
    return (
        f"{where} is not the database that this state folder worked with: removed, or made anew? Mail that waited in it\n"
        f"would be forgotten. Restore it from backup; if it is gone for good, remove {path}.\n"
        f"{where} 不是此状态目录原来使用的数据库，其中等待的投递会被遗忘：请从备份恢复；如确已不存在，请删除 {path}。"
    )


def not_yet(former: Note, state: Path) -> str:
    """For a command that finds another store configured than the one in use."""
    return (
        f"deliveries are in {former.place(state)}; what [store] names now is used from the next start on "
        f"当前投递在 {former.place(state)} 中，[store] 的新设置在重启后生效"
    )
