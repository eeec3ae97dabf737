"""Arguments that are not understood: what is wrong and what was probably meant, in both languages."""

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from policies.problem import nearest

SAYINGS = (
    (re.compile(r"the following arguments are required: (.+)"), "缺少参数：{0}", "these arguments are required: {0}"),
    (re.compile(r"argument (.+): invalid (\w+) value: (.+)"), "{0} 的值 {2} 不正确", "{0}: {2} is not right"),
    (re.compile(r"argument (.+): expected one argument"), "{0} 之后须写一个值", "{0} needs a value"),
    (
        re.compile(r"argument (.+): expected at least one argument"),
        "{0} 之后至少写一个值",
        "{0} needs a value at least",
    ),
    (re.compile(r"argument (.+): ignored explicit argument (.+)"), "{0} 之后不写值", "{0} takes no value"),
    (
        re.compile(r"ambiguous option: (.+) could match (.+)"),
        "{0} 不明确，可能是 {1}",
        "{0} may mean {1}: write more of it",
    ),
)
"""What argparse says, and the same in both languages; constant patterns on the words of a command line."""
_CHOICE = re.compile(r"argument (.+): invalid choice: '?(.*?)'? \(choose from (.+)\)")


class Usage(argparse.ArgumentParser):
    """An ArgumentParser that says what to do next. Subcommands are of the same kind."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with what is wrong, what was probably meant and where the help is."""
        self.exit(2, f"{self.prog}: {explained(message)}\n{self._help()}\n")

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Exit 2: nobody knows these words, the options of this command being what they are."""
        options = frozenset(option for action in self._actions for option in action.option_strings)
        near = [meant for word in words if word.startswith("-") and (meant := nearest(word.partition("=")[0], options))]
        asked = f"; did you mean {' or '.join(near)}? 是否想写 {'、'.join(near)}？" if near else ""
        self.exit(2, f"{self.prog}: 不认识 not understood: {' '.join(words)}{asked}\n{self._help()}\n")

    def _help(self) -> str:
        return f"next 下一步: {self.prog} --help"


def explained(message: str) -> str:
    """argparse's message in both languages; one that is not known stays as it is."""
    if choice := _CHOICE.fullmatch(message):
        what, word, known = choice[1], choice[2], [each.strip("' ") for each in choice[3].split(",")]
        near = nearest(word, frozenset(known))
        rest = f"did you mean {near}? 是否想写 {near}？" if near else f"one of 可用: {', '.join(known)}"
        return f"{what}: 没有 there is no {word!r}; {rest}"
    for pattern, zh, en in SAYINGS:
        if found := pattern.fullmatch(message):
            return f"{zh.format(*found.groups())} / {en.format(*found.groups())}"
    return message


def deepest(parser: argparse.ArgumentParser, words: Iterable[str]) -> argparse.ArgumentParser:
    """The subcommand that these words lead to."""
    for word in words:
        subs = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        if not subs or word not in subs[0].choices:
            break
        parser = subs[0].choices[word]
    return parser


def parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """The arguments; exits with status 2 if they are not understood."""
    arguments, more = parser.parse_known_args(words)
    if more:
        last = deepest(parser, words)
        if isinstance(last, Usage):
            last.unknown(more)
        last.error(f"unrecognized arguments: {' '.join(more)}")
    return arguments


def trouble(error: OSError) -> str:
    """What to do about a file or socket that can't be used."""
    where = error.filename or "file 文件"
    if isinstance(error, PermissionError):
        return f"{where}: 无权访问，请以网关用户身份运行 / not for this user: run it as the gateway's user (sudo -u sealgate)"
    return f"{where}: {error.strerror or error} 无法使用 / cannot be used"
