"""Copies of a hub's home: taken while it serves or not, checked against themselves, and put in place whole or not at all."""
