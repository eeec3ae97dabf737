"""Makes .venv from requirements.lock, with nothing but the standard library: uv if it is there, else venv and pip."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  the system's python3 may well be older than the project's
        print(
            f"Python 3.11 or newer is needed 需要 Python 3.11 以上; this is {sys.version.split()[0]}", file=sys.stderr
        )
        return 2
    uv = shutil.which("uv")
    print(
        f"Preparing .venv with {'uv' if uv else 'venv and pip'} (once, a minute or so) 正在准备运行环境……",
        flush=True,
    )
    if uv:
        run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(VENV)])
        run(
            [uv, "pip", "install", "--quiet", "--python", str(VENV / "bin/python"), "--require-hashes", "-r", str(LOCK)]
        )
        run([uv, "pip", "install", "--quiet", "--python", str(VENV / "bin/python"), "--no-deps", "-e", str(ROOT)])
    else:
        if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            print(
                f"The venv module is missing 缺少 venv 模块. Run: apt-get install python{version}-venv", file=sys.stderr
            )
            return 2
        run([sys.executable, "-m", "venv", str(VENV)])
        pip = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run([*pip, "--require-hashes", "-r", str(LOCK)])
        run([*pip, "--no-deps", "-e", str(ROOT)])
    (VENV / ".ready").touch()
    return 0


def run(command: list[str]) -> None:
    """A step that must succeed; its own output says why it did not."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    if subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode:
        print(f"Failed 失败: {' '.join(command)}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
