"""How does noise become a clip? Paths, schedules, guidance and samplers: plain functions on tensors, no networks."""
