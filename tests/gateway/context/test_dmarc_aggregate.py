"""DMARC aggregate data: counted once, added up over processes, bounded."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.context.dmarc_aggregate import Aggregates, AggregateUnavailable
from gateway.store.database import sqlite_engine
from scanners.authentication.aggregate import AggregateRow, aggregate_row
from scanners.authentication.scanner import AuthenticationScanner
from tests.fakes.resolver import FakeResolver
from tests.scanners.authentication.mail import NOW, PLAIN, message, sign
from tests.scanners.authentication.test_scanner import ZONE

KEY = b"k" * 32
ROW = AggregateRow(
    "2026-01-02",
    "a.test",
    "v=DMARC1; p=reject",
    "a.test",
    "192.0.2.1",
    "none",
    "",
    True,
    True,
    "a.test pass mfrom",
    "a.test s pass",
)


async def row_of(
    raw: bytes, disposition: str = "none", zone: dict[str, object] | None = None, **envelope: object
) -> AggregateRow | None:
    mail = message(raw, **envelope)
    authentication = await AuthenticationScanner(FakeResolver(ZONE | (zone or {}))).authenticate(mail)
    return aggregate_row(authentication, mail.envelope.client, NOW, disposition)


async def test_a_row_holds_what_a_report_needs() -> None:
    assert await row_of(sign(PLAIN)) == ROW


async def test_a_failure_and_what_was_done_about_it() -> None:
    row = await row_of(PLAIN, "reject", client="198.51.100.9")
    assert row is not None
    assert (row.spf_aligned, row.dkim_aligned, row.disposition, row.override) == (False, False, "reject", "")
    kept = await row_of(PLAIN, "quarantine", client="198.51.100.9")
    assert kept is not None
    assert kept.override == "local_policy"


async def test_test_mode_is_named() -> None:
    row = await row_of(PLAIN, "none", {"_dmarc.a.test": {"TXT": ["v=DMARC1; p=reject; t=y"]}}, client="198.51.100.9")
    assert row is not None
    assert row.override == "policy_test_mode"


async def test_nothing_to_report() -> None:
    assert await row_of(PLAIN, zone={"_dmarc.a.test": {}}) is None
    assert await row_of(sign(PLAIN), client=None) is None
    assert await row_of(PLAIN, zone={"_dmarc.a.test": "SERVFAIL"}) is None


async def test_counts_add_up_over_batches_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "dmarc.db"
    first, second = Aggregates(sqlite_engine(path), KEY), Aggregates(sqlite_engine(path), KEY)
    other = replace(ROW, source="192.0.2.2")
    for aggregates, rows in ((first, (ROW, ROW, other)), (second, (ROW,))):
        for row in rows:
            aggregates.add(row)
    assert await first.flush() == 2
    assert await first.flush() == 0
    await second.flush()
    first.add(ROW)
    await first.flush()
    assert dict(await second.rows("2026-01-02", "a.test")) == {ROW: 4, other: 1}
    assert await second.rows("2026-01-02", "b.test") == []
    assert await second.prune("2026-01-03") == 2
    assert await second.rows("2026-01-02") == []
    await first.close()
    await second.close()


async def test_a_flood_of_sources_is_bounded_in_memory_and_on_disk(tmp_path: Path) -> None:
    aggregates = Aggregates(sqlite_engine(tmp_path / "dmarc.db"), KEY, max_pending=3, max_rows=4)
    for day in ("2026-01-01", "2026-01-02"):
        for number in range(5):
            aggregates.add(replace(ROW, day=day, source=f"192.0.2.{number}"))
        await aggregates.flush()
    assert aggregates.dropped == 4
    assert await aggregates.rows("2026-01-01") == []
    assert len(await aggregates.rows("2026-01-02")) == 3
    await aggregates.close()


async def test_what_cannot_be_written_is_kept_and_said(tmp_path: Path) -> None:
    path = tmp_path / "dmarc.db"
    path.write_bytes(b"this is not a database, and long enough to be read as one: " * 40)
    aggregates = Aggregates(sqlite_engine(path), KEY)
    aggregates.add(ROW)
    for _ in range(2):
        with pytest.raises(AggregateUnavailable, match="DMARC"):
            await aggregates.flush()
    with pytest.raises(AggregateUnavailable):
        await aggregates.close()


async def test_the_source_is_encrypted_on_disk_and_readable_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "dmarc.db"
    aggregates = Aggregates(sqlite_engine(path), KEY)
    for _ in range(3):
        aggregates.add(ROW)
        await aggregates.flush()
    stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"a.test" in stored
    assert b"192.0.2.1" not in stored
    assert await aggregates.rows(ROW.day) == [(ROW, 3)]
    await aggregates.close()
    other = Aggregates(sqlite_engine(path), b"o" * 32)
    with pytest.raises(AggregateUnavailable, match="another key"):
        await other.rows(ROW.day)
    await other.close()
