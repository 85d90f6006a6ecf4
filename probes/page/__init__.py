"""The page around the panels: the document, a sheet for each run on it, and the card of its diagnosis."""
