"""Formats of drawings, in and out."""
