"""Measurements, each a ratio between two things done in turn in one run."""
