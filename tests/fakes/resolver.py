"""A Resolver from a zone written in a test."""

from collections.abc import Mapping, Sequence

from scanners.answers import Answer, Exchange, Status

TIMEOUT = "TIMEOUT"
SERVFAIL = "SERVFAIL"
Zone = Mapping[str, Mapping[str, Sequence[object]] | str]
"""name -> type -> records, or name -> "TIMEOUT" | "SERVFAIL". TXT: str, bytes, or a list of strings; MX: (preference, host)."""

MAX_CNAMES = 8


class FakeResolver:
    """Answers from ``zone``; ``asked`` counts the questions that had to wait. ``warm`` answers without waiting, like a full cache."""

    def __init__(self, zone: Zone, warm: bool = False) -> None:
        self.zone = {name.lower().rstrip("."): records for name, records in zone.items()}
        self.warm = warm
        self.asked: list[tuple[str, str]] = []
        self._cache: dict[tuple[str, str], Answer] = {}

    def peek(self, name: str, rdtype: str) -> Answer | None:
        if not self.warm:
            return None
        answer = self._cache.get((name, rdtype))
        if answer is None:
            answer = self._cache[(name, rdtype)] = self._answer(name, rdtype)
        return answer

    async def query(self, name: str, rdtype: str) -> Answer:
        self.asked.append((name, rdtype))
        return self._answer(name, rdtype)

    def _answer(self, name: str, rdtype: str) -> Answer:
        name = name.lower().rstrip(".")
        for _ in range(MAX_CNAMES):
            records = self.zone.get(name)
            if isinstance(records, str):
                return Answer(Status.TEMPERROR, detail=records)
            if records is None:
                below = any(other.endswith("." + name) for other in self.zone)
                return Answer(Status.NODATA if below else Status.NXDOMAIN)
            if rdtype in records:
                return self._found(rdtype, records[rdtype])
            if "CNAME" not in records:
                return Answer(Status.NODATA)
            name = str(records["CNAME"][0]).lower().rstrip(".")
        return Answer(Status.TEMPERROR, detail="CNAME loop")

    def _found(self, rdtype: str, records: Sequence[object]) -> Answer:
        if list(records) in ([TIMEOUT], [SERVFAIL]):
            return Answer(Status.TEMPERROR, detail=str(records[0]))
        if rdtype == "TXT":
            return Answer(Status.FOUND, strings=tuple(_text(record) for record in records), ttl=300)
        if rdtype == "MX":
            exchanges = tuple(Exchange(int(record[0]), str(record[1]).rstrip(".")) for record in records)  # type: ignore[index]
            return Answer(Status.FOUND, exchanges=exchanges, ttl=300)
        texts = tuple(str(record).rstrip(".") for record in records)
        if rdtype in ("A", "AAAA"):
            return Answer(Status.FOUND, addresses=texts, ttl=300)
        return Answer(Status.FOUND, names=texts, ttl=300)


def _text(record: object) -> bytes:
    if isinstance(record, bytes):
        return record
    if isinstance(record, str):
        return record.encode()
    assert isinstance(record, list | tuple)
    return b"".join(_text(piece) for piece in record)
