"""What agencies ask of and tell each other about a case (streams ``sharing-<case id>``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated

from domain.kernel.events import (
    Event,
    Label,
    Limit,
    Marking,
    Narrative,
    Text,
    When,
    event_type,
)
from domain.kernel.ids import AgencyId, ChildId, RequestId


class LegalGate(StrEnum):
    """The power behind a request for information."""

    S16D_PANEL = "s16d_panel"
    S16H_PARTNERS = "s16h_partners"
    VOLUNTARY = "voluntary"


class Caveat(StrEnum):
    """What narrows the handling of an entry further than its marking."""

    THIRD_PARTY = "third_party"
    SUB_JUDICE = "sub_judice"
    LEGALLY_PRIVILEGED = "legally_privileged"
    POLICE_INTELLIGENCE = "police_intelligence"
    ADOPTION = "adoption"
    SAFE_ADDRESS = "safe_address"
    NOT_FOR_FAMILY = "not_for_family"
    ANONYMISED = "anonymised"


class Significance(StrEnum):
    """Whether an entry belongs to the story that is shown first."""

    SIGNIFICANT = "significant"
    ROUTINE = "routine"


class Tone(StrEnum):
    """Whether what happened bore well or ill on the child."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class RefusalReason(StrEnum):
    """Why information was not given."""

    NOT_HELD = "not_held"
    LEGAL_PRIVILEGE = "legal_privilege"
    ONGOING_INVESTIGATION = "ongoing_investigation"
    DISPROPORTIONATE = "disproportionate"
    COURT_ORDER = "court_order"
    OTHER = "other"


class CaldicottCheck(StrEnum):
    """The eight Caldicott principles (National Data Guardian, 2020), as checks made."""

    JUSTIFY_PURPOSE = "justify_purpose"
    ONLY_WHEN_NECESSARY = "only_when_necessary"
    MINIMUM_NECESSARY = "minimum_necessary"
    NEED_TO_KNOW = "need_to_know"
    RESPONSIBILITIES_KNOWN = "responsibilities_known"
    COMPLY_WITH_LAW = "comply_with_law"
    DUTY_TO_SHARE = "duty_to_share"
    INFORM_EXPECTATIONS = "inform_expectations"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTold:
    """Whether the family was told that this is shared and, if not, why."""

    told: bool
    reason_if_not: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a chronology: what happened, and what it meant for the child."""

    entry_id: RequestId
    occurred: When
    record_reference: Label
    """The sender's own reference of the record this is taken from."""
    fact: Narrative
    significance: Significance
    why_significant: Narrative | None = None
    impact_on_child: Narrative | None = None
    childs_voice: Narrative | None = None
    outcome: Narrative | None = None
    opinion: bool = False
    """True when it is a professional opinion, not a fact."""
    third_party: bool = False
    tone: Tone = Tone.NEUTRAL
    children: tuple[ChildId, ...] = ()
    marking: Marking = Marking.OFFICIAL_SENSITIVE
    caveats: tuple[Caveat, ...] = ()


Entries = Annotated[tuple[Entry, ...], Limit(200)]


@event_type("information.requested.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationRequested(Event):
    """Information was asked for; the recipient owes an answer by ``due_on`` (clock K17)."""

    request_id: RequestId
    recipient: AgencyId
    gate: LegalGate
    scope: Narrative
    due_on: date


@event_type("information.acknowledged.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationAcknowledged(Event):
    """The recipient saw a request."""

    request_id: RequestId


@event_type("information.shared.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationShared(Event):
    """An agency shared what it knew: entries of a chronology."""

    request_id: RequestId | None = None
    entries: Entries
    family_told: FamilyTold
    caldicott_checks: tuple[CaldicottCheck, ...] = ()


@event_type("information.partly_shared.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationPartlyShared(Event):
    """An agency shared a part of what was asked and says what is missing and why."""

    request_id: RequestId
    entries: Entries
    withheld: Text
    reason: RefusalReason
    family_told: FamilyTold
    caldicott_checks: tuple[CaldicottCheck, ...] = ()


@event_type("information.nil_return.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class NilReturn(Event):
    """The recipient looked and holds nothing."""

    request_id: RequestId
    searched: Text


@event_type("information.refused.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationRefused(Event):
    """The recipient refuses, with its reason and legal basis; an injunction may follow (s16H(4))."""

    request_id: RequestId
    reason: RefusalReason
    legal_basis: Text
    explanation: Narrative


@event_type("information.queried.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationQueried(Event):
    """Someone asks the author what an entry means."""

    entry_id: RequestId
    question: Text


@event_type("information.offered.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationOffered(Event):
    """An agency says it holds something that may matter."""

    summary: Text
    children: tuple[ChildId, ...] = ()


@event_type("information.corrected.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationCorrected(Event):
    """The author replaced an entry; the former wording stays on the log and is marked."""

    entry_id: RequestId
    replacement: Entry
    reason: Text


@event_type("information.disputed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationDisputed(Event):
    """Another agency disagrees with an entry; both are shown."""

    entry_id: RequestId
    grounds: Narrative


@event_type("information.restricted.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class InformationRestricted(Event):
    """The marking of one entry, or of the whole case, was raised; only the named agencies read it from now on."""

    entry_id: RequestId | None = None
    """None: the whole case."""
    marking: Marking
    caveats: tuple[Caveat, ...] = ()
    named_agencies: tuple[AgencyId, ...]
    reason: Text


@event_type("information.onward_share_approved.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class OnwardShareApproved(Event):
    """The author agreed that an entry goes on to someone else."""

    entry_id: RequestId
    to: Label
    conditions: Text | None = None


@event_type("information.flag_raised.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRaised(Event):
    """A warning for whoever meets the child or family: who is at risk, of what, until when."""

    flag_id: RequestId
    flag: Label
    children: tuple[ChildId, ...]
    until_on: date
    explanation: Text


@event_type("information.flag_cleared.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class FlagCleared(Event):
    """A warning no longer stands."""

    flag_id: RequestId
    reason: Text


@event_type("information.enforcement_considered.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcementConsidered(Event):
    """Whether to seek an injunction for information refused (s16D(4), s16H(4)), and the decision."""

    request_id: RequestId
    seek_injunction: bool
    rationale: Narrative
