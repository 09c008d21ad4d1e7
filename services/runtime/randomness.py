"""Randomness for nonces, salts and ids that are drawn for every event."""

from __future__ import annotations

import ssl


def random_bytes(count: int) -> bytes:
    """Return ``count`` bytes of OpenSSL's generator, which the system seeds, and which is safe across a fork.

    ``os.urandom`` is as good, but it gives the interpreter lock away for every call: a program with busy threads then waits a
    thread's turn for each nonce. Keys that live long still come from the system itself.
    """
    return ssl.RAND_bytes(count)
