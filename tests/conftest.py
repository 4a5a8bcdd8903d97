"""Properties are checked on the same examples every time, and never against the clock."""

from hypothesis import settings

settings.register_profile("ozora", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("ozora")
