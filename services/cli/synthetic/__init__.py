"""Synthetic England: councils, partners and incidents made from labels and counts by a seed. Nothing here is about anybody.

``profile`` says how many of each kind there are, ``population`` deals those counts out to incidents and children, ``lives`` tells each
incident as the events that the agencies would have signed, ``changes`` what they said of it later, and ``generator`` puts these together.
None of it shares code with the tables that count them again.
"""
