"""The events of sharing by theme: each theme is judged and folded in its own module."""

from __future__ import annotations

from typing import TypeAlias

from domain.sharing.events import (
    EnforcementConsidered,
    FlagCleared,
    FlagRaised,
    InformationAcknowledged,
    InformationCorrected,
    InformationDisputed,
    InformationOffered,
    InformationPartlyShared,
    InformationQueried,
    InformationRefused,
    InformationRequested,
    InformationRestricted,
    InformationShared,
    NilReturn,
    OnwardShareApproved,
)

Asking: TypeAlias = InformationRequested | InformationAcknowledged | NilReturn | InformationRefused | EnforcementConsidered
"""A request and every answer to it but information itself."""

Telling: TypeAlias = InformationShared | InformationPartlyShared | InformationOffered | InformationCorrected
"""What agencies tell of what they know."""

Handling: TypeAlias = InformationQueried | InformationDisputed | InformationRestricted | OnwardShareApproved | FlagRaised | FlagCleared
"""How what was told is questioned, guarded and passed on, and the warnings beside it."""

SharingEvent: TypeAlias = Asking | Telling | Handling


def subject_of(event: SharingEvent) -> str:
    """Return the id of the thing the event is about, which a correction may not change; empty if it is about the case."""
    match event:
        case InformationShared() | InformationPartlyShared():
            return " ".join([event.request_id or "unasked", *sorted(entry.entry_id for entry in event.entries)])
        case InformationRequested() | InformationAcknowledged() | NilReturn() | InformationRefused() | EnforcementConsidered():
            return event.request_id
        case InformationRestricted():
            return event.entry_id or ""
        case InformationCorrected() | InformationQueried() | InformationDisputed() | OnwardShareApproved():
            return event.entry_id
        case FlagRaised() | FlagCleared():
            return event.flag_id
        case InformationOffered():
            return ""
