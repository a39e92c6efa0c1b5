"""Strokes and stretches that a drawing is better without."""
