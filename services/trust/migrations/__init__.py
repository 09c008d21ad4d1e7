"""Alembic's scripts for the key store, on SQLite and PostgreSQL alike; ``services/trust/key_schema.py`` runs them."""
