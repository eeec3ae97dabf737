"""The keeper process: the only writer of the audit log, and the only one that can open what is sealed.

Started as ``python -m gateway.recording.keeper --config FILE``. It holds the signing key, the key-encryption key and the key trees; workers
talk to it over ``run/keeper.sock`` (gateway.recording.keeper_protocol).
"""

import argparse
import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audit.event import timestamp
from audit.keystore import KeyStore, KeysUnreadable
from audit.log import RESERVE_BYTES, Log, LogDamaged, LogLocked, load_identity
from audit.shard import BEGUN
from audit.signer import Signer, load_secret
from gateway import config as configuration
from gateway.config import Config
from gateway.process import lifeline, logs
from gateway.recording.keeper_connection import Connection
from gateway.recording.keeper_verbs import handle
from gateway.recording.keeping import Keeper, Surroundings

PUBLISH_S = 1.0
"""How far the public tiles may lag behind the journal."""
SWITCH_S = 0.001
"""Longest turn of one thread while another waits for the interpreter: the loop, the commit and the publication share it."""
EXIT_DAMAGED, EXIT_FAILED, EXIT_LOCKED = 65, 70, 75


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the log and its keys lie in a state directory."""

    audit: Path
    erasable: Path
    kek: Path
    signing: Path
    socket: Path


def paths(state_dir: Path) -> Paths:
    """The fixed layout. The key-encryption key lies outside the folder of what it wraps."""
    keys = state_dir / "keys"
    return Paths(
        state_dir / "audit",
        state_dir / "audit" / "keys" / "erasable.db",
        keys / "kek",
        keys / "log.key",
        state_dir / "run" / "keeper.sock",
    )


def open_signer(where: Paths, hostname: str, random: Callable[[int], bytes]) -> Signer:
    """The log's key under the log's name; a new key only for a new log. Raises FileNotFoundError, ValueError, LogDamaged."""
    try:
        origin, fresh = load_identity(where.audit).origin, None
    except FileNotFoundError:
        origin, fresh = f"{hostname}/audit", random(32)
    return Signer(origin, load_secret(where.signing, fresh))


async def serve(
    config: Config,
    log: logging.Logger,
    surroundings: Surroundings,
    stopping: asyncio.Event,
    reserve_bytes: int = RESERVE_BYTES,
    publish_s: float = PUBLISH_S,
) -> None:
    """Keep the log until ``stopping``. Raises LogDamaged, LogLocked, KeysUnreadable, OSError, ValueError."""
    where = paths(config.gateway.state_dir)
    if (config.gateway.state_dir / BEGUN).exists():
        raise LogDamaged("a new log was begun, but not finished 新日志尚未完成")
    signer = open_signer(where, config.gateway.hostname, surroundings.random)
    book = Log.open(where.audit, signer, timestamp(surroundings.now()), reserve_bytes=reserve_bytes)
    try:
        store = KeyStore(where.erasable, where.kek, surroundings.random)
        try:
            keeper = Keeper(book, store, config.gateway.hostname, surroundings, log)
            keeper.start()
            numbers = itertools.count(1)
            server = await asyncio.get_running_loop().create_unix_server(
                lambda: Connection(keeper, next(numbers), handle), sock=_bind(where.socket)
            )
            try:
                while not stopping.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(publish_s):
                            await stopping.wait()
                    await keeper.tick()
            finally:
                server.close()
                await keeper.stop()
        finally:
            store.close()
    finally:
        book.close()


def _bind(path: Path) -> socket.socket:
    """The socket, for its owner only. Only the holder of the log's lock comes here, so an old one is nobody's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    listening.setblocking(False)
    return listening


async def _process(config: Config, log: logging.Logger) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Nothing of ours changes on reload; the supervisor sends it to the whole group.
    loop.add_signal_handler(signal.SIGHUP, lambda: log.info("reload: nothing to do"))

    def die() -> None:
        os._exit(EXIT_FAILED)  # nobody may be told anything more, and no destructor may write

    surroundings = Surroundings(lambda: datetime.now(UTC), time.monotonic, os.urandom, die)
    await serve(config, log, surroundings, stopping)


def main(argv: Sequence[str] | None = None) -> int:
    """Composition root of the keeper process."""
    parser = argparse.ArgumentParser(
        prog="gateway.recording.keeper", description="Sealgate 审计日志进程 / audit log writer"
    )
    parser.add_argument("--config", required=True, type=Path)
    arguments = parser.parse_args(argv)
    lifeline.end_with_parent()
    log = logs.start("keeper")
    sys.setswitchinterval(SWITCH_S)
    os.umask(0o077)
    try:
        config = configuration.load(arguments.config)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_process(config, log))
    except (LogDamaged, KeysUnreadable) as error:
        log.critical("refused to start", extra={"fields": {"why": str(error)}})
        return EXIT_DAMAGED
    except LogLocked as error:
        log.critical("refused to start", extra={"fields": {"why": str(error)}})
        return EXIT_LOCKED
    except (configuration.ConfigError, OSError, ValueError) as error:
        log.critical("refused to start", extra={"fields": {"why": str(error)}})
        return 2
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on this platform: the standard loop does
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
