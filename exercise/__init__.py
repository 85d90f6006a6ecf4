"""The blind exercise: runs are drawn without their diagnosis, the learner writes down diagnoses,
and sealed answers give the score (docs/blind.md).

The seal protects against accidents and against later changes. It does not protect against a
determined cheat, who can train the runs again or run `python -m probes diagnose` on their
records."""
