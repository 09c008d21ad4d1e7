"""The nodes of a hub, as one agency reaches them: it speaks to one until that fails, and then to the next."""

from __future__ import annotations

from typing import Any, Final

import grpc

from safeguarding.hub.client.identity import Credentials

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


def addresses_of(target: str) -> tuple[str, ...]:
    """Return the addresses that a target names, in order; raise ``ValueError`` if it names none."""
    addresses = tuple(address.strip() for address in target.split(",") if address.strip())
    if not addresses:
        raise ValueError("expected host:port of a hub, of several nodes separated by commas")
    return addresses


class Nodes:
    """One channel to each node, opened when it is first spoken on; each node is held to its own name by its certificate.

    All nodes of a hub are alike: what one of them has recorded, every other answers with the same receipt.
    """

    def __init__(self, addresses: tuple[str, ...], credentials: Credentials, stub_class: Any) -> None:
        """Begin with the first address; nothing is opened yet."""
        self._addresses = addresses
        self._credentials = credentials
        self._stub_class = stub_class
        self._turn = 0
        self._channels: dict[str, grpc.aio.Channel] = {}

    @property
    def address(self) -> str:
        """Whom it speaks to now."""
        return self._addresses[self._turn]

    @property
    def are_several(self) -> bool:
        """Tell whether there is another to go to."""
        return len(self._addresses) > 1

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to the node that it speaks to now."""
        if self.address not in self._channels:
            self._channels[self.address] = grpc.aio.secure_channel(self.address, self._credentials.for_channel(), options=CHANNEL_OPTIONS)
        return self._channels[self.address]

    @property
    def stub(self) -> Any:
        """The agency's append service on that node."""
        return self._stub_class(self.channel)

    @property
    def lapse(self) -> str:
        """Why no node takes the agency's certificate now; empty if it is good."""
        return self._credentials.lapse

    def leave(self, address: str) -> None:
        """Go on with the next node, unless somebody has left this one already."""
        if address == self.address:
            self._turn = (self._turn + 1) % len(self._addresses)

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
