"""sealgate serve: run the gateway."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from gateway import config as configuration


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run the gateway 启动网关",
        description="Run the gateway until SIGTERM. SIGHUP reloads; with an error in the new files the old ones stay in use.\n"
        "运行网关，直到收到 SIGTERM。SIGHUP 重新加载；新配置有误时继续使用旧配置。",
        epilog="example 示例:  sealgate serve --config /etc/sealgate/sealgate.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve. Exit status 0: stopped in order; 1: could not start; 2: the configuration or the rules are wrong."""
    config = configuration.load(arguments.config)
    # The metrics library looks at this when it is first imported, which the supervisor does.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder(config.gateway.state_dir))
    from gateway.judging import loading
    from gateway.process import lifeline, logs
    from gateway.process.decoders import DecoderError
    from gateway.process.service_manager import ServiceManager, handed_over
    from gateway.process.supervisor import StartFailed, Supervisor
    from gateway.store.errors import StoreUnavailable
    from gateway.store.whereabouts import LeftBehind

    log = logs.start("supervisor")
    manager = ServiceManager(os.environ.get("NOTIFY_SOCKET", ""))
    kept = handed_over(os.environ, os.getpid())
    try:
        return asyncio.run(Supervisor(arguments.config, config, log, manager, kept).run())
    except LeftBehind as error:
        print(f"cannot start 无法启动: {error}", file=sys.stderr)
        return 2
    except (lifeline.StateInUse, StartFailed, DecoderError, StoreUnavailable, OSError) as error:
        print(f"cannot start 无法启动: {error}", file=sys.stderr)
        return 1
    except (loading.JudgeError, KeyError) as error:
        print(f"cannot start 无法启动: {error}", file=sys.stderr)
        return 2


def metrics_folder(state: Path) -> Path:
    """Where all processes count; made before the first of them does. Raises OSError."""
    folder = state / "run" / "metrics"
    state.parent.mkdir(parents=True, exist_ok=True)
    for each in (state, state / "run", folder):  # parents=True would make those above for everybody to look into
        each.mkdir(mode=0o700, exist_ok=True)
    return folder
