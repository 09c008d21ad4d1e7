"""The append services: who may speak, on which service."""
