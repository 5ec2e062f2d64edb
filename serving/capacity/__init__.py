"""The capacity planner: how much memory a model takes, and where it fits. Pure functions, without Django."""
