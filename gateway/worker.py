"""One SMTP worker: the composition root that builds every part and hands the listeners their sockets."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from audit.event import new_id
from gateway import config as configuration
from gateway import loading, logs, pipeline
from gateway.config import Config, Listener
from gateway.context.gather import Gatherer
from gateway.custody import Custody
from gateway.hops import Hops
from gateway.owners import Owner
from gateway.recorder import SocketRecorder
from gateway.routes import Routes
from gateway.smtp.answered import Answered
from gateway.smtp.limits import WorkerLimits
from gateway.smtp.parameters import Capabilities
from gateway.smtp.pool import Pool
from gateway.smtp.server import Server
from gateway.smtp.users import UsersFile
from gateway.store.blobs import FolderBlobs
from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.sealing import load_key
from gateway.treatments.sign import Signer, load_signer
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonTable
from scanners.attachments.yara import compile_rules
from scanners.resolver import CachingResolver

STOP_S = 25.0
"""Messages whose data has ended are finished within this; below the supervisor's own patience."""


def ids() -> str:
    """A ULID of now."""
    return new_id(time.time_ns() // 1_000_000, os.urandom(10))


def now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def offered(config: Config, hops: Hops, pool: Pool) -> Callable[[], Capabilities]:
    """SMTPUTF8, DSN and SIZE only as far as every route's last seen EHLO goes (architecture section 4)."""
    fixed = [hops(route) for route in config.routes if not route.to.startswith("mx:")]

    def capabilities() -> Capabilities:
        seen = [found for hop in fixed if (found := pool.capabilities(hop)) is not None]
        sizes = [each.size for each in seen if each.size]
        return Capabilities(all(each.smtputf8 for each in seen), all(each.dsn for each in seen), min(sizes, default=0))

    return capabilities


def signer_of(config: Config) -> Signer | None:
    """The DKIM signer of what leaves, if one is configured. Raises KeyUnusable."""
    if not config.dkim.domain or config.dkim.key_file is None:
        return None
    return load_signer(config.dkim.domain, config.dkim.selector, config.dkim.key_file)


def listener_tls(listener: Listener) -> ssl.SSLContext | None:
    """TLS 1.2 and up with the listener's certificate. Raises OSError or ssl.SSLError."""
    if not listener.tls.cert_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(listener.tls.cert_file, listener.tls.key_file)
    return context


async def serve(
    config: Config, slot: int, descriptors: dict[str, int], ready: Callable[[], None], log: logging.Logger
) -> None:
    """Build, say that we are ready, serve until SIGTERM, finish."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    state = config.gateway.state_dir
    async with contextlib.AsyncExitStack() as stack:
        resolver = CachingResolver(config.dns.servers, config.dns.timeout_s, time.monotonic)
        stack.push_async_callback(resolver.close)
        poison = PoisonTable(state / "run" / "poison")
        stack.callback(poison.close)
        opener = AttachmentOpener(
            state / "run" / "decoder.sock",
            compile_rules(loading.yara_source(config)).version,
            Cache(config.gateway.attachment_cache_mb * 1_000_000),
            poison,
        )
        recorder = SocketRecorder(state / "run" / "keeper.sock", f"worker-{slot}", time.monotonic)
        await recorder.open()
        stack.push_async_callback(recorder.close)
        store = await SqlStore.open(sqlite_engine(state / "state.db"), load_key(state / "keys" / "store.key"))
        stack.push_async_callback(store.close)
        owner = Owner(state / "run" / "owners", ids())
        stack.callback(owner.close)
        custody = Custody(store, FolderBlobs(state / "custody"), recorder, clock=now, ids=ids, owner=owner.name)
        pool = Pool(hostname=config.gateway.hostname, clock=time.monotonic, resolver=resolver)
        stack.push_async_callback(pool.close)
        hops = Hops()
        parts = pipeline.Parts(
            config=config,
            judge=loading.build(config, resolver, opener),
            recorder=recorder,
            pool=pool,
            custody=custody,
            routes=Routes.of(config.routes),
            hops=hops,
            gather=Gatherer.of(config, lambda: datetime.now().astimezone()),
            attempt_soon=lambda taken: None,
            clock=time.monotonic,
            now=now,
            ids=ids,
            log=log,
            signer=signer_of(config),
        )
        receiver = pipeline.Pipeline(parts)
        limits, answered = WorkerLimits.of(config.limits, time.monotonic), Answered(time.monotonic)
        capabilities = offered(config, hops, pool)
        servers = [
            Server(
                config,
                listener,
                receiver,
                clock=time.monotonic,
                now=now,
                ids=ids,
                limits=limits,
                answered=answered,
                log=log,
                capabilities=capabilities,
                tls=listener_tls(listener),
                users=UsersFile(config.auth.users_file) if config.auth.users_file else None,
            )
            for listener in config.listeners
        ]
        for server, listener in zip(servers, config.listeners, strict=True):
            await server.start(socket.socket(fileno=descriptors[listener.name]))
        ready()
        await stopping.wait()
        await asyncio.gather(*(server.stop(STOP_S) for server in servers))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the process that the supervisor starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--listener", action="append", default=[], metavar="NAME=FD")
    parser.add_argument("--ready-fd", type=int, default=-1)
    arguments = parser.parse_args(argv)
    log = logs.start("worker")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = configuration.load(arguments.config)
    descriptors = {name: int(fd) for name, _, fd in (each.rpartition("=") for each in arguments.listener)}

    def ready() -> None:
        if arguments.ready_fd >= 0:
            os.write(arguments.ready_fd, b"1")
            os.close(arguments.ready_fd)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(config, arguments.slot, descriptors, ready, log))
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
