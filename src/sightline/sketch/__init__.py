"""Drawings: the type, ragged batches, formats, collections, rasterisers."""
