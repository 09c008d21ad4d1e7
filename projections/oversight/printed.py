"""Where each table's printed figures stand in the data file of the Panel's report, and what the printed counts themselves would give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from projections.oversight.panel_table import Cell, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """One printed figure. ``row`` is a row's key or label, or the key of a figure beside the table."""

    row: str
    column: str
    value: Cell
    recomputed: Cell = None
    """What the printed counts give in its place, rounded half up; None where they cannot tell."""


Extract = Callable[[Mapping[str, Any]], Iterator[Printed]]
_TYPES: Final = ("death", "serious_harm", "other", "total")


def _figure(value: Any) -> Cell:
    """Return a printed figure exactly as printed."""
    return value if value is None or isinstance(value, int) else Decimal(str(value))


def _text(published: Mapping[str, Any], identity: str) -> Any:
    """Return a figure that is printed in the text."""
    return next(one["value"] for one in published["in_text"] if one["id"] == identity)


def _number_and_percent(row: str, number: int, printed: Any, base: int, places: int) -> Iterator[Printed]:
    """Yield a count and its percent, where one is printed."""
    yield Printed(row=row, column="number", value=number)
    if printed is not None:
        yield Printed(row=row, column="percent", value=_figure(printed), recomputed=percent(number, base, places))


def _simple(name: str, percents: str, base: Callable[[Mapping[str, Any]], int], places: int) -> Extract:
    """Return how to read a table of numbers and percents."""

    def extract(published: Mapping[str, Any]) -> Iterator[Printed]:
        table = published["tables"][name]
        for row in table["rows"]:
            yield from _number_and_percent(row["label"], row["number"], row[percents], base(table), places)
            for below in table.get("subrows", {}).get(row["label"], ()):
                yield Printed(row=_SUBROWS[below["label"]], column="number", value=below["number"])
        yield Printed(row="total", column="number", value=table.get("reported_total", table.get("total")))
        if "reported_total_percent" in table:
            yield Printed(row="total", column="percent", value=_figure(table["reported_total_percent"]))
        if "derived" in table:
            yield Printed(row="recorded_base", column="number", value=table["derived"]["recorded_base"])

    return extract


_SUBROWS: Final = {
    "Accident": "other_maltreatment_related.accident",
    "Medical": "other_maltreatment_related.medical",
    "Risk-taking behaviour": "other_maltreatment_related.risk_taking",
    "Poisoning": "other_maltreatment_related.poisoning",
    "Other": "other_maltreatment_related.other",
}


def _characteristics(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read table 4, and its bases as our last row."""
    table = published["tables"]["table_4"]
    for row in table["rows"]:
        for kind in _TYPES:
            yield Printed(row=row["label"], column=kind, value=row[kind])
            if f"{kind}_pct" in row:
                right = percent(row[kind], table["bases"][kind], 1)
                yield Printed(row=row["label"], column=f"{kind}_percent", value=_figure(row[f"{kind}_pct"]), recomputed=right)
    for kind in _TYPES:
        yield Printed(row="total", column=kind, value=table["bases"][kind])


def _timeliness(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read table 6."""
    table = published["tables"]["table_6"]
    total = table["reported_total"]
    for row in table["rows"]:
        band = row["band_working_days"]
        yield Printed(row=band, column="received", value=row["received"])
        yield Printed(row=band, column="not_yet_received", value=row["not_yet_received_march_2021"])
        yield Printed(row=band, column="total", value=row["total"])
        yield Printed(row=band, column="percent", value=_figure(row["percent"]), recomputed=percent(row["total"], total["total"], 0))
    for column in ("received", "not_yet_received", "total", "percent"):
        yield Printed(row="total", column=column, value=_figure(total[column]))


def _gender(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read the genders of paragraph 20."""
    base = _text(published, "children_total")
    for name, printed in _text(published, "gender").items():
        yield from _number_and_percent(name, printed["number"], printed["percent"], base, 0)
    yield Printed(row="total", column="number", value=base)


def _age(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read the two bands that paragraph 20 names."""
    yield Printed(row="Under 1", column="percent", value=_figure(_text(published, "age_under_1_percent")))
    yield Printed(row="15 to 17", column="percent", value=_figure(_text(published, "age_15_17_percent")))


def _deprivation(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read the two fifths that are named."""
    yield Printed(row="1", column="percent", value=_figure(_text(published, "imd_most_deprived_20pct")))
    yield Printed(row="5", column="percent", value=_figure(_text(published, "imd_least_deprived_20pct")))


def _other_characteristics(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read the counts of the text that are of all incidents; its percents are of other bases or other units."""
    for identity in ("maternal_mental_ill_health", "paternal_mental_ill_health"):
        yield Printed(row=identity, column="total", value=_text(published, identity)["number"])
    yield Printed(row="secure_establishment", column="total", value=_text(published, "secure_establishments"))


def _areas(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read paragraph 60."""
    printed = _text(published, "notifications_per_area")
    yield Printed(row="none", column="number", value=printed["none"]["number"])
    yield Printed(row="one or two", column="percent", value=_figure(printed["one_or_two_percent"]))
    yield Printed(row="three to six", column="percent", value=_figure(printed["three_to_six_percent"]))
    yield Printed(row="seven or more", column="number", value=printed["seven_or_more"]["number"])
    yield Printed(row="seven or more", column="percent", value=_figure(printed["seven_or_more"]["percent"]))


def _decisions(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read paragraph 67."""
    base = _text(published, "notifications_total")
    keys = {"proceed": "local_review", "no_lcspr": "no_local_review", "not_yet": "undecided"}
    for name, printed in _text(published, "local_decisions").items():
        yield from _number_and_percent(keys[name], printed["number"], printed["percent"], base, 0)


def _agreement(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read the box at paragraph 67."""
    yield Printed(row="agreed", column="percent", value=_figure(_text(published, "panel_agreement_percent")))


def _initiated(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read paragraph 70, whose years do not add up to its total."""
    years = _text(published, "lcspr_initiated_by_year")
    for year, number in years.items():
        yield Printed(row=year, column="number", value=number)
    yield Printed(row="total", column="number", value=_text(published, "lcspr_initiated_cumulative"), recomputed=sum(years.values()))


def _received(published: Mapping[str, Any]) -> Iterator[Printed]:
    """Read the local reviews received."""
    printed = _text(published, "lcspr_received")
    yield Printed(row="published", column="number", value=printed["published"])
    yield Printed(row="intend_to_publish", column="number", value=printed["intend_to_publish"])
    yield Printed(row="not_intending_to_publish", column="number", value=printed["not_intending_to_publish"])
    yield Printed(row="total", column="number", value=printed["total"])
    yield Printed(row="over_200_working_days", column="number", value=_text(published, "lcspr_over_200_working_days"))


PRINTED: Final[Mapping[str, Extract]] = {
    "chart": _simple("chart_1", "percent", lambda table: int(table["total"]), 0),
    "1": _simple("table_1", "percent_where_recorded", lambda table: int(table["derived"]["recorded_base"]), 1),
    "2": _simple("table_2", "percent_of_fatal", lambda table: int(table["reported_total"]), 1),
    "3": _simple("table_3", "percent_of_nonfatal", lambda table: int(table["reported_total"]), 1),
    "4": _characteristics,
    "6": _timeliness,
    "gender": _gender,
    "age": _age,
    "deprivation": _deprivation,
    "characteristics": _other_characteristics,
    "areas": _areas,
    "decisions": _decisions,
    "agreement": _agreement,
    "local_reviews_initiated": _initiated,
    "local_reviews_received": _received,
}
FULL_TABLES: Final = frozenset({"chart", "1", "2", "3", "4", "6"})
"""The tables that are printed whole: a count of ours that they lack is a difference."""
