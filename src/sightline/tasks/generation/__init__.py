"""Pictures made from drawings: which stroke made what."""
