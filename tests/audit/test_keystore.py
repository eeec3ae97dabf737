"""Keys on disk: leases, erasure, re-wrapping, and crashes between its steps."""

import itertools
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from audit.event import Place
from audit.keystore import KeyStore, KeysUnreadable
from audit.keytree import Erased


def store(folder: Path) -> KeyStore:
    return KeyStore(folder / "keys" / "erasable.db", folder / "kek" / "kek", os.urandom)


def test_leases_never_overlap_over_restarts(tmp_path: Path) -> None:
    bases = []
    for _ in range(3):
        keys = store(tmp_path)
        bases += [keys.lease("smtp", "2026-11")[0] for _ in range(2)]
        keys.close()
    assert bases == [0, 1024, 2048, 3072, 4096, 5120]


def test_erased_stays_erased_and_the_rest_opens_after_a_restart(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.lease("smtp", "2026-11")
    places = [Place("smtp", "2026-11", leaf) for leaf in range(5)]
    before = [keys.message_key(place) for place in places]
    zhang, li = keys.subject("2026-11", "Zhang@corp.test"), keys.subject("2026-11", "li@corp.test")
    assert keys.erase_message(places[2])
    assert not keys.erase_message(places[2])
    assert keys.erase_subject("zhang@corp.test") == 1
    keys.close()
    keys = store(tmp_path)
    assert [keys.message_key(place) for place in places if place.leaf != 2] == [*before[:2], *before[3:]]
    with pytest.raises(Erased):
        keys.message_key(places[2])
    with pytest.raises(Erased):
        keys.subject_key("2026-11", zhang.leaf)
    assert keys.subject_key("2026-11", li.leaf) == li.key
    again = keys.subject("2026-11", "zhang@corp.test")
    assert again.leaf != zhang.leaf, "a person who comes back gets a new key"
    assert keys.subject("2026-11", "zhang@corp.test") == again
    keys.close()


def test_an_old_copy_of_the_database_does_not_undo_an_erasure(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.lease("smtp", "2026-11")
    keys.close()
    shutil.copytree(tmp_path / "keys", tmp_path / "backup")
    keys = store(tmp_path)
    keys.erase_message(Place("smtp", "2026-11", 1))
    keys.close()
    shutil.rmtree(tmp_path / "keys")
    shutil.copytree(tmp_path / "backup", tmp_path / "keys")
    with pytest.raises(KeysUnreadable):
        store(tmp_path)


@pytest.mark.parametrize("committed", [False, True])
def test_a_crash_while_re_wrapping(tmp_path: Path, committed: bool) -> None:
    """New key written; the database is then either still under the old one, or already under the new."""
    keys = store(tmp_path)
    keys.lease("smtp", "2026-11")
    key = keys.message_key(Place("smtp", "2026-11", 7))
    old = (tmp_path / "kek" / "kek").read_bytes()
    if committed:
        keys.erase_message(Place("smtp", "2026-11", 1))
        new = (tmp_path / "kek" / "kek").read_bytes()
        assert new != old
        (tmp_path / "kek" / "kek").write_bytes(old)
    else:
        new = bytes(32)
    keys.close()
    (tmp_path / "kek" / "kek.new").write_bytes(new)
    (tmp_path / "kek" / "kek.new").chmod(0o600)
    keys = store(tmp_path)
    assert keys.message_key(Place("smtp", "2026-11", 7)) == key
    keys.close()
    assert [path.name for path in (tmp_path / "kek").iterdir()] == ["kek"]


def test_files_are_for_their_owner_and_hold_no_key_in_clear(tmp_path: Path) -> None:
    keys = store(tmp_path)
    _, secret = keys.lease("smtp", "2026-11")
    person = keys.subject("2026-11", "zhang@corp.test")
    keys.close()
    for path in (tmp_path / "keys" / "erasable.db", tmp_path / "kek" / "kek"):
        assert path.stat().st_mode & 0o077 == 0
    data = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
    assert secret not in data
    assert person.key not in data
    (tmp_path / "kek" / "kek").chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        store(tmp_path)


def test_damage_is_refused(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.lease("smtp", "2026-11")
    keys.close()
    (tmp_path / "kek" / "kek").write_bytes(bytes(32))
    with pytest.raises(KeysUnreadable, match="backup"):
        store(tmp_path)


def test_months_and_classes_have_trees_of_their_own(tmp_path: Path) -> None:
    keys = store(tmp_path)
    secrets = [keys.lease(*pair)[1] for pair in itertools.product(("smtp", "admin"), ("2026-11", "2026-12"))]
    assert len(set(secrets)) == 4
    with pytest.raises(Erased):
        keys.message_key(Place("smtp", "2030-01", 0))
    keys.close()


def test_an_erasure_that_fails_has_not_happened(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.lease("smtp", "2026-11")
    key = keys.message_key(Place("smtp", "2026-11", 7))
    other = sqlite3.connect(tmp_path / "keys" / "erasable.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    keys._db.execute("PRAGMA busy_timeout=1").close()
    with pytest.raises(sqlite3.OperationalError):
        keys.erase_message(Place("smtp", "2026-11", 7))
    other.execute("ROLLBACK")
    other.close()
    assert keys.message_key(Place("smtp", "2026-11", 7)) == key
    assert keys.erase_message(Place("smtp", "2026-11", 7))
    keys.close()
    keys = store(tmp_path)
    with pytest.raises(Erased):
        keys.message_key(Place("smtp", "2026-11", 7))
    keys.close()
