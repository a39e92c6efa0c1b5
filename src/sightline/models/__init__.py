"""Models of drawings, and doors to those of others."""
