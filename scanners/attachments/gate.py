"""A cheap look before YARA: rules may name what they can't match without, and content that holds none of it is passed over.

YARA steps through content byte by byte (3.5 ms/MB with the shipped rules); a few dozen literals are looked for in an eighth of that. A rule
names them in its ``gate`` meta, alternatives parted by ``|``, bytes as ``{ 0A FF }``: each match of the rule must hold one of them, as it
stands, in any case, or with a NUL after each character (``wide``). One rule without a gate, and YARA looks at everything, as ever.
"""

from collections.abc import Iterable
from typing import Any

MAX_LITERALS = 2_000
"""Over all rules; with more, the first look would cost what it saves."""


class Gate:
    """Literals, compiled. One per thread: its scratch space must not be shared."""

    def __init__(self, literals: Iterable[bytes]) -> None:
        """Raises ImportError without hyperscan, ValueError for what it does not compile."""
        import hyperscan

        forms = [form for literal in literals for form in (_plain(literal), _wide(literal))]
        flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_CASELESS
        self._database: Any = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            self._database.compile(
                expressions=forms, ids=list(range(len(forms))), elements=len(forms), flags=[flags] * len(forms)
            )
        except hyperscan.error as error:
            raise ValueError(str(error)) from None
        self._scratch: Any = hyperscan.Scratch(self._database)
        self._ended: Any = hyperscan.ScanTerminated

    def opens(self, data: bytes) -> bool:
        """Whether ``data`` holds any of the literals: YARA has to look."""
        try:
            self._database.scan(data, match_event_handler=_stop, scratch=self._scratch)
        except self._ended:
            return True
        return False


def gate_of(metas: Iterable[object]) -> Gate | None:
    """The gate of all rules, from the ``gate`` meta of each; None when one has none, or hyperscan is missing."""
    literals: set[bytes] = set()
    for meta in metas:
        found = literals_of(meta) if isinstance(meta, str) else ()
        if not found:
            return None
        literals.update(found)
    if not 0 < len(literals) <= MAX_LITERALS:
        return None
    try:
        return Gate(sorted(literals))
    except (ImportError, ValueError):
        return None  # YARA looks at everything


def literals_of(meta: str) -> tuple[bytes, ...]:
    """Alternatives of one ``gate`` meta; empty when one of them can't be read or is empty."""
    literals = []
    for word in meta.split("|"):
        word = word.strip()
        try:
            hexadecimal = word.startswith("{") and word.endswith("}")
            literal = bytes.fromhex(word[1:-1]) if hexadecimal else word.encode()
        except ValueError:
            return ()
        if not literal:
            return ()
        literals.append(literal)
    return tuple(literals)


def _stop(*_: object) -> bool:
    return True


def _plain(literal: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in literal)


def _wide(literal: bytes) -> bytes:
    return b"".join(b"\\x%02x\\x00" % byte for byte in literal)
