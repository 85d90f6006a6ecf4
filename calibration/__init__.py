"""How often the diagnosis is right, on seeds and configs that nothing was chosen on: train, then
judge, once."""
