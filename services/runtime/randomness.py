"""Randomness for nonces, salts and ids that are drawn for every event."""

from __future__ import annotations

import ssl
import time
from typing import Final

ID_BYTES: Final = 16
_TIME_BYTES: Final = 8


def random_bytes(count: int) -> bytes:
    """Return ``count`` bytes of OpenSSL's generator, which the system seeds, and which is safe across a fork.

    ``os.urandom`` is as good, but it gives the interpreter lock away for every call: a program with busy threads then waits a
    thread's turn for each nonce. Keys that live long still come from the system itself.
    """
    return ssl.RAND_bytes(count)


def rising_id() -> bytes:
    """Return a new id of 16 bytes that sorts by when it was drawn: Unix nanoseconds, then 64 random bits.

    An index of such ids grows at its end, where one of random ids is written all over: that costs a store as much as its events.
    """
    return time.time_ns().to_bytes(_TIME_BYTES, "big") + random_bytes(ID_BYTES - _TIME_BYTES)
