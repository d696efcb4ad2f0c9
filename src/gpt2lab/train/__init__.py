"""Weights become better weights: the one loop, objectives, schedules, checkpoints."""
