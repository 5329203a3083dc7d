"""Tools of this project's developers; nothing of them is in the image."""
