"""A process that examines events: ``python -m services.intake.examiner``. It answers on standard output, and ends with its input.

A request is a u32 of its size in bytes, then for each event ``JOB`` and what that announces: the sender's public key as the registry
has it, and the serialized ``SignedEvent``. The answer is a u32 of their number, then a byte for each: 1 if nothing is wrong with the
event in itself, else 0. All numbers are big-endian. Nothing but its parent writes to it.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Iterator
from typing import Final

from domain.agency.events import KeyAlgorithm
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.eventstore.codec import decode_event
from services.trust.signing import public_key_of
from services.trust.verify import prove

U32: Final = struct.Struct(">I")
JOB: Final = struct.Struct(">BHI")
"""Place of the algorithm in ``KeyAlgorithm``; lengths in bytes of the public key and of the event."""
ALGORITHMS: Final = tuple(KeyAlgorithm)


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group: the hub still drains then
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(size := requests.read(U32.size)) == U32.size:
        verdicts = bytes([is_sound(*job) for job in jobs_in(requests.read(*U32.unpack(size)))])
        answers.write(U32.pack(len(verdicts)) + verdicts)
        answers.flush()


def request_of(jobs: list[bytes]) -> bytes:
    """Return the request for jobs that ``job_of`` made."""
    return U32.pack(sum(map(len, jobs))) + b"".join(jobs)


def job_of(algorithm: KeyAlgorithm, public_key: bytes, signed: SignedEvent) -> bytes:
    """Return one event's part of a request."""
    event = signed.SerializeToString()
    return JOB.pack(ALGORITHMS.index(algorithm), len(public_key), len(event)) + public_key + event


def jobs_in(request: bytes) -> Iterator[tuple[KeyAlgorithm, bytes, bytes]]:
    """Yield the jobs of a request without its size."""
    at = 0
    while at < len(request):
        algorithm, key_bytes, event_bytes = JOB.unpack_from(request, at)
        key_at = at + JOB.size
        event_at = key_at + key_bytes
        at = event_at + event_bytes
        yield ALGORITHMS[algorithm], request[key_at:event_at], request[event_at:at]


def is_sound(algorithm: KeyAlgorithm, public_key: bytes, event: bytes) -> bool:
    """Tell whether an event is signed by the key, bound to its body, and by every rule of the contract as it should be."""
    signed = SignedEvent.FromString(event)
    try:
        header = EventHeader.FromString(signed.header)
        prove(public_key_of(algorithm, public_key), header, signed)
        decode_event(header.event_type, signed.body)
    except Exception:  # noqa: BLE001  # whatever is wrong with it, the hub finds it again and says so
        return False
    return True


if __name__ == "__main__":
    main()
