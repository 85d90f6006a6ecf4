"""Small helper functions that every other part of the package may use."""
