"""Agencies and their keys."""
