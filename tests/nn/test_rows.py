"""Packing loses nothing, repeats nothing, and says where everything lies."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ozora.nn.rows import Segment, Span, pack

WIDTH = 3


def make_segment(lengths: list[int], text_lengths: list[int], mark: float) -> Segment:
    num_tokens = sum(lengths)
    spans = tuple(Span(n, torch.full((s, WIDTH), mark + i)) for i, (n, s) in enumerate(zip(lengths, text_lengths)))
    return Segment(torch.full((num_tokens, 3), mark), torch.arange(num_tokens) == 0, spans)


segments = st.lists(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=3), min_size=1, max_size=5
)


@settings(max_examples=30, deadline=None)
@given(segments, st.integers(0, 7))
def test_a_row_is_its_segments_end_to_end(shapes, num_padding):
    parts = [make_segment(*map(list, zip(*shape)), mark=10.0 * i) for i, shape in enumerate(shapes)]
    num_tokens = sum(part.num_tokens for part in parts)
    layout = pack(parts, num_tokens + num_padding)
    assert layout.num_tokens == num_tokens + num_padding and layout.num_padding == num_padding
    pieces = layout.split(layout.position)
    assert len(pieces) == len(parts)
    assert all(torch.equal(piece, part.position) for piece, part in zip(pieces, parts))
    spans = [span for part in parts for span in part.spans]
    for i, span in enumerate(spans):
        text = layout.text[layout.text_offsets[i] : layout.text_offsets[i + 1]]
        assert torch.equal(text[1:], span.text) and not text[0].any()
        assert int(layout.register_index[i]) == layout.text_offsets[i]
        assert layout.span_offsets[i + 1] - layout.span_offsets[i] == span.num_tokens
        assert (layout.span_of_token == i).sum() == span.num_tokens
        assert (layout.span_of_text == i).sum() == len(text)
    assert set(layout.segment_offsets) <= set(layout.span_offsets)
    assert layout.segment_offsets[-1] == layout.span_offsets[-1] == layout.num_tokens


def test_joint_ranges_hold_a_segments_video_and_a_spans_text():
    layout = pack([make_segment([2, 1], [1, 0], 0.0), make_segment([2], [2], 10.0)])
    joint = layout.joint
    # Video rows 0-4; text rows 5, 6 (span 0), 7 (span 1), 8, 9, 10 (span 2).
    assert joint.q_rows.tolist() == [0, 1, 5, 6, 2, 7, 3, 4, 8, 9, 10]
    assert joint.k_rows.tolist() == [0, 1, 2, 5, 6, 0, 1, 2, 7, 3, 4, 8, 9, 10]
    assert joint.q_offsets == (0, 4, 6, 11) and joint.k_offsets == (0, 5, 9, 14)
    assert torch.equal(joint.q_rows[joint.q_order], torch.arange(11))


def test_moving_a_row_changes_the_type_of_its_text_alone():
    layout = pack([make_segment([4], [2], 1.0)]).to("cpu", torch.bfloat16)
    assert layout.text.dtype == torch.bfloat16 and layout.position.dtype == torch.float32


def test_bad_rows_are_refused():
    with pytest.raises(ValueError, match="sum must be 5"):
        Segment(torch.zeros(5, 3), torch.zeros(5, dtype=torch.bool), (Span(4, torch.zeros(0, WIDTH)),))
    with pytest.raises(ValueError, match="sum must be 5"):
        Segment(torch.zeros(5, 3), torch.zeros(5, dtype=torch.bool), ())
    with pytest.raises(ValueError, match="at least 4"):
        pack([make_segment([4], [0], 0.0)], pad_to=3)
    with pytest.raises(ValueError, match="at least 1"):
        pack([])
