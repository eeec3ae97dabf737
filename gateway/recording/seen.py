"""What the log kept of a message's findings, masked, for people who have to answer for it."""

from collections.abc import Sequence
from typing import Any

from audit.log import LogDamaged
from audit.reader import LogView, collect
from audit.spread import joined
from gateway.config import Config
from gateway.recording.intents import DECIDED
from gateway.recording.keeper import paths
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from policies.codes import covers
from scanners.registry import CATALOGUE

MAX_LINES = 20
"""Findings shown; sealgate trace shows all."""


def findings(config: Config, message_id: str) -> list[str]:
    """A line for each finding, with its masked evidence where the keeper runs; why not, where it can't be said."""
    where = paths(config.gateway.state_dir)
    try:
        view = LogView.open(where.audit)
        events = collect(view, message_id)
        decided = [event for event in events if event.text("type") == DECIDED]
        if not decided:
            return []
        parts = [event for event in events if event.text("type") == "message.part"]
        record = joined(decided[0].record, [part.record for part in parts])
        excerpt = ""
        with KeeperClient(where.socket) as keeper:
            for one in keeper.masked(view.identity.origin, [event.line for event in (decided[0], *parts)], []):
                excerpt = one.get("excerpt") or excerpt
    except (FileNotFoundError, LogDamaged):
        return ["the log cannot be read 无法读取日志"]
    except (KeeperUnavailable, OSError):
        excerpt = ""
    return lines(record.get("findings") or [], excerpt)


def lines(found: Sequence[Any], excerpt: str) -> list[str]:
    """Each finding in both languages; ``excerpt`` has one line for each, ``code part about masked``."""
    masked: dict[str, str] = {}
    for line in excerpt.split("\n"):
        code, _, rest = line.partition(" ")
        words = rest.partition(" ")[2].strip()
        if words:
            masked.setdefault(code, words)
    said = [_line(one, masked) for one in found if isinstance(one, dict)]
    more = len(said) - MAX_LINES
    return [*said[:MAX_LINES], *([f"… {more} more 另有 {more} 项: sealgate trace"] if more > 0 else [])]


def _line(one: dict[str, Any], masked: dict[str, str]) -> str:
    code = str(one.get("code", ""))
    title = next((f"{each.zh} / {each.en}" for each in CATALOGUE if covers(each.code, code)), "")
    where = f", part 部分 {one['part']}" if one.get("part") else ""
    about = masked.get(code) or str(one.get("about", ""))
    return f"{code}  ×{one.get('count', 1)}{where}  {about}   {title}".rstrip()
