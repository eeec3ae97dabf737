"""Who may open sealed fields on the command line, and proving to be that person."""

import argparse
import getpass
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from gateway.config import Config

ROLES = ("auditor", "admin")


class NotEntitled(Exception):
    """Not this person, or not with this role."""


@dataclass(frozen=True, slots=True)
class Person:
    """An operator who has just proven presence."""

    name: str
    role: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """--as and --code."""
    parser.add_argument("--as", dest="who", default="", metavar="NAME", help="operator 操作员 ([[operator]] name)")
    parser.add_argument("--code", default="", help="TOTP code; asked for when left out 动态口令，缺省时提示输入")


def authenticate(config: Config, who: str, code: str, now: datetime, roles: tuple[str, ...] = ROLES) -> Person:
    """The operator ``who``, by TOTP, with one of ``roles``. Raises NotEntitled."""
    if not who:
        raise NotEntitled("say who you are: --as NAME 请用 --as 指明操作员")
    try:
        check: Callable[..., Any] = import_module("gateway.people").authenticate
    except (ImportError, AttributeError) as error:
        raise NotEntitled("this installation cannot check operators 此安装无法验证操作员身份") from error
    if not code and sys.stdin.isatty():
        code = getpass.getpass("TOTP code 动态口令: ")
    try:
        operator = check(config, who, code, now)
    except Exception as error:  # whatever the reason: not proven is not entitled, and the reason is shown
        raise NotEntitled(str(error) or type(error).__name__) from error
    role = next((role for role in roles if role in operator.roles), "")
    if not role:
        raise NotEntitled(f"{who}: needs the role {' or '.join(roles)} 无此权限，需要角色 {'/'.join(roles)}")
    return Person(operator.name, role)
