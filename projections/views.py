"""Every view of the hub."""

from __future__ import annotations

from typing import Final

from projections.chronology.projection import CHRONOLOGY
from projections.deadlines.projection import DEADLINES
from projections.kernel.view import View
from projections.oversight.projection import OVERSIGHT
from projections.registry.projection import REGISTRY

VIEWS: Final[tuple[View, ...]] = (CHRONOLOGY, DEADLINES, OVERSIGHT, REGISTRY)
