"""What stroke explanations are for: retrieval, generation, assisted drawing, attack."""
