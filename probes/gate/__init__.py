"""What stands behind the pytest plugin and knows nothing of pytest: offers, the session, the store, its ending."""
