"""The Panel's cases and tables."""
