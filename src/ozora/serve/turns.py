"""Whose turn is it? Start-time fair queueing: tenants share the machine equally, and so do one tenant's jobs.

Each tenant, and each job within its tenant, has a clock of the service that it has had; who is furthest behind goes
first (Goyal, Vin and Cheng 1996). Who arrives starts with the one that is furthest behind, so nobody saves up turns by
being away, a short job among long ones is done after a few times its own length, and a long one always moves.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass


@dataclass
class _Seat:
    tenant: str
    number: int
    service: float


class Turns:
    """Which jobs go next. Service is in any unit, seconds for instance."""

    def __init__(self) -> None:
        self._seats: dict[str, _Seat] = {}
        self._tenants: dict[str, float] = {}
        self._num_arrivals = 0

    def __contains__(self, job: str) -> bool:
        return job in self._seats

    def add(self, job: str, tenant: str) -> None:
        """Let a job take part."""
        if job in self._seats:
            raise ValueError(f"job {job!r} takes part already; remove it first")
        peers = [seat.service for seat in self._seats.values() if seat.tenant == tenant]
        if not peers:
            present = {seat.tenant for seat in self._seats.values()}
            floor = min((self._tenants[other] for other in present), default=0.0)
            if not present:
                self._tenants.clear()
            self._tenants[tenant] = max(self._tenants.get(tenant, 0.0), floor)
        self._num_arrivals += 1
        self._seats[job] = _Seat(tenant, self._num_arrivals, min(peers, default=0.0))

    def remove(self, job: str) -> None:
        """A job has left; what its tenant has had stays counted while others are here."""
        del self._seats[job]

    def charge(self, job: str, service: float) -> None:
        """A job has had so much."""
        seat = self._seats[job]
        seat.service += service
        self._tenants[seat.tenant] += service

    def order(self, shares: Mapping[str, float]) -> list[str]:
        """The jobs of ``shares`` (what each would take of the next row), in the order of their turns.

        A tenant whose job is chosen counts as served before the next choice, so that a row too short for all holds
        something of everyone.
        """
        clocks = dict(self._tenants)
        queues: dict[str, list[str]] = {}
        for job in sorted(shares, key=lambda job: (self._seats[job].service, self._seats[job].number)):
            queues.setdefault(self._seats[job].tenant, []).append(job)
        chosen: list[str] = []
        while queues:
            tenant = min(queues, key=lambda name: (clocks[name], self._seats[queues[name][0]].number))
            job = queues[tenant].pop(0)
            if not queues[tenant]:
                del queues[tenant]
            clocks[tenant] += shares[job]
            chosen.append(job)
        return chosen


def choose_row(order: list[str], num_tokens: Mapping[str, int], budget: int, alone: Container[str] = ()) -> list[str]:
    """The jobs of the next row: in their order all that fit into ``budget`` tokens, whatever their number of tokens.

    The first is taken even where it is longer than the budget. Those in ``alone`` have a row to themselves.
    """
    row = order[:1]
    if not row or row[0] in alone:
        return row
    room = budget - num_tokens[row[0]]
    for job in order[1:]:
        if job not in alone and num_tokens[job] <= room:
            row.append(job)
            room -= num_tokens[job]
    return row
