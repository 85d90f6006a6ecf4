"""Helpers that tests, studies, the benchmark and the calibration share: small networks, faults to
inject, logs to write, tables and blocks of pages."""
