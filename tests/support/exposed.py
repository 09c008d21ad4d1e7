"""What a hub may expose to Prometheus: its metrics, their labels, and all that a label may ever be."""

from __future__ import annotations

import re
from typing import Final

from domain.rules import Band
from services.bootstrap import CONTRACT, VIEWS, hub_metrics
from services.runtime import metrics

SERVICES: Final = {service.full_name: service for file in CONTRACT for service in file.services_by_name.values()}
METHODS: Final = {method.name for service in SERVICES.values() for method in service.methods} | {
    "Check",
    "Watch",
    "ServerReflectionInfo",
    "other",
}
CLOSED: Final[dict[str, set[str]]] = {
    "grpc_type": set(metrics.RPC_TYPES),
    "grpc_service": {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "other"},
    "grpc_method": METHODS,
    "grpc_code": set(metrics.CODES),
    "outcome": set(metrics.OUTCOMES),
    "code": {*metrics.REFUSALS, "other"},
    "check": {*metrics.CHECKS, "other"},
    "view": {view.name for view in VIEWS},
    "band": {band.value for band in Band},
    "store": {"events", "keys", "views"},
    "result": set(metrics.DIGESTS),
}
"""Every label of a metric, and all that it may ever be."""

_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR: Final = re.compile(r"(?<![\w.])([a-z_][a-z0-9_]*)\b(?!\s*\()(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'\s*(\w+)\s*(?:=|!=)\s*"([^"]*)"\s*')
_WORDS: Final = frozenset({"and", "or", "unless", "bool"})


def exposed() -> dict[str, frozenset[str]]:
    """Return the names of all samples that a hub can show, each with its labels."""
    registry = hub_metrics().registry
    for metric in registry._collector_to_names:  # a metric with labels shows nothing before it has some
        if names := getattr(metric, "_labelnames", ()):
            metric.labels(*names)  # type: ignore[attr-defined]
    return {sample.name: frozenset(sample.labels) for metric in registry.collect() for sample in metric.samples}


def faults(expression: str, there: dict[str, frozenset[str]], closed: dict[str, set[str]]) -> list[str]:
    """Return what of a PromQL expression names no metric, label or value that there is. It knows only ``=`` and ``!=``."""
    found: list[str] = []
    labels = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
    for name, matchers in _SELECTOR.findall(_GROUPING.sub("", expression)):
        if name in _WORDS:
            continue
        if name not in there:
            found.append(f"no metric {name}")
            continue
        found += [f"{name} has no label {label}" for label in sorted(labels - there[name])]
        for matcher in filter(None, matchers.split(",")):
            read = _MATCHER.fullmatch(matcher)
            if read is None:
                found.append(f"{name}: {matcher} is not understood")
            elif read[1] not in there[name]:
                found.append(f"{name} has no label {read[1]}")
            elif read[2] not in closed[read[1]]:
                found.append(f"{name}: {read[1]} is never {read[2]}")
    return found
