"""What a recogniser of drawings knows: its shapes of strokes, its order, what it needs of both."""
