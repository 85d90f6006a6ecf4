"""The blind exercise: runs drawn without what was found, diagnoses written down, then a sealed
answer to score them by.

A seal guards against accident and against later editing. It does not guard against a determined
cheat, who can train the runs again or ask `python -m probes diagnose` about their records
(docs/blind.md)."""
