"""Generated scenes: known objects with masks and boxes on textured grounds."""
