"""The tables of local reviews and of the areas that notify."""

from __future__ import annotations

from collections import Counter
from typing import Final

from domain.calendar import OutsideCalendar, working_days_between
from projections.oversight.body import NUMBER, Body, simple_body
from projections.oversight.cases import LocalReview
from projections.oversight.panel_table import Figure, Row
from projections.oversight.population import Counted

_LONG_WORKING_DAYS: Final = 200  # Panel annual report 2020 para 70
_AREA_BANDS: Final = (("none", 0), ("one or two", 2), ("three to six", 6), ("seven or more", None))
_STATES: Final = {
    "published": "published",
    "intend_to_publish": "intention to publish",
    "not_intending_to_publish": "not intending to publish",
}


def local_reviews_initiated(counted: Counted) -> Body:
    """Count local reviews by the year of the decision to initiate them, from the first year that has one to the last."""
    years = Counter(review.decided_on.year for review in _reviews(counted))
    span = range(min(years), max(years) + 1) if years else ()
    return Body(
        columns=(NUMBER,),
        rows=tuple(Row(key=str(year), label=str(year), cells=(years[year],)) for year in span),
        total=Row(key="total", label="Total", cells=(years.total(),)),
    )


def local_reviews_received(counted: Counted) -> Body:
    """Count local reviews that the Panel has, by what became of publication by the count day."""
    reviews = _reviews(counted)
    body = simple_body(_STATES, (_state(review) for review in reviews), "%", 0)
    figures = (
        Figure(
            key="improvements_only",
            label="Published as information about improvements only",
            value=sum(review.improvements_only for review in reviews),
        ),
        Figure(
            key="over_200_working_days",
            label=f"Published more than {_LONG_WORKING_DAYS} working days after the decision to initiate",
            value=sum(_took_long(review, counted) for review in reviews),
        ),
        Figure(
            key="unpublished",
            label="Published and since taken out of public view by a court",
            value=sum(review.unpublished_on is not None for review in reviews),
        ),
    )
    return Body(columns=body.columns, rows=body.rows, total=body.total, figures=figures)


def notifications_per_area(counted: Counted) -> Body:
    """Count all enrolled councils by how many of the incidents each notified."""
    councils = counted.population.councils
    made = Counter(case.notifier for case in counted.cases)
    labels = {name: name for name, _ in _AREA_BANDS}
    strangers = sum(number for council, number in made.items() if council not in councils)
    body = simple_body(labels, (_area_band(made[council]) for council in councils), "% of areas", 0)
    note = f"{strangers} incidents were notified by councils that are not enrolled."
    return Body(columns=body.columns, rows=body.rows, total=body.total, notes=(note,) if strangers else ())


def _reviews(counted: Counted) -> list[LocalReview]:
    """Return the local reviews of the cases counted."""
    return [case.local_review for case in counted.cases if case.local_review is not None]


def _state(review: LocalReview) -> str:
    """Return what became of publication; what is published stays so counted even if a court took it out of view."""
    if review.published_on is not None:
        return "published"
    return "intend_to_publish" if review.declined_on is None else "not_intending_to_publish"


def _took_long(review: LocalReview, counted: Counted) -> bool:
    """Tell whether publication came more than 200 working days after the decision; not where the calendar does not reach."""
    if review.published_on is None:
        return False
    try:
        return working_days_between(review.decided_on, review.published_on, counted.population.clock.calendar) > _LONG_WORKING_DAYS
    except OutsideCalendar:
        return False


def _area_band(notifications: int) -> str:
    """Return the band of a number of notifications."""
    return next(name for name, last in _AREA_BANDS if last is None or notifications <= last)
