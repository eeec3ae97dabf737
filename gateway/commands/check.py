"""sealgate check: is the configuration right, and do all rules pass their own examples."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from gateway import config as configuration
from gateway.checkup.check import Health
from gateway.checkup.ports import check_certificate
from gateway.judging import examples, loading


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="say what is wrong with the configuration 检查配置",
        description="Read the configuration and all policies and run every rule's examples; change nothing.\n"
        "读取配置与全部策略，运行每条规则自带的示例；不作任何更改。",
        epilog="example 示例:  sealgate check --config sealgate.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: fine; 2: each problem on a line of its own."""
    config = configuration.load(arguments.config)
    try:
        version = asyncio.run(examples.check(config))
    except loading.JudgeError as error:
        print(error, file=sys.stderr)
        return 2
    unusable = [
        check
        for listener in config.listeners
        if listener.tls.cert_file
        and (check := check_certificate(config, listener, datetime.now(UTC))).health is Health.WRONG
    ]
    for check in unusable:
        print(f"{arguments.config}: {check.subject}: {check.zh} / {check.en}\n    → {check.advice}", file=sys.stderr)
    if unusable:
        return 2
    for listener in config.listeners:
        print(
            f"listener {listener.name}: {listener.direction} on {listener.bind}, TLS {'on' if listener.tls.cert_file else 'off'}"
        )
    print(f"configuration and policies are good 配置与策略均正确; judge {version}")
    return 0
