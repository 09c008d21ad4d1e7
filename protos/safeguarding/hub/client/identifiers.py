"""Ids that an agency mints: UUIDv7 (RFC 9562), which sort by the moment they were made."""

from __future__ import annotations

import ssl
import threading
import time
import uuid

_COUNTER_BITS = 12
_RANDOM_BITS = 62


def random_bytes(count: int) -> bytes:
    """Return bytes that nobody can guess, from OpenSSL's generator.

    It is safe across a fork and asks the system only for its seed. ``os.urandom`` asks each time and gives up the interpreter's lock to do
    so, which in a program with threads costs far more than the bytes.
    """
    return ssl.RAND_bytes(count)


def _random_bits(count: int) -> int:
    """Return a number of at most ``count`` bits, up to 64."""
    return int.from_bytes(random_bytes(8), "big") >> (64 - count)


class _Minter:
    """Mints ids that only ever rise within this process, also when the clock goes back (RFC 9562 section 6.2, method 1)."""

    def __init__(self) -> None:
        """Begin before any moment."""
        self._lock = threading.Lock()
        self._last_ms = -1
        self._counter = 0

    def mint(self, now_ms: int) -> bytes:
        """Return the next id at this Unix millisecond, 16 bytes."""
        with self._lock:
            if now_ms > self._last_ms:
                # The counter's top bit starts at 0, so that it can count at least 2048 ids in the millisecond.
                self._last_ms, self._counter = now_ms, _random_bits(_COUNTER_BITS - 1)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._last_ms, self._counter = self._last_ms + 1, 0
            stamp, counter = self._last_ms, self._counter
        value = stamp << 80 | 0x7 << 76 | counter << 64 | 0b10 << _RANDOM_BITS | _random_bits(_RANDOM_BITS)
        return value.to_bytes(16, "big")


_MINTER = _Minter()


def new_event_id() -> bytes:
    """Return a new event id: 16 bytes, rising."""
    return _MINTER.mint(time.time_ns() // 1_000_000)


def new_case_id() -> str:
    """Return a new case id (also good for a child, a request, an entry, a meeting): a lower-case UUID that encodes no person."""
    return str(uuid.UUID(bytes=new_event_id()))
