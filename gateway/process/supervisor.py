"""Starts the processes, replaces the dead, reloads without a refused connection, and stops in order.

Order of start: keeper (nothing may move unlogged), decoders, workers, queue, console. Order of stop: the reverse.
"""

import asyncio
import contextlib
import logging
import os
import pwd
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway import config as configuration
from gateway.config import Config
from gateway.judging import examples, loading
from gateway.process import lifeline, sockets
from gateway.process.decoders import DecoderError, DecoderPool
from gateway.process.metrics import CHILD_RESTARTS, DECODER_RESTARTS, RELOADS, UP
from gateway.process.service_manager import ServiceManager
from gateway.smtp import shared_answers, shared_limits
from gateway.store import opening

READY_S = 60.0
"""A process that is not ready by then has failed to start."""
STOP_S = 30.0
"""Workers finish their sessions within this; what is left then is cut (the client has had no answer and will try again)."""
BACKOFF_S = (0.2, 1.0, 5.0, 15.0, 30.0)
"""Pauses before starting a process again that keeps dying; the last one repeats."""
STABLE_S = 60.0
"""A process that lived so long starts again at the first pause."""
TROUBLED = 3
"""Deaths in a row after which a process is said to be in trouble: in the log, in /readyz and by sealgate doctor."""
KEEPER_EXITS = {
    65: "the audit log or its keys are damaged; look with: sealgate audit verify 审计日志或密钥损坏",
    75: "another process writes this log; is another sealgate serve running? 另一进程正在写入该日志",
}
"""What the keeper's exit status says (gateway.recording.keeper)."""


class StartFailed(RuntimeError):
    """A process did not start; the text says which and what to do."""


@dataclass(eq=False)
class Child:
    """One process of ours: how to start it, and what became of it."""

    role: str
    argv: tuple[str, ...]
    fds: tuple[int, ...] = ()
    waits_ready: bool = True
    process: asyncio.subprocess.Process | None = None
    deaths: int = 0
    wanted: bool = True
    watcher: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Supervisor:
    """The composition root of a running gateway."""

    def __init__(
        self,
        path: Path,
        config: Config,
        log: logging.Logger,
        manager: ServiceManager,
        kept: Mapping[str, Sequence[socket.socket]] | None = None,
    ) -> None:
        self.manager = manager
        self.kept = kept or {}
        self.path = path
        self.config = config
        self.log = log
        self.run_dir = config.gateway.state_dir / "run"
        self.bound: tuple[sockets.Bound, ...] = ()
        self.workers: list[Child] = []
        self.others: list[Child] = []
        self.keeper: Child | None = None
        self.decoders: DecoderPool | None = None
        self.generation = 0
        self.stopping = asyncio.Event()
        self.reloading = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()
        self.held = -1
        self.trouble = self.run_dir / "trouble"

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Returns the exit status.

        Raises StateInUse, StartFailed, DecoderError, JudgeError and OSError when it can't start; what had started is stopped by then.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn_task(self.reload()))
        self.held = await lifeline.lock(self.config.gateway.state_dir)
        prepare_state(self.config)
        self.bound = sockets.bind_all(self.config.listeners, self.config.gateway.workers, self.kept)
        drop_privileges(self.config.gateway.user, self.config.gateway.state_dir)
        try:
            await opening.settle(self.config)
            await self._start_all()
            UP.set(1)
            for each in self.bound:
                self.log.info("listening", extra={"fields": {"listener": each.name, "address": list(each.address)}})
            self._announce("ready")
            self._keep_sockets(())
            self._let_go()
            await self.stopping.wait()
        finally:
            self._announce("stopping")
            await self._stop_all()
            os.close(self.held)
        return 0

    def _announce(self, state: str) -> None:
        with contextlib.suppress(OSError):  # mail goes without a service manager
            self.manager.announce(state)

    def _keep_sockets(self, old: Sequence[sockets.Bound]) -> None:
        """Have the service manager hold our listening sockets, and no others: nobody would ever accept from those."""
        try:
            for each in old:
                if each not in self.bound:
                    self.manager.keep(each.name, ())
            for each in self.bound:
                if each not in old:
                    self.manager.keep(each.name, [one.fileno() for one in each.sockets])
        except OSError as error:
            self.log.warning("sockets not kept for a restart", extra={"fields": {"error": error.strerror}})

    def _let_go(self) -> None:
        """Of sockets of the run before whose listener is no longer there."""
        for name in set(self.kept) - {each.name for each in self.bound}:
            for kept in self.kept[name]:
                kept.close()
            with contextlib.suppress(OSError):
                self.manager.keep(name, ())

    # -- starting

    async def _start_all(self) -> None:
        """Keeper and decoders come up beside the examples; nobody listens before the examples have come out right."""
        snapshot = self._snapshot(self.config)
        rules = loading.prepare_rules(self.config)
        self.keeper = self._child("keeper", "gateway.recording.keeper", snapshot, waits_ready=False)
        await self._start(self.keeper)
        self.decoders = DecoderPool(
            self.run_dir / "decoder.sock",
            self.config.gateway.decoders,
            rules=rules,
            text=self.config.gateway.attachment_text,
            log=self._decoder_said,
        )
        await self.decoders.start()
        await examples.check(self.config, self.run_dir / "decoder.sock")
        await self._keeper_answers()
        self.workers = [self._worker(slot, snapshot) for slot in range(self.config.gateway.workers)]
        self.others = self._beside(snapshot)
        # All are waited for, so that none is being started while what has started is stopped again.
        children = (*self.workers, *self.others)
        results = await asyncio.gather(*(self._start(child) for child in children), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _beside(self, snapshot: Path) -> list[Child]:
        """The processes beside the workers."""
        return [
            self._child("queue", "gateway.custody.queue", snapshot, waits_ready=False),
            self._child("console", "gateway.process.console", snapshot),
        ]

    def _decoder_said(self, line: str) -> None:
        if line.startswith("decoder "):
            DECODER_RESTARTS.inc()
        self.log.warning("decoders", extra={"fields": {"said": line}})

    def _worker(self, slot: int, snapshot: Path) -> Child:
        pairs = [(each.name, each.sockets[slot].fileno()) for each in self.bound]
        arguments = [f"--listener={name}={fd}" for name, fd in pairs]
        return self._child(
            "worker", "gateway.process.worker", snapshot, f"--slot={slot}", *arguments, fds=[fd for _, fd in pairs]
        )

    def _child(
        self, role: str, module: str, snapshot: Path, *more: str, fds: Sequence[int] = (), waits_ready: bool = True
    ) -> Child:
        argv = (sys.executable, "-m", module, "--config", str(snapshot), *more)
        return Child(role, argv, tuple(fds), waits_ready)

    async def _start(self, child: Child) -> None:
        """Start a process, wait until it says it is ready, and keep it. Raises StartFailed."""
        await self._launch(child)
        child.watcher = self._spawn_task(self._keep(child))

    async def _launch(self, child: Child) -> None:
        """One life of a process, up to its being ready. Raises StartFailed, and then it is dead."""
        read_end, write_end = os.pipe()
        argv = (*child.argv, f"--ready-fd={write_end}") if child.waits_ready else child.argv
        try:
            child.process = await asyncio.create_subprocess_exec(
                *argv,
                pass_fds=(*child.fds, write_end, self.held),
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            os.close(read_end)
            raise StartFailed(f"{child.role}: {error}") from error
        finally:
            os.close(write_end)
        try:
            if child.waits_ready and not await _told_ready(read_end):
                _signal(child, signal.SIGKILL)
                status = await child.process.wait()
                raise StartFailed(
                    f"{child.role} did not start (exit status {status}); its last log lines say why, see also: sealgate doctor "
                    f"{child.role} 进程未能启动，原因见其日志，也可运行 sealgate doctor"
                )
        finally:
            os.close(read_end)
        self.log.info("started", extra={"fields": {"child": child.role, "child_pid": child.process.pid}})

    async def _keeper_answers(self) -> None:
        """Wait until the keeper's socket takes connections: it may be replaying the journal. Raises StartFailed if it has ended."""
        path = str(self.run_dir / "keeper.sock")
        end = asyncio.get_running_loop().time() + READY_S
        while asyncio.get_running_loop().time() < end and not self.stopping.is_set():
            status = self.keeper.process.returncode if self.keeper and self.keeper.process else None
            if status is not None:
                why = KEEPER_EXITS.get(status, "its last log line says why 原因见其最后一行日志")
                raise StartFailed(f"keeper ended with {status}: {why}")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_unix_connection(path)
                writer.close()
                return
            await asyncio.sleep(0.02)
        self.log.error(
            "keeper not ready: mail gets 451 until it is", extra={"fields": {"see": "sealgate audit verify"}}
        )

    def _environment(self) -> dict[str, str]:
        """What a child may know of ours: no secrets stand in an environment."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if key in ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "PYTHONPATH")
        }
        # Large mail is read in threads; by default each thread would keep an arena of its own with what it once needed.
        # What one message freed stays for the next, up to 16 MB, instead of being faulted in page by page again.
        kept_free = {"MALLOC_TRIM_THRESHOLD_": "16777216", "MALLOC_MMAP_THRESHOLD_": "8388608"}
        ours = {"MALLOC_ARENA_MAX": "2", **kept_free, "PROMETHEUS_MULTIPROC_DIR": str(self.run_dir / "metrics")}
        return {**kept, "PYTHONUTF8": "1", **ours}

    def _snapshot(self, config: Config) -> Path:
        """What was validated, as the children will read it. A crash here leaves the old snapshot in use: the new one has a new name."""
        self.generation += 1
        path = self.run_dir / f"config-{os.getpid()}-{self.generation}.json"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(
                configuration.snapshot(
                    loading.keep_files(config, self.run_dir / f"policies-{os.getpid()}-{self.generation}")
                )
            )
        return path

    # -- watching

    def _spawn_task(self, work: "asyncio.Future[None] | object") -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _keep(self, child: Child) -> None:
        """Start a dead process again, with growing pauses, for as long as it is wanted. An orderly exit nobody asked for is a death too."""
        loop = asyncio.get_running_loop()
        while True:
            assert child.process is not None
            began = loop.time()
            recovered = loop.call_later(STABLE_S, self._well, child)
            status = await child.process.wait()
            recovered.cancel()
            while child.wanted and not self.stopping.is_set():
                child.deaths = 1 if loop.time() - began > STABLE_S else child.deaths + 1
                pause = BACKOFF_S[min(child.deaths, len(BACKOFF_S)) - 1]
                self._died(child, status, pause)
                await asyncio.sleep(pause)
                if not child.wanted or self.stopping.is_set():
                    return
                began = loop.time()
                try:
                    await self._launch(child)
                    break
                except StartFailed:
                    status = child.process.returncode if child.process.returncode is not None else -1
            else:
                return

    def _died(self, child: Child, status: int, pause: float) -> None:
        CHILD_RESTARTS.labels(child.role).inc()
        self.log.error("died", extra={"fields": {"child": child.role, "status": status, "again_in_s": pause}})
        if child.deaths < TROUBLED:
            return
        self.trouble.mkdir(mode=0o700, exist_ok=True)
        (self.trouble / child.role).write_text(
            f"{child.deaths} deaths in a row, the last with status {status}\n", "utf-8"
        )
        what = f"{child.role} keeps dying and its work is not done {child.role} 反复退出，其工作已停顿"
        fields = {"child": child.role, "deaths": child.deaths, "status": status, "see": "sealgate doctor"}
        self.log.critical(what, extra={"fields": fields})

    def _well(self, child: Child) -> None:
        (self.trouble / child.role).unlink(missing_ok=True)

    # -- reloading

    async def reload(self) -> None:
        """SIGHUP: everything new is checked first; one error and everything stays as it was."""
        async with self.reloading:
            try:
                config = configuration.load(self.path)
                if config.store != self.config.store:  # mail that waits would be out of sight: serve looks for it first
                    raise RuntimeError(
                        "[store] has changed: restart instead of reload 存储设置已变，请重启而非重新加载"
                    )
                if (
                    config.gateway.state_dir != self.config.gateway.state_dir
                ):  # the keeper, and all mail, stay in the one we hold
                    raise RuntimeError(
                        "gateway.state_dir has changed: restart instead of reload 状态目录已变，请重启而非重新加载"
                    )
                await examples.check(config)
                await self._replace(config)
            except (configuration.ConfigError, loading.JudgeError, DecoderError, OSError, RuntimeError) as error:
                RELOADS.labels("refused").inc()
                self.log.error(
                    "reload refused, the old configuration stays 新配置有误，继续使用旧配置",
                    extra={"fields": {"why": str(error)}},
                )
                self._announce("reload-refused")
                return
            RELOADS.labels("done").inc()
            self.log.info("reloaded 已重新加载")
            self._announce("reloaded")

    async def _replace(self, config: Config) -> None:
        old_config, old_bound, old_workers = self.config, self.bound, self.workers
        self.config = config
        try:
            self.bound = self._rebind(config, old_bound)
            snapshot = self._snapshot(config)
            assert self.decoders is not None
            await self.decoders.replace(loading.prepare_rules(config))
            new = [self._worker(slot, snapshot) for slot in range(config.gateway.workers)]
            results = await asyncio.gather(*(self._start(child) for child in new), return_exceptions=True)
            if any(isinstance(result, BaseException) for result in results):
                await self._stop(new)
                raise RuntimeError("a new worker did not start")
        except (OSError, RuntimeError):
            self.config, self.bound = old_config, old_bound
            raise
        self.workers = new
        self._keep_sockets(old_bound)
        await self._stop(old_workers)
        for each in old_bound:
            if each not in self.bound:
                each.close()
        await self._stop(self.others)
        self.others = self._beside(snapshot)
        await asyncio.gather(*(self._start(child) for child in self.others))

    def _rebind(self, config: Config, old: tuple[sockets.Bound, ...]) -> tuple[sockets.Bound, ...]:
        """Sockets that stay are kept, with their waiting connections; only new ones are bound."""
        kept = {(each.name, each.bind): each for each in old if len(each.sockets) == config.gateway.workers}
        fresh = [listener for listener in config.listeners if (listener.name, listener.bind) not in kept]
        made = {each.name: each for each in sockets.bind_all(fresh, config.gateway.workers)}
        return tuple(kept.get((listener.name, listener.bind)) or made[listener.name] for listener in config.listeners)

    # -- stopping

    async def _stop_all(self) -> None:
        await self._stop(self.workers)
        await self._stop(self.others)
        if self.decoders:
            await self.decoders.stop()
        if self.keeper:
            await self._stop([self.keeper])
        for each in self.bound:
            each.close()
        for task in tuple(self.tasks):
            task.cancel()

    async def _stop(self, children: Sequence[Child]) -> None:
        for child in children:
            child.wanted = False
            _signal(child, signal.SIGTERM)
        waits = [child.process.wait() for child in children if child.process]
        if waits:
            try:
                async with asyncio.timeout(STOP_S):
                    await asyncio.gather(*waits)
            except TimeoutError:
                for child in children:
                    _signal(child, signal.SIGKILL)


def _signal(child: Child, number: signal.Signals) -> None:
    """By pid: ``send_signal`` of the library polls first, and would take the exit status away from who waits for it."""
    if child.process and child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.process.pid, number)


async def _told_ready(read_end: int) -> bool:
    """True once the child has written a byte; False if it closed the pipe (died) or READY_S passed."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        if not told.done():
            told.set_result(bool(os.read(read_end, 1)))

    loop.add_reader(read_end, readable)
    try:
        async with asyncio.timeout(READY_S):
            return await told
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(read_end)


def prepare_state(config: Config) -> None:
    """Make the state folder for its owner alone; what a former run left in ``run`` is of no use to anyone."""
    state = config.gateway.state_dir
    for name in ("", "audit", "custody", "keys", "run", "spool"):
        (state / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        if (
            state / name
        ).stat().st_uid == os.geteuid():  # a command that came first made it with the folders above another one
            (state / name).chmod(0o700)
    for left in (state / "run").glob("config-*.json"):
        left.unlink(missing_ok=True)
    for folder in (state / "run").glob("policies-*"):
        shutil.rmtree(folder, ignore_errors=True)
    shared_limits.create(state / "run" / "limits", os.urandom(shared_limits.SALT_BYTES))
    shared_answers.prepare(state / "run" / "answered", os.urandom(shared_answers.KEY_BYTES))
    shutil.rmtree(state / "run" / "trouble", ignore_errors=True)
    (state / "run" / "metrics").mkdir(mode=0o700, exist_ok=True)
    for left in (state / "run" / "metrics").glob("*.db"):
        if not left.stem.endswith(f"_{os.getpid()}"):  # ours are open already
            left.unlink(missing_ok=True)


def drop_privileges(user: str, state: Path) -> None:
    """Become ``user`` for good. Raises PermissionError or KeyError; without a name we stay who we are."""
    if not user or os.geteuid() != 0:
        return
    account = pwd.getpwnam(user)
    for root, folders, files in os.walk(state):
        for name in (".", *folders, *files):
            os.chown(Path(root) / name, account.pw_uid, account.pw_gid, follow_symlinks=False)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
