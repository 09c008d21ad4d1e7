"""Settings, limits, errors, logging, metrics and health."""
