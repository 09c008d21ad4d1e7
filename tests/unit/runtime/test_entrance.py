"""The doors: closed to the contract's calls until they open, and open to services that are added while the server runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from services.bootstrap import CONTRACT
from services.runtime.entrance import Doors
from services.runtime.errors import Unavailable


@dataclass
class Details(grpc.HandlerCallDetails):  # type: ignore[misc]
    """What a server knows of a call."""

    method: str
    invocation_metadata: Any = ()


def methods() -> dict[str, tuple[bool, bool]]:
    return {
        f"/{service.full_name}/{method.name}": (method.client_streaming, method.server_streaming)
        for file in CONTRACT
        for service in file.services_by_name.values()
        for method in service.methods
    }


async def test_closed_every_call_of_the_contract_is_refused_in_its_own_form_and_any_other_is_unknown() -> None:
    doors = Doors(CONTRACT, lambda: "not yet: 3 of 9")
    assert len(methods()) > 10
    for method, form in methods().items():
        handler: Any = doors.service(Details(method))
        assert (handler.request_streaming, handler.response_streaming) == form
        behaviour = next(each for each in (handler.unary_unary, handler.stream_unary, handler.unary_stream, handler.stream_stream) if each)
        with pytest.raises(Unavailable, match="not yet: 3 of 9"):
            await behaviour(b"", None)
    assert doors.service(Details("/safeguarding.hub.v1.Nothing/Known")) is None


def test_open_a_call_reaches_the_service_that_was_added_and_no_other() -> None:
    doors = Doors(CONTRACT, lambda: "not yet")
    known = next(iter(methods()))
    service, name = known.removeprefix("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(lambda *_: None)
    doors.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    assert doors.service(Details(known)) is not handler
    doors.open()
    assert doors.service(Details(known)) is handler
    assert doors.service(Details(list(methods())[-1])) is None
