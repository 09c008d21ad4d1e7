"""Read models: domain events in, rows out; no transport, no event store."""
