"""The tables of rapid reviews: timeliness (tables 6 to 8), local decisions, and the Panel's agreement with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from projections.oversight.body import Body, simple_body
from projections.oversight.cases import Case, PanelResponse
from projections.oversight.labels import DECISIONS
from projections.oversight.panel_table import Column, Figure, Kind, Row, percent
from projections.oversight.population import Counted, uncountable_reviews
from projections.oversight.timeliness import BANDS, ReviewTime, owes_review

_COLUMNS: Final = (
    Column(key="received", label="Received"),
    Column(key="not_yet_received", label="Not yet received"),
    Column(key="total", label="Total"),
    Column(key="percent", label="%", kind=Kind.PERCENT),
)
_APRIL: Final = 4
_SEPTEMBER: Final = 9
_NO_RESPONSE: Final = "none"
_RESPONSES: Final = {
    PanelResponse.AGREED.value: "agreed with the local decision",
    PanelResponse.DISAGREED.value: "disagreed with the local decision",
    PanelResponse.ASKED_FOR_MORE.value: "asked for more",
    _NO_RESPONSE: "no response yet",
}


def timeliness_of_all(counted: Counted) -> Body:
    """Count rapid reviews by band of working days (table 6)."""
    return _bands(counted, [counted.time(case) for case in counted.cases])


def timeliness_october_to_march(counted: Counted) -> Body:
    """Count those whose requested completion day lies in January to March or October to December (table 7)."""
    return _bands(counted, [time for time in map(counted.time, counted.cases) if not _in_summer_half(time)])


def timeliness_april_to_september(counted: Counted) -> Body:
    """Count those whose requested completion day lies in April to September (table 8)."""
    return _bands(counted, [time for time in map(counted.time, counted.cases) if _in_summer_half(time)])


def _in_summer_half(time: ReviewTime) -> bool:
    """Tell whether a review was asked for by a day from 1 April to 30 September."""
    return _APRIL <= time.due_on.month <= _SEPTEMBER


def _bands(counted: Counted, times: Iterable[ReviewTime]) -> Body:
    """Count reviews by band, those not yet received in their own column and in the band of their age."""
    listed = list(times)
    received = Counter(time.band for time in listed if time.received)
    waiting = Counter(time.band for time in listed if not time.received)
    base = len(listed)
    ages = [time.working_days for time in listed if not time.received]
    uncountable = uncountable_reviews(counted.population)
    note = f"{uncountable} rapid reviews have no requested completion day: outside the calendar, or before the Panel's clock began."
    return Body(
        columns=_COLUMNS,
        rows=tuple(_band_row(name, name, received[name], waiting[name], base) for name, _ in BANDS),
        total=_band_row("total", "Total", received.total(), waiting.total(), base),
        figures=(
            Figure(key="fewest_days_waiting", label="Fewest working days of those not yet received", value=min(ages)),
            Figure(key="most_days_waiting", label="Most working days of those not yet received", value=max(ages)),
        )
        if ages
        else (),
        notes=(note,) if uncountable else (),
    )


def _band_row(key: str, label: str, received: int, waiting: int, base: int) -> Row:
    """Return the row of a band."""
    total = received + waiting
    return Row(key=key, label=label, cells=(received, waiting, total, percent(total, base, 0)))


def decisions(counted: Counted) -> Body:
    """Count the partners' decisions on a local review; what owes no rapid review owes no decision."""
    return simple_body(DECISIONS, (case.decision for case in counted.cases if owes_review(case)), "%", 0)


def agreement(counted: Counted) -> Body:
    """Count the Panel's last response to each rapid review it has received by the count day."""
    received = [case for case in counted.cases if owes_review(case) and case.received_on is not None]
    return simple_body(_RESPONSES, (_response(case) for case in received), "% of reviews received", 0)


def _response(case: Case) -> str:
    """Return the Panel's last response, or that there is none."""
    return _NO_RESPONSE if case.response is None else case.response.value
