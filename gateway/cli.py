"""The sealgate program: the explicit list of its subcommands."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO, cast

from gateway import usage
from gateway.config import ConfigError
from gateway.terminal import Harmless
from gateway.usage import Usage

COMMANDS = (
    "serve",
    "init",
    "check",
    "doctor",
    "demo",
    "policy",
    "explain",
    "auth",
    "held",
    "queue",
    "find",
    "trace",
    "audit",
    "operator",
    "user",
)
"""In the order of --help; each is gateway/commands/NAME.py with add(subparsers) and run(arguments)."""

EPILOG = """examples 示例:
  sealgate init --config sealgate.toml          write a configuration to start from 生成初始配置
  sealgate check --config sealgate.toml         say what is wrong with it 检查配置
  sealgate serve --config sealgate.toml         run the gateway 启动网关
  sealgate held list --config sealgate.toml     what waits for a decision 查看待审批邮件
  sealgate demo                                 see it work, in a minute 演示
"""


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The program's arguments. ``only`` loads that one command: the others' libraries are not needed to run it."""
    made = Usage(
        prog="sealgate",
        description="Sealgate 信关: mail security and compliance gateway 邮件安全与合规网关",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS if only is None else (only,):
        import_module(f"gateway.commands.{name}").add(subparsers)
        _explain_verbs(subparsers.choices[name])
    return made


def _explain_verbs(command: argparse.ArgumentParser) -> None:
    """Give each verb's own --help its sentence, and the examples of its command that show it."""
    for action in command._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        sentences = {each.dest: each.help or "" for each in action._choices_actions}
        for verb, parser in action.choices.items():
            shown = [line.strip() for line in (command.epilog or "").splitlines() if f" {verb}" in line]
            lines = [line[line.find("sealgate ") :] for line in shown if f"{command.prog} {verb}" in line]
            parser.description = parser.description or sentences.get(verb)
            if lines and not parser.epilog:
                parser.epilog = "examples 示例:\n  " + "\n  ".join(lines)
                parser.formatter_class = argparse.RawDescriptionHelpFormatter


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0 good, 1 something was found wrong, 2 wrong use or configuration."""
    out, errors = (cast(TextIO, Harmless(each)) for each in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    only = words[0] if words and words[0] in COMMANDS else None
    try:
        arguments = usage.parsed(parser(only), words)
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # a reader that has gone is noticed here, not by the interpreter's end
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _gone()
        return 1
    except OSError as error:
        print(usage.trouble(error), file=sys.stderr)
        return 1
    return status


def _gone() -> None:
    """Nobody reads any more: what is still in the buffer has no reader either, and the interpreter must not say so at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


if __name__ == "__main__":
    raise SystemExit(main())
