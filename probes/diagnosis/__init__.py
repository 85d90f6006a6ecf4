"""Turns a record into a diagnosis: evidence, detectors, causes and the ranking of causes."""
