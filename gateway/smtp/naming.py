"""Who the client is: the peer itself, or whom the hops that are trusted name by PROXY, XCLIENT and XFORWARD. Sans-io."""

from gateway.smtp import replies as say
from gateway.smtp.access import Access
from gateway.smtp.addresses import ParameterError
from gateway.smtp.proxy import XCLIENT_NAMES, XFORWARD_NAMES, address, attributes
from gateway.smtp.reply import Reply


class Naming:
    """Of one connection. ``peer`` is the other end's address; ``connected`` the client that the connection is for, None when a hop names
    nobody; ``helo`` what a hop says its client said."""

    def __init__(self, access: Access, peer: str) -> None:
        self._access = access
        self._speaker = self.peer = peer
        self._forwarded: dict[str, str | None] = {}
        self.connected = access.own_client(peer)
        self.helo = ""

    @property
    def client(self) -> str | None:
        """The named client: what XFORWARD says for this message, else what PROXY or XCLIENT said, else the peer."""
        return self._forwarded.get("ADDR", self.connected)

    @property
    def forwarded_helo(self) -> str:
        """What the message's client said, as far as XFORWARD or XCLIENT tell."""
        return self._forwarded.get("HELO") or self.helo

    @property
    def trusted(self) -> bool:
        """Whether whoever speaks now may name others."""
        return self._speaker in self._access.trusted

    def proxied(self, source: str | None) -> None:
        """A trusted hop's PROXY header; None when it names nobody."""
        if source is not None:
            # From now on it is the source that speaks: it gets no trust from the proxy it came through.
            self._speaker = source
            self.connected = self._access.own_client(source)

    def secured(self) -> None:
        """TLS is up: what was said of the client in clear is forgotten (RFC 3207 4.2)."""
        self.connected = self._access.own_client(self._speaker)
        self.helo = ""

    def renamed(self, argument: str) -> str | Reply:
        """XCLIENT (Postfix XCLIENT_README): the login it names, or ``""``; a Reply when it is refused."""
        found = self._attributes(argument, XCLIENT_NAMES)
        if isinstance(found, Reply):
            return found
        if "ADDR" in found:
            self.connected = found["ADDR"]
        self.helo = found.get("HELO") or self.helo
        return found.get("LOGIN") or ""

    def forwarded(self, argument: str) -> Reply:
        """XFORWARD (Postfix XFORWARD_README): who sent the next message."""
        found = self._attributes(argument, XFORWARD_NAMES)
        if isinstance(found, Reply):
            return found
        self._forwarded |= found
        return say.OK

    def message_ended(self) -> None:
        """What XFORWARD said was of one message."""
        self._forwarded = {}

    def _attributes(self, argument: str, names: tuple[str, ...]) -> dict[str, str | None] | Reply:
        if not self.trusted:
            return say.NOT_TRUSTED
        try:
            found = attributes(argument, names)
            if "ADDR" in found:
                found["ADDR"] = address(found["ADDR"])
        except ParameterError as error:
            return Reply(501, "5.5.4", str(error))
        return found
