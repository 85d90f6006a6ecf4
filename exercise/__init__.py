"""The blind exercise (docs/blind.md): pages show runs without their diagnosis, the learner writes
down what is wrong with each run, and a comparison with sealed answers gives the score.

The seal protects against seeing an answer by accident and against later changes. It does not
protect against deliberate cheating: a learner can train the runs again, or run
`python -m probes diagnose` on their records."""
