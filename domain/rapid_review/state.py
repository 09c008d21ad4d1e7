"""What is known of a rapid review: a union in which illegal states cannot be written, and the questions other areas ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.kernel.facts import Facts
from domain.kernel.ids import AgencyId, Stream, stream
from domain.rapid_review.events import (
    Decision,
    DecisionMade,
    DecisionReconsidered,
    PanelAskedForMore,
    PanelDisagreed,
    PartnerSignedOff,
    RapidReviewCompleted,
)


class Answer(StrEnum):
    """What the Panel says to a rapid review."""

    AGREED = "agreed"
    DISAGREED = "disagreed"
    ASKED_FOR_MORE = "asked_for_more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No rapid review was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The review began."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft exists."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The review is complete and has not gone to the Panel."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The Panel has the review and has not answered it since."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """The Panel answered; a review sent anew thereafter is ``Sent`` again."""

    facts: Facts
    answer: Answer


Begun = Open | Drafted | Completed | Sent | Responded
RapidReview = Unknown | Begun


def rapid_review_stream(case_id: str) -> Stream:
    """Name the rapid review stream of a case."""
    return stream("rapid_review", case_id)


def rapid_review_in(others: Mapping[Stream, Any], case_id: str) -> RapidReview:
    """Return the case's rapid review among the states that were read; Unknown if it was not."""
    found = others.get(rapid_review_stream(case_id))
    return found if isinstance(found, Begun) else Unknown()


def facts_of(state: RapidReview) -> Facts:
    """Return what the review says; empty facts where none was opened."""
    return Facts() if isinstance(state, Unknown) else state.facts


def is_sent(state: RapidReview) -> bool:
    """Tell whether the Panel has the review, answered or not."""
    return isinstance(state, (Sent, Responded))


def is_complete(state: RapidReview) -> bool:
    """Tell whether the review was said to be complete."""
    return facts_of(state).has(RapidReviewCompleted)


def is_decided(state: RapidReview) -> bool:
    """Tell whether the partners decided anything, be it that they are undecided, or what nobody can read any more."""
    return facts_of(state).has(DecisionMade, DecisionReconsidered)


def decision_of(state: RapidReview) -> Decision | None:
    """Return the partners' newest decision, reconsidered or not; None if there is none or its body is gone."""
    return decision_in(facts_of(state))


def decision_in(facts: Facts) -> Decision | None:
    """Return the newest decision that the facts hold; None if there is none or its body is gone."""
    newest = facts.last(DecisionMade, DecisionReconsidered)
    return None if newest is None or newest.gist is None else Decision(newest.values[0])


def signed_off_by(state: RapidReview) -> frozenset[AgencyId]:
    """Return the partners that signed the review off: the header of their event says who they are, so it outlives its body."""
    return frozenset(fact.agency_id for fact in facts_of(state).of(PartnerSignedOff))


def this_round(facts: Facts) -> Facts:
    """Return what was said since the Panel last disagreed or asked for more: from there on the steps may be taken anew."""
    return facts.since(PanelDisagreed, PanelAskedForMore)
