"""Synthetic councils, each with its partnership, integrated care board and police force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.kernel.ids import AgencyId, Shard

PARTNERSHIPS: Final = 151
"""As many as England had councils with children's services in 2020: one partnership each here."""
_BOARDS: Final = 42
_FORCES: Final = 39
_FIRST: Final = (
    "Ash",
    "Birch",
    "Elder",
    "Fern",
    "Hazel",
    "Holly",
    "Larch",
    "Oak",
    "Rowan",
    "Thorn",
    "Willow",
    "Yew",
    "Alder",
    "Maple",
    "Pine",
)
_LAST: Final = ("bridge", "combe", "dale", "field", "ford", "ham", "mere", "mouth", "stead", "wick", "worth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One council's area: its shard and who acts in it."""

    shard: Shard
    name: str
    council: AgencyId
    board: AgencyId
    police: AgencyId
    business_unit: AgencyId

    @property
    def partners(self) -> tuple[AgencyId, AgencyId, AgencyId]:
        """The statutory partners, each of which signs a review off."""
        return (self.council, self.board, self.police)


def england(partnerships: int = PARTNERSHIPS) -> tuple[Area, ...]:
    """Return that many areas. Boards and forces serve several areas each, as in life."""
    return tuple(_area(number) for number in range(1, partnerships + 1))


def _area(number: int) -> Area:
    name = _FIRST[number % len(_FIRST)] + _LAST[number // len(_FIRST) % len(_LAST)]
    return Area(
        shard=Shard(f"synthetic-{number:03d}"),
        name=f"{name} (synthetic)",
        council=AgencyId(f"la-X{number:04d}"),
        board=AgencyId(f"icb-X{number % _BOARDS + 1:02d}"),
        police=AgencyId(f"police-X{number % _FORCES + 1:02d}"),
        business_unit=AgencyId(f"partnership-X{number:04d}"),
    )
