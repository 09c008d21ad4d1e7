"""Every statutory clock of every case."""
