"""The local child safeguarding practice review."""
