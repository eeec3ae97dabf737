"""Dot-stuffing on the way out (RFC 5321 4.5.2), at the price of one linear search when there is nothing to stuff."""

from collections.abc import Sequence

from scanners.patterns import Marks

_LINE_BEGINS_WITH_DOT = Marks(b"\n.")
"""A bare LF counts as a line end here on purpose: a lax server behind us then never sees LF . LF inside the content (smuggling)."""

END = b".\r\n"
"""Ends the content when it follows CRLF."""


def stuffed(chunks: Sequence[bytes]) -> list[bytes]:
    """The same content for the wire, without the final ``.``: lines that begin with a dot get another, the last line ends in CRLF.

    Chunks in which nothing has to change come back as the same objects. A line may run over the edge of two chunks.
    """
    result: list[bytes] = []
    tail = b"\r\n"  # the last two bytes before the chunk; the content begins at the beginning of a line
    for chunk in chunks:
        if not chunk:
            continue
        if chunk[0] == 0x2E and tail[-1] == 0x0A:
            result.append(b".")
        result.append(_doubled(chunk))
        tail = (tail + chunk[-2:])[-2:]
    if tail == b"\r\n":
        return result
    # Content that ends in a lone CR would otherwise turn our CRLF into CR CR LF, which some servers read as a line end of their own.
    result.append(b"\n" if tail[-1] == 0x0D else b"\r\n")
    return result


def _doubled(chunk: bytes) -> bytes:
    if not _LINE_BEGINS_WITH_DOT.any_in(chunk):
        return chunk
    return chunk.replace(b"\n.", b"\n..")
