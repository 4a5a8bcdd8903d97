"""How do a codec's frames become RGB, and RGB what codecs want? Exact rounding, the right matrix, no transparency."""

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Colorspace, Interpolation
from jaxtyping import UInt8

# swscale's fast paths are off by one or two in 255; these flags round every value.
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
# BT.709 in ITU-T H.273, tables 2 to 4, for matrix, primaries and transfer; 1 is the limited range as well.
BT709 = 1
UNSPECIFIED = 2
# Video of at least this height that does not name its matrix means BT.709, smaller video BT.601.
HIGH_DEFINITION = 720


def to_rgb(frame: av.VideoFrame, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """The frame at that size, laid on white where it is transparent."""
    is_unnamed_hd = frame.colorspace == UNSPECIFIED and frame.height >= HIGH_DEFINITION
    matrix = Colorspace.ITU709 if is_unnamed_hd else None
    pixels = frame.reformat(width, height, "rgba", src_colorspace=matrix, interpolation=EXACT, threads=1).to_ndarray()
    color, alpha = pixels[..., :3], pixels[..., 3:]
    if alpha.min() == 255:
        return color
    weight = alpha.astype(np.uint16)  # 255 * 255 + 127 still fits
    return ((color * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def yuv420_converter(width: int, height: int) -> Callable[[UInt8[np.ndarray, "h w 3"]], av.VideoFrame]:
    """A function from RGB to frames as every player expects them: BT.709, limited range, colour at half the resolution.

    A colour sample sits at the left edge of its four pixels, as H.264 has it; centred, a decoder shifts colour by a
    quarter of a pixel, which costs 1.5 dB on small clips. Only the filter graph can place it.
    """
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=Fraction(1))
    exact = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
    scale = graph.add("scale", f"out_color_matrix=bt709:out_range=tv:out_chroma_loc=left:{exact}")
    form, sink = graph.add("format", "yuv420p"), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(form)
    form.link_to(sink)
    graph.configure()

    def convert(pixels: UInt8[np.ndarray, "h w 3"]) -> av.VideoFrame:
        # Through the graph, which must outlive its filters.
        graph.vpush(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
        return graph.vpull()

    return convert
