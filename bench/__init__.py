"""What things cost, measured beside what they are compared with; `scripts/bench.py` puts it into one table."""
