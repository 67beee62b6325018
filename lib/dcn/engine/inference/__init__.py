"""A trained network on images: photo in, boxes or classes out."""
