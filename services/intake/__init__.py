"""The one path an event takes from the wire to the log: verify, decode, admit, seal, append, receipt."""
