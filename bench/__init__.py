"""What things cost, measured beside what they are compared with; `bench/__main__.py` puts it into
one table."""
