"""The view protocol and the view database."""
