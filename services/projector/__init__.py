"""Feeds the projections from the log, in position order."""
