"""Language: prompts become token states that a transformer can look at."""
