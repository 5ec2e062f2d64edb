"""Decides about scale: where engines go, how many there are, who is promoted. Pure functions of a snapshot and a clock."""
