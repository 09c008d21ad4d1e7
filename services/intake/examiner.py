"""A process that examines events: ``python -m services.intake.examiner``. It answers on standard output, and ends with its input.

A request is a u32 of its size in bytes, then for each event ``JOB`` and what that announces: the sender's public key as the registry
has it, and the serialized ``SignedEvent``. The answer is a u32 of their number, then a byte for each: 1 if nothing is wrong with the
event in itself, else 0. All numbers are big-endian. Nothing but its parent writes to it.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from domain.agency.events import KeyAlgorithm
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.eventstore.codec import decode_event
from services.trust.signing import PublicKey, public_key_of
from services.trust.verify import PROOFS

U32: Final = struct.Struct(">I")
JOB: Final = struct.Struct(">BHI")
"""Place of the algorithm in ``KeyAlgorithm``; lengths in bytes of the public key and of the event."""
ALGORITHMS: Final = tuple(KeyAlgorithm)

Job = tuple[KeyAlgorithm, bytes, bytes]
"""The sender's key, its algorithm first, and a serialized ``SignedEvent``."""
_Read = tuple[PublicKey, EventHeader, SignedEvent]


def main() -> None:
    """Answer requests until the input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to the whole group: the hub still drains then
        signal.signal(number, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(size := requests.read(U32.size)) == U32.size:
        verdicts = verdicts_on(jobs_in(requests.read(*U32.unpack(size))))
        answers.write(U32.pack(len(verdicts)) + verdicts)
        answers.flush()


def request_of(jobs: list[bytes]) -> bytes:
    """Return the request for jobs that ``job_of`` made."""
    return U32.pack(sum(map(len, jobs))) + b"".join(jobs)


def job_of(algorithm: KeyAlgorithm, public_key: bytes, signed: SignedEvent) -> bytes:
    """Return one event's part of a request."""
    event = signed.SerializeToString()
    return JOB.pack(ALGORITHMS.index(algorithm), len(public_key), len(event)) + public_key + event


def jobs_in(request: bytes) -> Iterator[Job]:
    """Yield the jobs of a request without its size."""
    at = 0
    while at < len(request):
        algorithm, key_bytes, event_bytes = JOB.unpack_from(request, at)
        key_at = at + JOB.size
        event_at = key_at + key_bytes
        at = event_at + event_bytes
        yield ALGORITHMS[algorithm], request[key_at:event_at], request[event_at:at]


def verdicts_on(jobs: Iterable[Job]) -> bytes:
    """Return for each job whether its event is signed by the key, bound to its body, and by every rule of the contract as it should be.

    One check of all events comes after the other: what a check reads and runs stays in the processor's caches, and all of them together do
    not fit. Event by event they take a third longer.
    """
    standing = [_read(job) for job in jobs]
    for check in (*PROOFS, _check_body):
        standing = [read if read is not None and _passes(check, read) else None for read in standing]
    return bytes([read is not None for read in standing])


def _read(job: Job) -> _Read | None:
    """Return what an event is checked with, None if it cannot be read. Whatever is wrong with it, the hub finds it again and says so."""
    algorithm, public_key, event = job
    try:
        signed = SignedEvent.FromString(event)
        return public_key_of(algorithm, public_key), EventHeader.FromString(signed.header), signed
    except Exception:  # noqa: BLE001  # see above
        return None


def _passes(check: Callable[[PublicKey, EventHeader, SignedEvent], object], read: _Read) -> bool:
    try:
        check(*read)
    except Exception:  # noqa: BLE001  # as in ``_read``
        return False
    return True


def _check_body(_public_key: PublicKey, header: EventHeader, signed: SignedEvent) -> None:
    decode_event(header.event_type, signed.body)


if __name__ == "__main__":
    main()
