"""Reading, resizing and naming images."""
