"""A whole Judge for a command that runs once: its own decoders in a temporary folder, away from a running gateway."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import Config
from gateway.judging import loading
from gateway.judging.judge import Judge
from gateway.process.decoders import DecoderPool
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonMemory
from scanners.attachments.yara import compile_rules
from scanners.resolver import Resolver

OPENING_S = 60.0
"""For the attachments of one mail: nobody waits at the other end of a session, and the machine may be busy."""


@asynccontextmanager
async def judge_here(config: Config, resolver: Resolver | None) -> AsyncIterator[Judge]:
    """The judge of ``config``; mail that is tried out is opened by sandboxed decoders too. Raises JudgeError, DecoderError."""
    rules = compile_rules(loading.yara_source(config))
    with tempfile.TemporaryDirectory(prefix="sealgate-") as folder:
        pool = DecoderPool(
            Path(folder) / "decoder.sock", 1, rules.save(Path(folder)), text=config.gateway.attachment_text
        )
        await pool.start()
        try:
            socket = Path(folder) / "decoder.sock"
            opener = AttachmentOpener(socket, rules.version, Cache(0), PoisonMemory({}), OPENING_S)
            yield loading.build(config, resolver, opener)
        finally:
            await pool.stop()
