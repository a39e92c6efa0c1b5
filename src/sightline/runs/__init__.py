"""Runs: a whole data set explained, photo by photo, into a folder that survives a kill."""
