"""The answers to the questions in `probes.diagnosis.notices`, one file for each subject."""
