"""Every limit of the hub, its unit in its name."""

from __future__ import annotations

from typing import Final

EVENT_MAX_BYTES: Final = 256 * 1024
REQUEST_MAX_BYTES: Final = 3 * 1024 * 1024
REQUEST_MAX_EVENTS: Final = 500
ANSWER_MAX_BYTES: Final = 3 * 1024 * 1024
"""A page or a part of a watch ends before it: clients take 4 MiB a message unless told otherwise."""
GRPC_RECEIVE_MAX_BYTES: Final = 4 * 1024 * 1024
"""Applies after decompression; over it the RPC ends with RESOURCE_EXHAUSTED and the connection lives."""
METADATA_MAX_BYTES: Final = 16 * 1024
RECORD_MAX_BYTES: Final = 900 * 1024
"""One append: what fits one log record, frame included."""

AGENCY_MAX_STREAMS: Final = 8
AGENCY_MAX_WATCHES: Final = 100
STREAM_IDLE_MAX_SECONDS: Final = 60.0
CONNECTION_MAX_AGE_SECONDS: Final = 3600
CONNECTION_MAX_STREAMS: Final = 200
CONCURRENT_MAX_RPCS: Final = 2_000
WAITING_MAX_APPENDS: Final = 20_000
WATCH_BUFFER_MAX_EVENTS: Final = 1_000
"""So many may be recorded while a watcher leaves an answer lying; then its watch ends."""
WATCH_MAX_ROWS: Final = 500
PAGE_MAX_ROWS: Final = 1_000
PAGE_DEFAULT_ROWS: Final = 200
NOTES_MAX_SHOWN: Final = 20
"""Disputes, and questions, shown with one line; how many more there are is said."""

APPEND_DEADLINE_SECONDS: Final = 20.0
SPOOL_MAX_EVENTS: Final = 100_000
"""So many of the hub's own events, about 100 MiB, wait on this node's disk for a log that takes nothing; then reading of cases ends."""
REVOKING_MAX_SECONDS: Final = 10.0
"""Whoever revokes a key is answered after this at the latest, though shards may lack it still: the hub goes on."""
QUERY_DEADLINE_SECONDS: Final = 10.0
UNARY_MAX_SECONDS: Final = 60.0
MIN_POSITION_MAX_SECONDS: Final = 5.0
QUERY_MAX_THREADS: Final = 4
"""Reading is work for the processor, not waiting: more threads only take turns."""
READMIT_MAX_ATTEMPTS: Final = 8
