"""What ``GetTimeliness`` is asked, and its answer: the deadlines of a period by how they stood at the end of a count day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from domain.calendar import end_of_day
from domain.rules import bundled_rulebook
from projections.deadlines.queries import DeadlineReader
from projections.deadlines.timeliness import Grouping, Standing, Timeliness, count_timeliness, dated_duties, undated_clocks
from projections.deadlines.wanted import DeadlineFilter
from projections.kernel.database import Reading
from projections.oversight.panel_table import Period, percent
from safeguarding.hub.v1 import oversight_pb2 as pb
from services.runtime.errors import Invalid, Violation

UNIT: Final = "deadlines: one for each run of a clock in a case"
BASE: Final = "deadlines met, late or overdue; not those cancelled, not yet due or not known"
BASIS: Final = "due day in the period"
_PERCENT_PLACES: Final = 1
"""Most duties are mostly kept: without a decimal 2 late of 458 would read as 100%."""
_NOTES: Final = (
    "late, authorised: past a due day for which the rules authorise lateness, met or not",
    "working days late are of those met late, authorised or not, and of those overdue",
    "a deadline whose due day cannot be known is in no period",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinessAsked:
    """What is asked, checked."""

    period: Period
    count_day: date
    as_of: datetime
    """The last moment of the count day; now, while that day is not over: a deadline at an hour to come is not yet overdue."""
    clocks: frozenset[str]
    grouping: Grouping | None

    @classmethod
    def of(cls, request: pb.GetTimelinessRequest, period: Period, count_day: date, now: datetime) -> TimelinessAsked:
        """Return what a request asks; raise ``Invalid`` for a clock that no duty with a day has, and for a grouping there is none of."""
        known = dict.fromkeys(duty.clock for duty in dated_duties(bundled_rulebook().rules).values())
        if any(clock not in known for clock in request.clocks):
            raise Invalid(Violation("clocks", "among " + ", ".join(known)))
        if request.by and request.by not in [grouping.value for grouping in Grouping]:
            raise Invalid(Violation("by", "expected one of " + ", ".join(Grouping)))
        return cls(
            period=period,
            count_day=count_day,
            as_of=min(end_of_day(count_day) - datetime.resolution, now),
            clocks=frozenset(request.clocks),
            grouping=Grouping(request.by) if request.by else None,
        )


def timeliness(reading: Reading, asked: TimelinessAsked) -> pb.GetTimelinessResponse:
    """Count what is asked over one look at the deadlines view."""
    rulebook = bundled_rulebook()
    reader = DeadlineReader(reading.connection, reading.tables, rulebook, asked.as_of)
    due = reader.list_due(asked.period.first, asked.period.last, DeadlineFilter(clocks=asked.clocks))
    duties = {name: duty for name, duty in dated_duties(rulebook.rules).items() if not asked.clocks or duty.clock in asked.clocks}
    undated = ", ".join(undated_clocks(rulebook.rules))
    return pb.GetTimelinessResponse(
        duties=[_duty(one) for one in count_timeliness(due, duties, asked.grouping)],
        unit=UNIT,
        base=BASE,
        basis=BASIS,
        period=str(asked.period),
        count_day=asked.count_day.isoformat(),
        notes=[*_NOTES, f"{undated} set no day: nothing of theirs falls due"],
        rules_version=rulebook.rules.version,
        calendar_version=rulebook.calendar.version,
    )


def _duty(counted: Timeliness) -> pb.DutyTimeliness:
    counts, median = counted.counts, counted.median_working_days_late
    on_time_percent = percent(counts[Standing.ON_TIME], counted.decided, _PERCENT_PLACES)
    return pb.DutyTimeliness(
        shard=counted.shard,
        clock=counted.duty.clock,
        part=counted.duty.part,
        name=counted.duty.name,
        due=counted.due,
        on_time=counts[Standing.ON_TIME],
        late=counts[Standing.LATE],
        late_authorised=counts[Standing.LATE_AUTHORISED],
        overdue=counts[Standing.OVERDUE],
        not_yet_due=counts[Standing.NOT_YET_DUE],
        cancelled=counts[Standing.CANCELLED],
        not_known=counts[Standing.NOT_KNOWN],
        on_time_percent="" if on_time_percent is None else str(on_time_percent),
        median_working_days_late="" if median is None else str(median),
        longest_working_days_late=counted.longest_working_days_late,
    )
