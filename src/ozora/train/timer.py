"""Is it time yet? Asked once a step, true once every so many seconds."""

import time


class Every:
    """True when called at least ``seconds`` after the last time that it was true; never if ``seconds`` is 0."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def __call__(self) -> bool:
        if not self.seconds or time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True
