"""How often the diagnosis is right, on seeds and configs on which nothing was chosen.

The runs are trained first (`pytest calibration`); a second command judges them
(`python -m calibration.judge`)."""
