"""Decides where engines go, how many there are, and who is promoted: pure functions of a snapshot and a clock."""
