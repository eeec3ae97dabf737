"""sealgate demo: see it work, on this machine alone, in a minute."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import unicodedata
from pathlib import Path

import pyotp

from gateway.demo.scenes import SCENES, Story
from gateway.demo.stage import Stage


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="see it work 演示",
        description="Start a gateway, a stub DNS and a stub mail server on loopback ports picked free, and play the scenes.\n"
        "Each is checked at the client, the server and the log; the first mismatch ends the demo with status 1.\n"
        "在本机回环地址启动网关、模拟 DNS 与模拟邮件服务器并逐幕演示；每一幕都在三处核对，一有不符即以状态 1 结束。",
        epilog="example 示例:  sealgate demo --keep",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder, to look further 保留状态目录")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 at the first mismatch; the folder is then kept."""
    folder = Path(tempfile.mkdtemp(prefix="sealgate-demo-"))
    good = asyncio.run(play(folder))
    if good and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"state kept in 状态保留于 {folder}")
    return 0 if good else 1


async def play(folder: Path) -> bool:
    """All scenes, in order."""
    async with Stage(folder, pyotp.random_base32()) as stage:
        ports = stage.ports
        print(
            f"Sealgate demo  inbound 127.0.0.1:{ports['inbound']}  outbound :{ports['outbound']}  "
            f"corporate server {stage.addresses['server']}  DNS {stage.addresses['dns']}"
        )
        story = Story()
        for number, scene in enumerate(SCENES, 1):
            seen = await scene.play(stage, story)
            problems = scene.check(seen)
            print(
                f"{number:2} {'FAIL' if problems else 'PASS'}  {_pad(scene.name, 16)} {scene.said(seen)}   {scene.zh}",
                flush=True,
            )
            if problems:
                for problem in problems:
                    print(f"          {problem}", file=sys.stderr)
                return False
        print(
            f"{len(SCENES)} of {len(SCENES)} scenes.  Look further: sealgate demo --keep, then sealgate trace {story.held}"
        )
    return True


def _pad(text: str, width: int) -> str:
    """Han characters take two columns."""
    return text + " " * (width - sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text))
