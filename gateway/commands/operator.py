"""sealgate operator add: a TOTP secret for a person, and what to put into the configuration."""

import argparse
import os
import sys
from pathlib import Path

import pyotp

from gateway import config as configuration
from gateway.store.sealing import private_directory, sync_directory

ISSUER = "Sealgate"
MAX_NAME = 64
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "operator",
        help="add people who may answer held mail 添加审批人员",
        description="Makes a TOTP secret (file of mode 0600), shows it once for the phone, and prints the [[operator]] to add.\n"
        "生成 TOTP 密钥文件（权限 0600），显示一次供手机扫码，并给出需加入配置的 [[operator]] 段。",
        epilog="example 示例:  sealgate operator add wang.fang --address wang.fang@corp.test --group sales-managers",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = verbs.add_parser("add", help="a new operator 新操作员")
    made.add_argument("name", help="letters a-z, digits, . _ - ; cited in events 名称，写入审计事件")
    made.add_argument(
        "--address", default="", help="mail address; nobody answers for own mail 邮箱，不能审批自己的邮件"
    )
    made.add_argument("--role", action="append", choices=["approver", "auditor", "admin"], help="角色")
    made.add_argument("--group", action="append", default=[], help="named by rules in approvers 组")
    made.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    made.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: made; 1: there already, or not writable; 2: a bad name."""
    config = configuration.load(arguments.config)
    name = arguments.name
    if not name or len(name) > MAX_NAME or not set(name) <= _LETTERS or name.startswith("."):
        print("the name may hold a-z, 0-9, . _ - and begins with no dot 名称只能含 a-z 0-9 . _ -", file=sys.stderr)
        return 2
    path = config.gateway.state_dir / "keys" / "operators" / f"{name}.totp"
    secret = pyotp.random_base32()
    try:
        _write(path, secret)
    except FileExistsError:
        print(f"{path} is there already; remove it first to make a new one 已存在，如需重建请先删除", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{path}: {error.strerror} 无法写入", file=sys.stderr)
        return 1
    uri = pyotp.TOTP(secret).provisioning_uri(name=f"{name}@{config.gateway.hostname}", issuer_name=ISSUER)
    _show_code(uri)
    print(uri)
    print("\n# add this to the configuration, then reload 加入配置文件后重新加载:\n[[operator]]")
    print(f'name = "{name}"\naddress = "{_quoted(arguments.address)}"')
    print(f"roles = {_array(arguments.role or ['approver'])}\ngroups = {_array(arguments.group)}")
    print(f'totp_file = "{_quoted(str(path.resolve()))}"')
    return 0


def _write(path: Path, secret: str) -> None:
    private_directory(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())  # a crash before this: an empty file, which proves nobody; remove it and add again
    sync_directory(path.parent)


def _show_code(uri: str) -> None:
    """A QR code in the terminal, where segno is installed and somebody looks."""
    try:
        import segno
    except ImportError:
        return
    if sys.stdout.isatty():
        # Past the guard that keeps what others wrote from moving the cursor: the code is drawn by colours, and all of it is ours.
        segno.make(uri, error="l").terminal(out=sys.__stdout__, compact=True)


def _array(words: list[str]) -> str:
    return "[" + ", ".join(f'"{_quoted(word)}"' for word in words) + "]"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
