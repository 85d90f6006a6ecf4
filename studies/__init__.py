"""Commands that choose, measure and draw; each writes what it measured into docs/."""
