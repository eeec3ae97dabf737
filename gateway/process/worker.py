"""One SMTP worker: the composition root that builds every part and hands the listeners their sockets."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway import config as configuration
from gateway import pipeline
from gateway.config import Config
from gateway.context.gather import Gatherer
from gateway.custody.courier import Courier
from gateway.custody.desk import Desk, ids, noting, now, open_desk, outward, remembering, retries, signer
from gateway.custody.rejudging import rejudger
from gateway.custody.release import Releaser
from gateway.hops import Hops
from gateway.judging import loading
from gateway.judging.judge import Judge
from gateway.pipeline import Pipeline
from gateway.process import lifeline, logs
from gateway.process.chores import Chore, doing
from gateway.recording.sessions import SessionLog
from gateway.smtp.limits import WorkerLimits
from gateway.smtp.parameters import Capabilities
from gateway.smtp.parts import Parts
from gateway.smtp.pool import Pool
from gateway.smtp.server import Server, server_context
from gateway.smtp.shared_answers import SharedAnswered
from gateway.smtp.shared_limits import SharedClientLimits
from gateway.smtp.users import UsersFile
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonTable
from scanners.attachments.yara import compile_rules
from scanners.resolver import CachingResolver

SWITCH_S = 0.0005
"""Longest turn of a thread while the loop waits for the interpreter: large mail is read in threads, and small mail beside it has about
eight turns of the loop, each of which would wait for 5 ms by default."""
STOP_S = 20.0
"""Messages whose data has ended are finished within this; with the seconds given to those before it, below the supervisor's patience."""

GARBAGE_AT = 20_000
"""New objects before cycles are looked for (700 by default). Walking all rules and tables now and then cost no CPU to speak of, but
halted everything meanwhile: without it p99 of small mail fell from 81-104 ms to 39-67 in pairs of runs. Some MB at most wait for it."""
SESSIONS_S = 5.0
"""Logins are in the log within seconds, refusals once their minute is over."""


def offered(config: Config, hops: Hops, pool: Pool) -> Callable[[], Capabilities]:
    """SMTPUTF8, DSN and SIZE only as far as every route's last seen EHLO goes (architecture section 4)."""
    fixed = [hops(route) for route in config.routes if not route.to.startswith("mx:")]

    def capabilities() -> Capabilities:
        seen = [found for hop in fixed if (found := pool.capabilities(hop)) is not None]
        sizes = [each.size for each in seen if each.size]
        return Capabilities(all(each.smtputf8 for each in seen), all(each.dsn for each in seen), min(sizes, default=0))

    return capabilities


@dataclass(frozen=True, slots=True)
class House:
    """What a worker is made of; each part is closed by the stack it was built on."""

    config: Config
    log: logging.Logger
    desk: Desk
    judge: Judge
    gather: Gatherer
    pool: Pool
    hops: Hops


async def build(config: Config, slot: int, log: logging.Logger, stack: contextlib.AsyncExitStack) -> House:
    """Judge, desk and pool. Raises as they do: a worker without one of them doesn't start."""
    resolver = CachingResolver(config.dns.servers, config.dns.timeout_s, time.monotonic)
    stack.push_async_callback(resolver.close)
    poison = PoisonTable(config.gateway.state_dir / "run" / "poison")
    stack.callback(poison.close)
    opener = AttachmentOpener(
        config.gateway.state_dir / "run" / "decoder.sock",
        compile_rules(loading.yara_source(config)).version,
        Cache(config.gateway.attachment_cache_mb * 1_000_000),
        poison,
    )
    judge = loading.build(config, resolver, opener)
    desk = await stack.enter_async_context(open_desk(config, f"worker-{slot}"))
    gather = Gatherer.of(config, lambda: datetime.now().astimezone(), desk.memory.correspondents)
    pool = Pool(hostname=config.gateway.hostname, clock=time.monotonic, resolver=resolver)
    stack.push_async_callback(pool.close)
    return House(config, log, desk, judge, gather, pool, Hops())


def pipeline_of(house: House, stack: contextlib.AsyncExitStack) -> Pipeline:
    """The receiver behind every listener; what it keeps is carried on by a courier of its own."""
    config, desk, judge = house.config, house.desk, house.judge
    carrier = noting(house.pool, desk.memory)
    monitor = config.gateway.mode == "monitor"
    rejudge = rejudger(judge, house.gather, time.monotonic, config.gateway.local_domains, monitor=monitor)
    releaser = Releaser(desk.custody, rejudge, desk.routes, judge.version)
    way = outward(config, carrier, desk.routes, house.hops)
    courier = Courier(desk.custody, way, desk.notices, retries(config), releaser, house.log)
    stack.push_async_callback(courier.drain)
    parts = pipeline.Parts(
        config=config,
        judge=judge,
        recorder=desk.recorder,
        pool=carrier,
        custody=desk.custody,
        routes=desk.routes,
        hops=house.hops,
        gather=house.gather,
        attempt_soon=courier.attempt_soon,
        clock=time.monotonic,
        now=now,
        ids=ids,
        log=house.log,
        signer=signer(config),
        aggregates=desk.memory.aggregates,
    )
    return Pipeline(parts)


def servers_of(
    house: House, receiver: Pipeline, sessions: SessionLog, stack: contextlib.AsyncExitStack
) -> list[Server]:
    """A server for each listener, counting its clients in the node's table."""
    config = house.config
    clients = SharedClientLimits(
        config.gateway.state_dir / "run" / "limits",
        config.limits.connections_per_client,
        config.limits.messages_per_minute,
        time.monotonic,
        config.limits.refusals_per_client,
    )
    stack.callback(clients.close)
    parts = Parts(
        config=config,
        receiver=receiver,
        clock=time.monotonic,
        now=now,
        ids=ids,
        limits=WorkerLimits.of(config.limits, time.monotonic, clients),
        answered=SharedAnswered(config.gateway.state_dir / "run" / "answered", time.monotonic, time.time),
        log=house.log,
        capabilities=offered(config, house.hops, house.pool),
        users=UsersFile(config.auth.users_file) if config.auth.users_file else None,
        watch=sessions,
        room=lambda: house.desk.recorder.room,
    )
    return [Server(parts, listener, server_context(listener.tls)) for listener in config.listeners]


def settle() -> None:
    """What was made to stay (rules, tables, modules) is no longer walked when garbage is looked for, and that is looked for less often.

    Hardly anything of ours is in cycles: what a message makes goes with its last reference.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AT)


async def serve(
    config: Config, slot: int, descriptors: dict[str, int], ready: Callable[[], None], log: logging.Logger
) -> None:
    """Build, say that we are ready, serve until SIGTERM, finish."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        house = await build(config, slot, log, stack)
        receiver = pipeline_of(house, stack)
        sessions = SessionLog(house.desk.recorder, now, ids, log)
        stack.push_async_callback(sessions.close)
        servers = servers_of(house, receiver, sessions, stack)
        for server in servers:
            await server.start(socket.socket(fileno=descriptors[server.listener.name]))
        chores = (Chore("sessions", SESSIONS_S, sessions.flush), *remembering(house.desk.memory))
        await stack.enter_async_context(doing(chores, log))
        settle()
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
    lifeline.end_with_parent()
    log = logs.start("worker")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_S)
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
