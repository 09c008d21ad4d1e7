"""Edges and machinery: the only place with sockets, keys and files."""
