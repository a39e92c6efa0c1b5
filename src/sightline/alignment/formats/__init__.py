"""Files of attention labels: read whole, checked entry by entry, written whole or not at all."""
