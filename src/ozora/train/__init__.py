"""Programs that fit the networks: configurations, optimiser, checkpoints, and one loop for each network."""
