"""Writing many rows at once: the statement is compiled once a table, and the driver gets plain tuples.

``Connection.execute(insert(table), rows)`` makes up parameters anew for every row, which took a third of a rebuild's time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Boolean, Column, Connection, Dialect, LargeBinary, Table, insert

from projections.kernel.columns import Instant, Json

_Bind = Callable[[Any], Any]
_NATIVE: Final = (Boolean, LargeBinary)
"""What a driver that takes values by place takes as it is."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How rows of one table go to a driver that takes them by place."""

    statement: str
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    """Takes a row's values in the order in which the statement wants them."""
    binds: tuple[tuple[int, _Bind], ...]
    """What turns some of them into the driver's, by their place."""


_PLANS: Final[WeakKeyDictionary[Table, _Plan]] = WeakKeyDictionary()


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, each of which names every column of the table; raise ``KeyError`` for one that does not. None are fine."""
    if not rows:
        return
    if not connection.dialect.positional:
        connection.execute(insert(table), rows)
        return
    plan = _PLANS.get(table)
    if plan is None:
        plan = _PLANS[table] = _plan(connection, table)
    connection.exec_driver_sql(plan.statement, [_tuple(plan, row) for row in rows])


def _plan(connection: Connection, table: Table) -> _Plan:
    """Compile the statement of a table for the connection's database."""
    dialect = connection.dialect
    binds = [(place, _bind(column, dialect)) for place, column in enumerate(table.columns)]
    return _Plan(
        statement=str(insert(table).compile(dialect=dialect)),
        values=itemgetter(*table.columns.keys()),
        binds=tuple((place, bind) for place, bind in binds if bind is not None),
    )


def _bind(column: Column[Any], dialect: Dialect) -> _Bind | None:
    """Return what a value needs to become the driver's, or None. The columns of ours are asked without SQLAlchemy's wrapping."""
    if isinstance(column.type, _NATIVE):
        return None
    if isinstance(column.type, Instant | Json):
        return partial(column.type.process_bind_param, dialect=dialect)
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def _tuple(plan: _Plan, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a row's values as the driver wants them."""
    values = list(plan.values(row))
    for place, bind in plan.binds:
        values[place] = bind(values[place])
    return tuple(values)
