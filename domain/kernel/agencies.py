"""The kinds of agency, and the one rule that an agency's id names its kind."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

from domain.kernel.ids import AgencyId


class AgencyKind(StrEnum):
    """Who may speak, and in what capacity (Children Act 2004 ss16C-16L; Working Together)."""

    LOCAL_AUTHORITY = "local_authority"
    ICB = "icb"
    POLICE = "police"
    PARTNERSHIP = "partnership"
    RELEVANT_AGENCY = "relevant_agency"
    PANEL = "panel"
    LSCB = "lscb"
    OPERATOR = "operator"
    HUB = "hub"


STATUTORY_PARTNERS: Final = frozenset({AgencyKind.LOCAL_AUTHORITY, AgencyKind.ICB, AgencyKind.POLICE})
"""The safeguarding partners for an area (Children Act 2004 s16E(3))."""

_PREFIXES: Final = {
    "la": AgencyKind.LOCAL_AUTHORITY,
    "icb": AgencyKind.ICB,
    "police": AgencyKind.POLICE,
    "partnership": AgencyKind.PARTNERSHIP,
    "agency": AgencyKind.RELEVANT_AGENCY,
    "lscb": AgencyKind.LSCB,
}
_SINGLE: Final = {"panel": AgencyKind.PANEL, "operator": AgencyKind.OPERATOR, "hub": AgencyKind.HUB}
_FORM: Final = re.compile(r"(?:(la|icb|police|partnership|agency|lscb)-[A-Za-z0-9][A-Za-z0-9-]{0,47}|panel|operator|hub)")
_KEPT_MAX: Final = 10_000
"""Every rule asks for the sender's kind; there are some hundred agencies, but anybody may name one that does not exist."""


@lru_cache(maxsize=_KEPT_MAX)
def kind_of(agency_id: str) -> AgencyKind:
    """Return the kind an agency id names; raise ``ValueError`` for text that is no agency id."""
    match = _FORM.fullmatch(agency_id)
    if match is None:
        raise ValueError("an agency id is la-, icb-, police-, partnership-, agency- or lscb- and a code, or panel, operator, hub")
    prefix = match.group(1)
    return _SINGLE[agency_id] if prefix is None else _PREFIXES[prefix]


def is_agency_id(text: str) -> bool:
    """Tell whether ``text`` has the form of an agency id."""
    return _FORM.fullmatch(text) is not None


PANEL_ID: Final = AgencyId("panel")
OPERATOR_ID: Final = AgencyId("operator")
HUB_ID: Final = AgencyId("hub")
