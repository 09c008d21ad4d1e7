"""The Panel's list of cases with their stage and timeliness at the end of a count day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.incident.codes import NotificationType
from domain.kernel.ids import AgencyId, CaseId, Shard
from domain.rapid_review.events import Decision
from projections.oversight.cases import Case, PanelResponse
from projections.oversight.panel_table import Basis, Period
from projections.oversight.review_clock import ReviewClock
from projections.oversight.timeliness import Timeliness, owes_review, review_time


class Stage(StrEnum):
    """How far a case has come, the furthest first reached last."""

    NOTIFIED = "notified"
    REVIEW_OPEN = "review_open"
    REVIEW_COMPLETED = "review_completed"
    REVIEW_RECEIVED = "review_received"
    PANEL_RESPONDED = "panel_responded"
    LOCAL_REVIEW_INITIATED = "local_review_initiated"
    LOCAL_REVIEW_WITH_PANEL = "local_review_with_panel"
    NOT_TO_BE_PUBLISHED = "not_to_be_published"
    PUBLISHED = "published"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """One case in the list. Days are London days; ``working_days`` run from notification to receipt, or to the count day."""

    case_id: CaseId
    shard: Shard
    stage: Stage
    notification_type: NotificationType
    council: AgencyId
    occurred_on: date
    notified_on: date
    imported: bool
    children: int
    timeliness: Timeliness
    due_on: date | None
    received_on: date | None
    working_days: int | None
    band: str | None
    decision: Decision
    response: PanelResponse | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """Which cases to list; an empty set or None lets all through. ``basis`` (occurred, notified or due) says which day ``period`` is of."""

    shards: frozenset[Shard] = frozenset()
    councils: frozenset[AgencyId] = frozenset()
    stages: frozenset[Stage] = frozenset()
    timeliness: frozenset[Timeliness] = frozenset()
    notification_types: frozenset[NotificationType] = frozenset()
    period: Period | None = None
    basis: Basis = Basis.NOTIFIED

    def __post_init__(self) -> None:
        """Refuse a basis that names no day of a line."""
        if self.basis not in {Basis.OCCURRED, Basis.NOTIFIED, Basis.DUE, Basis.RECEIVED}:
            raise ValueError(f"basis of a list of cases: expected occurred, notified, due or received; found {self.basis}")

    def admits(self, line: CaseLine) -> bool:
        """Tell whether a line is asked for."""
        return (
            _either(self.shards, line.shard)
            and _either(self.councils, line.council)
            and _either(self.stages, line.stage)
            and _either(self.timeliness, line.timeliness)
            and _either(self.notification_types, line.notification_type)
            and self._in_period(line)
        )

    def _in_period(self, line: CaseLine) -> bool:
        """Tell whether the day that the basis names exists and lies in the period, where one is given."""
        if self.period is None:
            return True
        days = {
            Basis.OCCURRED: line.occurred_on,
            Basis.NOTIFIED: line.notified_on,
            Basis.DUE: line.due_on,
            Basis.RECEIVED: line.received_on,
        }
        day = days[self.basis]
        return day is not None and day in self.period


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """One page of the list, by notification day, then case id and shard. ``next_after`` continues it; None on the last page."""

    lines: tuple[CaseLine, ...]
    total: int
    """How many cases the filter lets through, on all pages."""
    next_after: str | None


def line_of(case: Case, count_day: date, clock: ReviewClock) -> CaseLine:
    """Return the line of a case as at the end of a count day."""
    time = review_time(case, count_day, clock) if owes_review(case) else None
    standing = Timeliness.NOT_OWED if not owes_review(case) else Timeliness.NOT_COUNTABLE
    return CaseLine(
        case_id=case.case_id,
        shard=case.shard,
        stage=stage_of(case),
        notification_type=case.notice.notification_type,
        council=case.notifier,
        occurred_on=case.notice.occurred_on,
        notified_on=case.notified_on,
        imported=case.imported,
        children=len(case.notice.children),
        timeliness=standing if time is None else time.standing(count_day, case.received_on),
        due_on=None if time is None else time.due_on,
        received_on=case.received_on,
        working_days=None if time is None else time.working_days,
        band=None if time is None else time.band,
        decision=case.decision,
        response=case.response,
    )


def stage_of(case: Case) -> Stage:
    """Return the furthest stage that a case has reached; an end outranks what came before it."""
    review = case.local_review
    reached = (
        (case.withdrawn_on is not None, Stage.WITHDRAWN),
        (case.closed_on is not None, Stage.CLOSED),
        (review is not None and review.published_on is not None, Stage.PUBLISHED),
        (review is not None and review.declined_on is not None, Stage.NOT_TO_BE_PUBLISHED),
        (review is not None and review.with_panel_on is not None, Stage.LOCAL_REVIEW_WITH_PANEL),
        (review is not None, Stage.LOCAL_REVIEW_INITIATED),
        (case.response is not None, Stage.PANEL_RESPONDED),
        (case.received_on is not None, Stage.REVIEW_RECEIVED),
        (case.completed_on is not None, Stage.REVIEW_COMPLETED),
        (case.opened_on is not None, Stage.REVIEW_OPEN),
    )
    return next((stage for is_reached, stage in reached if is_reached), Stage.NOTIFIED)


def page_of(lines: Sequence[CaseLine], wanted: CaseFilter, after: str | None, limit: int) -> CasePage:
    """Return up to ``limit`` lines that follow the place ``after`` (from ``next_after``; None for the first page)."""
    if limit < 1:
        raise ValueError(f"rows of a page: expected at least 1, found {limit}")
    through = sorted((line for line in lines if wanted.admits(line)), key=_place)
    rest = [line for line in through if after is None or _place(line) > after]
    shown = rest[:limit]
    return CasePage(lines=tuple(shown), total=len(through), next_after=_place(shown[-1]) if len(rest) > limit else None)


def _place(line: CaseLine) -> str:
    """Return where a line stands in the list: text that sorts as the list does."""
    return f"{line.notified_on.isoformat()} {line.case_id} {line.shard}"


def _either(wanted: frozenset[str], found: str) -> bool:
    """Tell whether a value is asked for; an empty set asks for any."""
    return not wanted or found in wanted
