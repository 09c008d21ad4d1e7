"""Certificates, keys, signatures and sealing."""
