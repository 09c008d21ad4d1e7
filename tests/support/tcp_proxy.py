"""What stands between clients and a server and spoils their talk: it delays bytes, holds them up, loses them, and cuts connections.

All proxies of a run share one thread. A way that is held up is a network cut: connections stay open, nothing comes through, and what
was under way arrives when the way is free again. What is lost never arrives: the connections it was lost from are cut when the loss
ends, since nobody could make sense of the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

CHUNK_BYTES: Final = 64 * 1024
CONNECT_MAX_SECONDS: Final = 5.0
STOP_MAX_SECONDS: Final = 10.0
_WAITING_MAX_CHUNKS: Final = 256
"""Read and not passed on yet, for each way of a connection; more stays with its sender."""


class Way:
    """One direction through a proxy, for all its connections; touched by the proxies' thread alone."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.delay_seconds = 0.0
        self.is_lossy = False


@dataclass(eq=False, slots=True)
class _Link:
    """One connection through a proxy: both ends of it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    has_lost: bool = False

    def cut(self) -> None:
        for writer in (self.near, self.far):
            writer.transport.abort()


@dataclass(slots=True)
class Proxy:
    """Stands before one server. Every method may be called from any thread, and has taken effect when it returns."""

    port: int
    target: int
    loop: asyncio.AbstractEventLoop
    to_server: Way = field(default_factory=Way)
    to_client: Way = field(default_factory=Way)
    links: set[_Link] = field(default_factory=set)

    def delay(self, *, to_server: float = 0.0, to_client: float = 0.0) -> None:
        """Let every byte of a direction arrive so many seconds later."""

        def change() -> None:
            self.to_server.delay_seconds, self.to_client.delay_seconds = to_server, to_client

        self._do(change)

    def hold(self, *, to_server: bool = False, to_client: bool = False) -> None:
        """Let nothing through in these directions."""

        def change() -> None:
            for way, is_held in ((self.to_server, to_server), (self.to_client, to_client)):
                (way.free.clear if is_held else way.free.set)()

        self._do(change)

    def lose_answers(self) -> None:
        """Pass on what the clients send, and throw away what the server says."""

        def change() -> None:
            self.to_client.is_lossy = True

        self._do(change)

    def cut(self) -> None:
        """End all connections at once, as a reset does; new ones are taken."""

        def change() -> None:
            for link in list(self.links):
                link.cut()

        self._do(change)

    def heal(self) -> None:
        """Pass everything on again, at once."""

        def change() -> None:
            for way in (self.to_server, self.to_client):
                way.delay_seconds, way.is_lossy = 0.0, False
                way.free.set()
            for link in [each for each in self.links if each.has_lost]:
                link.cut()

        self._do(change)

    def _do(self, change: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            change()
            done.set()

        self.loop.call_soon_threadsafe(run)
        if not done.wait(STOP_MAX_SECONDS):
            raise TimeoutError(f"the proxy at {self.port} does not answer")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        try:
            async with asyncio.timeout(CONNECT_MAX_SECONDS):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self.links.add(link)
        pumps = [
            asyncio.ensure_future(each)
            for each in (self._carry(link, reader, far_writer, self.to_server), self._carry(link, far_reader, writer, self.to_client))
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # At the end of the proxies. The streams' own callback would log it as an error.
            return
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.links.discard(link)
            link.cut()

    async def _carry(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """Carry one direction: read with the time at which each chunk is due, and write it then."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WAITING_MAX_CHUNKS)

        async def read() -> None:
            while True:
                chunk = await reader.read(CHUNK_BYTES)
                await waiting.put((self.loop.time() + way.delay_seconds, chunk))
                if not chunk:
                    return

        reading = asyncio.ensure_future(read())
        try:
            with contextlib.suppress(OSError):
                while True:
                    due, chunk = await waiting.get()
                    await asyncio.sleep(max(due - self.loop.time(), 0.0))
                    await way.free.wait()
                    if not chunk:
                        return
                    if way.is_lossy:
                        link.has_lost = True
                        continue
                    writer.write(chunk)
                    await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class Proxies:
    """Proxies, each at a port of its own before another one; they serve inside a ``with`` block."""

    def __init__(self, ports: Mapping[int, int]) -> None:
        """``ports``: where each server listens, by the port to listen at for it."""
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self.all: Final = [Proxy(port, target, self._loop) for port, target in ports.items()]

    def __enter__(self) -> Self:
        self._thread.start()
        for proxy in self.all:
            serving = asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port)
            self._servers.append(asyncio.run_coroutine_threadsafe(serving, self._loop).result(STOP_MAX_SECONDS))
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(STOP_MAX_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_MAX_SECONDS)
        self._loop.close()

    def heal(self) -> None:
        """Heal them all."""
        for proxy in self.all:
            proxy.heal()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        ending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
