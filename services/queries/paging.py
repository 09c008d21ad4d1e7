"""Pages: tokens that say behind which place the next page begins, and answers that fit a message."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Final, TypeVar

from google.protobuf.message import Message

from services.runtime.errors import Invalid, Violation
from services.runtime.limits import ANSWER_MAX_BYTES, PAGE_DEFAULT_ROWS, PAGE_MAX_ROWS

M = TypeVar("M", bound=Message)
_INTEGER_MAX: Final = 2**63 - 1


def limit_of(page_size: int) -> int:
    """Return the rows of a page: what was asked for, or the default, and never more than the most."""
    return min(page_size or PAGE_DEFAULT_ROWS, PAGE_MAX_ROWS)


def write_token(*parts: str | int) -> str:
    """Return a page token. It holds no secret: one that was made up gives what a token of the same place would have given."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def read_token(token: str, *form: type[str | int]) -> list[str | int]:
    """Return the parts of a token of this form; raise ``Invalid`` for any other text."""
    try:
        parts = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        parts = None
    if isinstance(parts, list) and [type(part) for part in parts] == list(form) and all(_is_storable(part) for part in parts):
        return parts
    raise not_given_out()


def not_given_out() -> Invalid:
    """Return the refusal of a page token that is none, or another list's."""
    return Invalid(Violation("page_token", "the next_page_token of the page before"))


def cut(messages: Iterable[M], limit: int) -> tuple[list[M], bool]:
    """Return the first ``limit`` messages, fewer if no more fit one answer but at least one, and whether there are more.

    No more are made than one beyond those.
    """
    chosen: list[M] = []
    size_bytes = 0
    for message in messages:
        size_bytes += message.ByteSize()
        if len(chosen) == limit or (chosen and size_bytes > ANSWER_MAX_BYTES):
            return chosen, True
        chosen.append(message)
    return chosen, False


def _is_storable(part: str | int) -> bool:
    """Tell whether a part is something that a database can be asked for."""
    return not isinstance(part, int) or abs(part) <= _INTEGER_MAX
