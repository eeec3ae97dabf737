"""What ended processes counted stays counted, and their files go."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, multiprocess

from gateway.process.past_metrics import PAST, fold, running

FILES = 4
"""Counters, histograms, and gauges of two kinds."""
GAUGES = ("sealgate_log_events", "sealgate_up")
COUNTING = (
    "from gateway.process import metrics\n"
    "metrics.MESSAGES.labels('inbound', 'relayed').inc(3); metrics.SCAN_SECONDS.observe(0.002); metrics.SCAN_SECONDS.observe(0.5)\n"
    "metrics.LOG_SIZE.set(7)"
)


def one_life(folder: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", COUNTING], env=environment, check=True, timeout=300)


def page(folder: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, str(folder))
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_many_lives_leave_two_files_and_every_count(tmp_path: Path) -> None:
    for life in range(1, 4):
        one_life(tmp_path)
        before = page(tmp_path)
        assert fold(tmp_path, running) == FILES
        after = page(tmp_path)
        assert {name: value for name, value in before.items() if not name.startswith(GAUGES)} == after
        assert after['sealgate_messages_total{direction="inbound",outcome="relayed"}'] == 3.0 * life
        assert after['sealgate_scan_seconds_bucket{le="0.003"}'] == 1.0 * life
        assert after["sealgate_scan_seconds_count"] == 2.0 * life
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"counter_{PAST}.db", f"histogram_{PAST}.db"]


def test_the_living_keep_theirs(tmp_path: Path) -> None:
    one_life(tmp_path)
    assert fold(tmp_path, lambda pid: True) == 0
    assert len(list(tmp_path.iterdir())) == FILES


def test_a_file_that_its_process_did_not_finish_goes(tmp_path: Path) -> None:
    """Killed between making the file and giving it its size: /metrics would fail on it for ever."""
    one_life(tmp_path)
    (tmp_path / "counter_2147483646.db").touch()
    (tmp_path / "histogram_2147483646.db").write_bytes(b"\xff\xff\xff\x7f" * 8)
    assert fold(tmp_path, running) == FILES + 2
    assert page(tmp_path)['sealgate_messages_total{direction="inbound",outcome="relayed"}'] == 3.0


def test_who_runs() -> None:
    assert running(os.getpid())
    assert running(1)
    assert not running(2147483646)
