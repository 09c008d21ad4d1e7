"""Agencies, their keys and their partnerships."""
