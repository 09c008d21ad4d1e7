"""``hub demo``: a hub of its own, one case told in full, and England 2020 beside the Panel's published figures. All of it is invented."""
