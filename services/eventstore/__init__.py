"""The event store: a pure fold decides, a sequencer orders, SQLite keeps."""
