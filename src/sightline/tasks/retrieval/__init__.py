"""Finding the photo of a drawing, and saying why it was found."""
