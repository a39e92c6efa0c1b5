"""Photos: reading, resizing with their coordinates, superpixels, annotations."""
