"""The tables of rapid reviews: timeliness (tables 6 to 8), local decisions, and the Panel's agreement with them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from projections.oversight.body import Body, simple_body
from projections.oversight.cases import Case, PanelResponse
from projections.oversight.labels import DECISIONS
from projections.oversight.panel_table import Column, Figure, Kind, Row, percent
from projections.oversight.population import Counted, uncountable_reviews
from projections.oversight.timeliness import BANDS

_COLUMNS: Final = (
    Column(key="received", label="Received"),
    Column(key="not_yet_received", label="Not yet received"),
    Column(key="total", label="Total"),
    Column(key="percent", label="%", kind=Kind.PERCENT),
)
_NO_RESPONSE: Final = "none"
_RESPONSES: Final = {
    PanelResponse.AGREED.value: "agreed with the local decision",
    PanelResponse.DISAGREED.value: "disagreed with the local decision",
    PanelResponse.ASKED_FOR_MORE.value: "asked for more",
    _NO_RESPONSE: "no response yet",
}


def timeliness(counted: Counted) -> Body:
    """Count reviews by band of working days, those not yet received in their own column and in the band of their age (tables 6 to 8)."""
    listed = [counted.time(case) for case in counted.cases]
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
    """Count the partners' decisions on a local review."""
    return simple_body(DECISIONS, (case.decision for case in counted.cases), "%", 0)


def agreement(counted: Counted) -> Body:
    """Count the Panel's last response to each rapid review it has received by the count day."""
    return simple_body(_RESPONSES, (_response(case) for case in counted.cases), "% of reviews received", 0)


def _response(case: Case) -> str:
    """Return the Panel's last response, or that there is none."""
    return _NO_RESPONSE if case.response is None else case.response.value
