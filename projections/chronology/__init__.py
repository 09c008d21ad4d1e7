"""The story of a case, one line a fact."""
