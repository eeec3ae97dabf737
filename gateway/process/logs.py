"""Structured logs: one JSON line per record on standard error, with no personal data in them."""

import contextlib
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.terminal import harmless


class JsonLines(logging.Formatter):
    """Time in UTC, level, process role, message and the fields given as ``extra={"fields": {...}}``."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self.role,
            "pid": record.process,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0]:
            # Only the kind and the place: an exception's text may quote mail.
            trace = record.exc_info[2]
            while trace and trace.tb_next:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
            line["error"] = {"type": record.exc_info[0].__name__, "at": where}
        return harmless(json.dumps(line, ensure_ascii=False, default=str))


def start(role: str) -> logging.Logger:
    """Set up logging for a process, and its name in process lists; called once by each composition root."""
    with contextlib.suppress(OSError):  # not Linux: the name stays python
        Path("/proc/self/comm").write_text(f"sg-{role}"[:15], encoding="ascii")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    return logging.getLogger("sealgate")
