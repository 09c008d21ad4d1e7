"""Names and ids. All are pseudonymous: none may encode a person."""

from __future__ import annotations

from typing import NewType

AgencyId = NewType("AgencyId", str)
"""``la-E08000016``, ``icb-QF7``, ``police-…``, ``partnership-…``, ``agency-…``, ``lscb-…``, ``panel``, ``operator``, ``hub``."""

CaseId = NewType("CaseId", str)
"""A lower-case UUID; the part of a case's stream names behind the category."""

ChildId = NewType("ChildId", str)
"""A pseudonymous id of a child, minted by the notifying council; the same child keeps it across cases of a shard."""

ClockId = NewType("ClockId", str)
"""``K1`` … ``K19``, as in ``domain/rules/clocks.toml``."""

EventId = NewType("EventId", bytes)
"""16 bytes, a UUIDv7 minted by the agency."""

KeyId = NewType("KeyId", str)
RequestId = NewType("RequestId", str)
"""A lower-case UUID naming an information request, a review action or another thing that later events refer to."""

RuleId = NewType("RuleId", str)
Shard = NewType("Shard", str)
"""One safeguarding partnership, or ``national``."""

Stream = NewType("Stream", str)
"""``<category>-<id>``, for instance ``incident-<case id>``."""

NATIONAL = Shard("national")


def stream(category: str, identity: str) -> Stream:
    """Name the stream of ``category`` that belongs to ``identity``."""
    return Stream(f"{category}-{identity}")


def category_of(name: str) -> str:
    """Return the category of a stream name: all before its first dash."""
    return name.partition("-")[0]


def identity_of(name: str) -> str:
    """Return the id in a stream name: all behind its first dash (empty if there is no dash)."""
    return name.partition("-")[2]
