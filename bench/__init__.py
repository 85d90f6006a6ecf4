"""The benchmark: what training, recording, judging and the test suite cost (`python -m bench`)."""
