"""What a view is: tables, a version, and one function from events to rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, MetaData, Table

from domain.kernel.events import Recorded

if TYPE_CHECKING:
    from projections.kernel.batch import Unreadable

Tables = Mapping[str, Table]
"""A view's tables of one generation, by the short name that its modules use."""

WHILE_BUILDING: Final = "while building"
"""Stands in the ``info`` of an index that the projection itself needs; all others are made when a generation is filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One read model. Its rows are a function of the log alone: the same log gives the same rows, however it is batched."""

    name: str
    version: str
    """Changes whenever rows would: code, rules and calendar. Another version is built beside the live one, then swapped in."""
    define: Callable[[MetaData, str], Tables]
    """Define the tables in a ``MetaData``; the second argument is the prefix of every table name."""
    handles: frozenset[str]
    """The event types it makes rows from."""
    ignores: frozenset[str]
    """The event types it passes over, named so that a new event is never passed over by oversight."""
    apply: Callable[[Connection, Tables, Sequence[Recorded]], None]
    """Write the rows of a batch of one shard, in position order (only ``handles`` types).

    Copes with ``Recorded.event`` None. Raises on an event it cannot take.
    """
    pass_over: Callable[[Connection, Tables, str, Recorded | Unreadable], None] | None = None
    """Write what an event of a shard that is not applied, since it parks its stream or its stream is parked, says of who may read.

    Whatever else a view lacks, it must not show what was closed to a reader. Raises nothing.
    """
