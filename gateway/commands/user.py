"""sealgate user: who may log in to send (SMTP AUTH)."""

import argparse
import getpass
import sys
from pathlib import Path

from argon2 import PasswordHasher

from gateway import config as configuration
from gateway.smtp.users import UsersError, login_key, read, write

MIN_PASSWORD = 8
"""Characters; a password shorter than this is guessed in the time the limits on failed logins leave."""
MAX_PASSWORD = 1024
"""Octets, as taken by AUTH."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "user",
        help="who may log in to send 管理发信用户",
        description="Add, list and remove the users of SMTP AUTH; a running gateway sees the change at the next login.\n"
        "增加、列出、删除 SMTP 认证用户；运行中的网关在下次登录时即生效。",
        epilog="examples 示例:\n  sealgate user add zhang                    asks for the password 交互输入口令\n"
        "  sealgate user add zhang --password-stdin < file\n  sealgate user list\n  sealgate user remove zhang",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    adding = verbs.add_parser("add", help="add a user or change a password 增加用户或更改口令")
    adding.add_argument("login", help="login name 用户名")
    adding.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input 从标准输入读取口令"
    )
    listing = verbs.add_parser("list", help="list the logins 列出用户")
    removing = verbs.add_parser("remove", help="remove a user 删除用户")
    removing.add_argument("login", help="login name 用户名")
    for verb, action in ((adding, _add), (listing, _list), (removing, _remove)):
        verb.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
        verb.set_defaults(run=run, action=action)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: done; 1: no such user; 2: nothing was changed, and why."""
    path = configuration.load(arguments.config).auth.users_file
    if path is None:
        print(
            '配置缺少 [auth] users_file；请加上一行 / add to the configuration: [auth] users_file = "users"',
            file=sys.stderr,
        )
        return 2
    try:
        status: int = arguments.action(arguments, path)
    except UsersError as error:
        print(error, file=sys.stderr)
        return 2
    return status


def _add(arguments: argparse.Namespace, path: Path) -> int:
    users = read(path)
    login = login_key(arguments.login)
    password = _password(from_stdin=arguments.password_stdin)
    known = login in users
    users[login] = PasswordHasher().hash(password)
    write(path, users)
    print(f"{login}: {'口令已更改 / password changed' if known else '已增加 / added'}")
    return 0


def _list(arguments: argparse.Namespace, path: Path) -> int:
    for login in sorted(read(path)):
        print(login)
    return 0


def _remove(arguments: argparse.Namespace, path: Path) -> int:
    users = read(path)
    login = login_key(arguments.login)
    if users.pop(login, None) is None:
        print(f"{login}: 没有这个用户 / no such user; sealgate user list", file=sys.stderr)
        return 1
    write(path, users)
    print(f"{login}: 已删除 / removed")
    return 0


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("口令 / password: ")
        if getpass.getpass("再次输入 / again: ") != password:
            raise UsersError("两次输入不一致，未更改 / not the same twice, nothing changed; try again")
    if len(password) < MIN_PASSWORD or len(password.encode()) > MAX_PASSWORD:
        raise UsersError(f"口令须有 {MIN_PASSWORD} 个以上字符 / the password needs at least {MIN_PASSWORD} characters")
    return password
