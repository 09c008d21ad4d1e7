"""Every limit of the hub, its unit in its name."""

from __future__ import annotations

from typing import Final

EVENT_MAX_BYTES: Final = 256 * 1024
REQUEST_MAX_BYTES: Final = 3 * 1024 * 1024
REQUEST_MAX_EVENTS: Final = 500
GRPC_RECEIVE_MAX_BYTES: Final = 4 * 1024 * 1024
"""Applies after decompression; over it the RPC ends with RESOURCE_EXHAUSTED and the connection lives."""
METADATA_MAX_BYTES: Final = 16 * 1024
RECORD_MAX_BYTES: Final = 900 * 1024
"""One append: what fits one log record, frame included."""

AGENCY_MAX_STREAMS: Final = 8
STREAM_IDLE_MAX_SECONDS: Final = 60.0
CONNECTION_MAX_AGE_SECONDS: Final = 3600
WATCH_BUFFER_MAX_EVENTS: Final = 1_000
PAGE_MAX_ROWS: Final = 1_000
PAGE_DEFAULT_ROWS: Final = 200

APPEND_DEADLINE_SECONDS: Final = 20.0
QUERY_DEADLINE_SECONDS: Final = 10.0
READMIT_MAX_ATTEMPTS: Final = 8
