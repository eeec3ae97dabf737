"""Octets on the keeper's socket into frames and requests."""

from collections.abc import Iterator

from gateway.recording import keeper_protocol as protocol
from tests.fuzz.target import Target


def run(data: bytes) -> None:
    """Frames come out the same however the octets are cut; what decodes is written back as it was read."""
    whole, cut = _frames([data]), _frames([data[at : at + 7] for at in range(0, min(len(data), 2_000), 7)])
    if len(data) <= 2_000:
        assert whole == cut
    for frame in whole[0] or [data]:
        for decode in (protocol.decode_request, protocol.decode_answer):
            try:
                message = decode(frame)
            except protocol.ProtocolError:
                continue
            try:
                again = protocol.encode(message)
            except protocol.ProtocolError:
                continue
            assert repr(decode(again[4:])) == repr(message)


def _frames(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    frames = protocol.Frames()
    found: list[bytes] = []
    try:
        for piece in pieces:
            found += frames.feed(piece)
    except protocol.ProtocolError:
        return found, True
    return found, False


def seeds() -> Iterator[bytes]:
    """One of each message that needs no keys."""
    for message in (
        protocol.Hello(1, "w", ["01M"]),
        protocol.LeaseRequest(2, "mail"),
        protocol.Subjects(3, "2026-11", ["a@b.test"]),
        protocol.Append(4, [[b'{"id":"01"}', b"{}"], []]),
        protocol.Read(5, 0, 10),
        protocol.HeadRequest(6),
        protocol.Problem(7, "x"),
        protocol.Lease(8, "mail", "2026-11", 0, 4, b"k" * 32, 60.0),
    ):
        yield protocol.encode(message)
    yield b"".join(protocol.encode(protocol.HeadRequest(number)) for number in range(5))


def target() -> Target:
    """For the runner."""
    return Target("keeper", run, seeds)
