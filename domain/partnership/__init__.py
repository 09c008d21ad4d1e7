"""The members of a safeguarding partnership."""
