"""What agencies ask of and tell each other about a case."""
