"""``hub bench``: the hub beside the raw floor and its peer, one run on one machine."""
