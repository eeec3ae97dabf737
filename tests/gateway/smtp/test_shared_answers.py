"""An answer that nobody heard is found by every worker, also after a restart, and says nothing about anybody."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.smtp import shared_answers
from gateway.smtp.answered import KEPT_S
from gateway.smtp.reply import Reply
from gateway.smtp.shared_answers import KEY_FILE, SharedAnswered, prepare
from tests.fakes.receiving import Clock
from tests.gateway.samples import envelope

SENT = envelope("01KAMZ3W8Q0000000000000M01")
AGAIN = replace(SENT, id="01KAMZ3W8Q0000000000000M02", session="S2")
REFUSED = Reply(550, "5.1.1", "no such user zhang@corp.test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path / "answered", b"k" * 32)
    return tmp_path / "answered"


def worker(folder: Path, wall: Clock | None = None) -> SharedAnswered:
    return SharedAnswered(folder, Clock(), wall or Clock())


def test_another_worker_and_a_later_one_know_it(folder: Path) -> None:
    first, second = worker(folder), worker(folder)
    assert second.find(AGAIN, b"text") is None
    first.keep(SENT, b"text", REFUSED)
    prepare(folder, b"x" * 32)  # a restart keeps the key that is there
    for each in (second, worker(folder)):
        found = each.find(AGAIN, b"text")
        assert found is not None
        assert (found.reply.code, found.reply.enhanced, found.message_id) == (550, "5.1.1", SENT.id)
        assert each.find(AGAIN, b"other") is None
        assert each.find(replace(AGAIN, sender="else@corp.test"), b"text") is None


def test_what_is_kept_in_the_tick_of_a_look_is_found(folder: Path) -> None:
    wall = Clock()
    wall.seconds = folder.stat().st_mtime + 0.001
    first, second = worker(folder, wall), worker(folder, wall)
    before = folder.stat()
    assert second.find(AGAIN, b"text") is None
    first.keep(SENT, b"text", REFUSED)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert second.find(AGAIN, b"text") is not None


def test_its_own_worker_has_the_whole_text(folder: Path) -> None:
    first = worker(folder)
    first.keep(SENT, b"text", REFUSED)
    found = first.find(AGAIN, b"text")
    assert found is not None
    assert found.reply == REFUSED


def test_nothing_personal_is_written(folder: Path) -> None:
    worker(folder).keep(SENT, b"text of the mail", REFUSED)
    for path in folder.iterdir():
        written = path.name.encode() + path.read_bytes()
        for word in (b"zhang", b"corp.test", SENT.sender.encode(), b"text"):
            assert word not in written


def test_transient_answers_are_not_kept(folder: Path) -> None:
    worker(folder).keep(SENT, b"text", Reply(451, "4.3.0", "later"))
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_for_a_day(folder: Path) -> None:
    wall = Clock()
    worker(folder, wall).keep(SENT, b"text", REFUSED)
    wall.seconds += KEPT_S
    assert worker(folder, wall).find(AGAIN, b"text") is None
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"code": "x"}', b"\xff" * 1000, b'{"until": {}}'])
def test_what_is_damaged_is_no_answer(folder: Path, content: bytes) -> None:
    worker(folder).keep(SENT, b"text", REFUSED)
    (kept,) = [path for path in folder.iterdir() if path.name != KEY_FILE]
    kept.write_bytes(content)
    assert worker(folder).find(AGAIN, b"text") is None


def test_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_answers, "MAX_ANSWERS", 20)
    one = worker(folder)
    for number in range(50):
        one.keep(SENT, b"%d" % number, REFUSED)
    assert len(list(folder.iterdir())) <= 21
    assert worker(folder).find(AGAIN, b"49") is not None


def test_a_folder_that_is_gone_leaves_the_worker_its_own(folder: Path) -> None:
    one = worker(folder)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    one.keep(SENT, b"text", REFUSED)
    assert one.find(AGAIN, b"text") is not None
    assert one.find(AGAIN, b"other") is None
