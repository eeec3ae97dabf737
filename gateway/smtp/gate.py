"""What is counted for one connection: its client, its messages, and the octets it may hold in memory."""

from gateway.smtp import replies as say
from gateway.smtp.limits import Reservation, client_key
from gateway.smtp.parts import Parts
from gateway.smtp.reply import Reply


class ClientGate:
    """gateway.smtp.terms.Gate over the worker's limits. A hop that names nobody isn't counted as a client."""

    def __init__(self, parts: Parts) -> None:
        self._clients, self._room = parts.limits.clients, parts.room
        self._reservation = Reservation(parts.limits.budget)
        self._counted_as: str | None = None
        self.grow = self._reservation.grow

    # What the session asks.

    def may_send(self, client: str | None) -> bool:
        """See terms.Gate."""
        return client is None or self._clients.message(client_key(client))

    def reserve(self, octets: int) -> bool:
        """See terms.Gate. Nothing is taken that could not be recorded: the log's disk reserve is for the outcomes of what is here."""
        self._reservation.close()
        return octets == 0 or (self._room() and self._reservation.grow(octets))

    def may_authenticate(self, client: str | None) -> bool:
        """See terms.Gate."""
        return client is None or self._clients.may_authenticate(client_key(client))

    # What the connection says.

    def count(self, client: str | None) -> Reply | None:
        """Count the connection under this client instead of the one before; why it must end if there are too many, else None."""
        key = client_key(client) if client is not None else None
        if key == self._counted_as:
            return None
        self.leave()
        if key is not None:
            if not self._clients.connect(key):
                return say.TOO_MANY_CONNECTIONS
            self._counted_as = key
        return None

    def leave(self) -> None:
        """The connection is nobody's any more."""
        if self._counted_as is not None:
            self._clients.disconnect(self._counted_as)
            self._counted_as = None

    def release(self) -> None:
        """The message is over: its octets are free."""
        self._reservation.close()
