"""Frozen things made field by field: what the generated ``__init__`` of a frozen slotted dataclass does, in a third of its time.

A mould has the slots of the frozen class, and they can be set: what is made in it becomes of the class when it is whole. Every event
makes some dozens of such things, and setting each of their slots past the class's own ``__setattr__`` takes longer than all else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, cast

T = TypeVar("T")


def assembler(cls: type[T]) -> Callable[..., T]:
    """Return the function that makes a dataclass from the values of all its fields, in their order."""
    given = [field.name for field in fields(cast("Any", cls))]
    lines = [f"def assemble({', '.join(given)}):", " value = mould()", *(f" value.{name} = {name}" for name in given)]
    lines += [" value.__class__ = cls", " return value"]
    return cast("Callable[..., T]", compiled("assemble", lines, moulds(cls)))


def quick(cls: type[T]) -> type[T]:
    """Give a frozen slotted dataclass, of which there are no subclasses, an ``__init__`` that takes the same and is quicker."""
    names = moulds(cls) | {"change": object.__setattr__}
    own = fields(cast("Any", cls))
    placed = [_parameter(field, names) for field in own if not field.kw_only]
    named = [_parameter(field, names) for field in own if field.kw_only]
    lines = [f"def __init__({', '.join(['self', *placed, *(['*', *named] if named else [])])}):", " change(self, '__class__', mould)"]
    lines += [f" self.{field.name} = {_value(field)}" for field in own]
    lines += [" self.__class__ = cls"]
    made = compiled("__init__", lines, names)
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    setattr(cls, "__init__", made)  # noqa: B010 (mypy refuses the plain assignment)
    return cls


def _parameter(field: Field[Any], names: dict[str, Any]) -> str:
    """Return a field as a parameter; put what it is when not given into ``names``."""
    if field.default_factory is not MISSING:
        names[f"make_{field.name}"] = field.default_factory
        names["missing"] = MISSING
        return f"{field.name}=missing"
    if field.default is MISSING:
        return field.name
    names[f"default_{field.name}"] = field.default
    return f"{field.name}=default_{field.name}"


def _value(field: Field[Any]) -> str:
    """Return the expression of what a field is set to."""
    if field.default_factory is MISSING:
        return field.name
    return f"make_{field.name}() if {field.name} is missing else {field.name}"


def moulds(cls: Any) -> dict[str, Any]:
    """Return a class and its mould by the names that a compiled function has for them; raise ``TypeError`` for a ``__post_init__``."""
    if hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} has a __post_init__, which would be passed over")
    plain = {"__init__": object.__init__, "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    mould = type(f"{cls.__name__}Mould", cls.__bases__, {"__slots__": cls.__dict__["__slots__"], **plain})
    return {"cls": cls, "mould": mould}


def compiled(name: str, lines: list[str], names: dict[str, Any]) -> Any:
    """Compile a function whose text is made of field names of the contract and the domain alone."""
    exec("\n".join(lines), names)  # noqa: S102
    return names[name]
