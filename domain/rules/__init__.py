"""The statutory clocks as dated data, and deadlines that explain themselves."""
