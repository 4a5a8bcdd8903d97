import pytest
from hypothesis import given
from hypothesis import strategies as st

from ozora.serve.turns import Turns, choose_row


def serve(turns, num_rounds, shares, budget=1):
    """How much each job gets in rounds of rows of ``budget`` tokens, a token each."""
    served = dict.fromkeys(shares, 0.0)
    for _ in range(num_rounds):
        for job in choose_row(turns.order(shares), dict.fromkeys(shares, 1), budget):
            turns.charge(job, shares[job])
            served[job] += shares[job]
    return served


def test_a_tenant_with_many_jobs_gets_no_more_than_one_with_few():
    turns = Turns()
    for i in range(20):
        turns.add(f"many-{i}", "a")
    turns.add("one", "b")
    shares = {f"many-{i}": 1.0 for i in range(20)} | {"one": 1.0}
    served = serve(turns, 100, shares)
    assert served["one"] == pytest.approx(50, abs=1)
    assert max(served.values()) - min(served[f"many-{i}"] for i in range(20)) <= 50


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6))
def test_whoever_stays_gets_an_equal_part_up_to_one_share(weights):
    turns = Turns()
    shares = {str(i): weight for i, weight in enumerate(weights)}
    for job in shares:
        turns.add(job, job)
    served = serve(turns, 60, shares)
    assert max(served.values()) - min(served.values()) <= 2 * max(weights) + 1e-6


def test_who_comes_later_neither_waits_for_the_past_nor_is_paid_for_it():
    turns = Turns()
    turns.add("long", "a")
    serve(turns, 1000, {"long": 1.0})
    turns.add("short", "b")
    served = serve(turns, 10, {"long": 1.0, "short": 1.0})
    assert served == {"long": 5.0, "short": 5.0}


def test_a_tenant_that_comes_with_one_short_job_after_the_other_gets_its_half():
    turns = Turns()
    turns.add("steady", "a")
    got = {"a": 0.0, "b": 0.0}
    for i in range(200):
        job = f"hasty-{i}"
        turns.add(job, "b")
        is_served = False
        while not is_served:
            served = serve(turns, 1, {"steady": 1.0, job: 1.0})
            got["a"], got["b"], is_served = got["a"] + served["steady"], got["b"] + served[job], served[job] > 0
        turns.remove(job)
    assert abs(got["a"] - got["b"]) <= 1


def test_a_row_holds_what_fits_in_the_order_of_turns():
    num_tokens = {"a": 60, "b": 50, "c": 40, "d": 1}
    assert choose_row(["a", "b", "c", "d"], num_tokens, 100) == ["a", "c"]
    assert choose_row(["b", "a", "c", "d"], num_tokens, 100) == ["b", "c", "d"]
    assert choose_row(["a"], num_tokens, 10) == ["a"]
    assert choose_row([], num_tokens, 10) == []


def test_a_suspect_has_a_row_to_itself_and_joins_no_other():
    num_tokens = {"a": 1, "b": 1, "c": 1}
    assert choose_row(["a", "b", "c"], num_tokens, 100, {"a"}) == ["a"]
    assert choose_row(["b", "a", "c"], num_tokens, 100, {"a"}) == ["b", "c"]


def test_a_job_takes_part_once():
    turns = Turns()
    turns.add("a", "x")
    with pytest.raises(ValueError, match="takes part already"):
        turns.add("a", "x")
