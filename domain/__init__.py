"""Pure decisions about serious child-safeguarding incidents: standard library only, no clock, no randomness, no I/O."""
