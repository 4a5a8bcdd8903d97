"""When is each frame shown? From time stamps that a camera wrote to one constant frame rate, and back to frames.

A source frame takes the output slot nearest to its time stamp and is held until the next one does; where the source
is denser than the output, each slot shows the frame with the nearest time stamp.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np

Frame = TypeVar("Frame")

# A time stamp further than this part of a frame from its place makes a rate variable. Up to a quarter, retiming a clip
# at its own rate changes nothing.
MAX_JITTER = 0.25
# Above this a variable rate is taken for an accident of its time stamps.
MAX_VARIABLE_RATE = 120.0


def frame_rate(times: Sequence[float], tick: float, declared: Sequence[Fraction | None] = ()) -> tuple[Fraction, bool]:
    """Frames per second of a list of rising time stamps (seconds), and whether they are evenly spaced.

    ``tick`` is the resolution of the time stamps: 29.97 fps written in milliseconds is still 30000/1001. Rates that the
    file declares are believed where they agree with its time stamps. An uneven clip is given the rate of its median
    gap. One frame alone has the declared rate, or 1.
    """
    stated = [rate for rate in declared if rate is not None and rate > 0]
    stamps = np.asarray(times, dtype=np.float64) - times[0]
    if len(stamps) < 2 or stamps[-1] <= 0:
        return (stated[0] if stated and stated[0] <= MAX_VARIABLE_RATE else Fraction(1)), True
    measured = (len(stamps) - 1) / float(stamps[-1])

    def deviation(rate: Fraction | float) -> float:
        return float(np.abs(stamps - np.arange(len(stamps)) / float(rate)).max())

    simple = [Fraction(measured).limit_denominator(denominator) for denominator in range(1, 13)]
    for rate in (*stated, simple[0], _broadcast_rate(measured), *simple[1:]):
        if rate > 0 and deviation(rate) <= tick * 1.001 and deviation(rate) * rate < MAX_JITTER:
            return rate, True
    if deviation(measured) * measured < MAX_JITTER:
        return _familiar(measured), True
    gap = float(np.median(np.diff(stamps)))
    return _familiar(min(1 / gap, MAX_VARIABLE_RATE) if gap > 0 else measured), False


def _broadcast_rate(rate: float) -> Fraction:
    """The nearest of 24000/1001, 30000/1001, 60000/1001 and their kin."""
    return Fraction(max(round(rate * 1.001), 1) * 1000, 1001)


def _familiar(rate: float) -> Fraction:
    """A whole or broadcast rate within a hundredth, else a plain fraction."""
    candidates = [candidate for candidate in (Fraction(round(rate)), _broadcast_rate(rate)) if candidate > 0]
    nearest = min(candidates, key=lambda candidate: abs(candidate - rate))
    return nearest if abs(nearest - rate) <= 0.01 * rate else Fraction(rate).limit_denominator(1001)


def retime(timed: Iterable[tuple[float, Frame]], fps: float, num_slots: int, start: float = 0.0) -> Iterator[Frame]:
    """Frames for ``num_slots`` slots at ``start + k / fps`` seconds from (seconds, frame) pairs in rising order.

    Takes no more of ``timed`` than it needs; holds the last frame to the end, and yields nothing for no frames.
    """
    slot, shown = 0, None
    for time, frame in timed:
        if shown is not None:
            # When the new frame takes over; a hair early, so that a slot half-way between two goes to the later one.
            switch = time - min(time - shown[0], 1 / fps) / 2 - 1e-9
            while slot < num_slots and start + slot / fps < switch:
                yield shown[1]
                slot += 1
            if slot == num_slots:
                return
        shown = (time, frame)
    if shown is not None:
        for _ in range(slot, num_slots):
            yield shown[1]
