"""A clip is captioned over a socket, by a vision-language model that the server of ``transformers`` runs."""

import io

import numpy as np
import pytest
from PIL import Image

from ozora.clip import Clip
from ozora.data.metadata import recaption
from ozora.language.endpoint import Endpoint, EndpointCaptioner, EndpointExpander
from ozora.language.expander import expand
from ozora.language.local import LocalCaptioner


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def plain_clip(color, num_frames=9):
    return Clip(np.full((num_frames, 32, 32, 3), color, np.uint8), 8.0)


@pytest.fixture(scope="module")
def served(vision_folder):
    """The URL of a server that runs the model of ``vision_folder``."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.cli.serve import Serve
    from transformers.cli.serving.model_manager import TimedModel

    server = Serve(host="127.0.0.1", port=0, device="cpu", log_level="error", non_blocking=True)
    processor = AutoProcessor.from_pretrained(vision_folder)
    network = AutoModelForImageTextToText.from_pretrained(vision_folder)  # the server itself would want accelerate
    server._model_manager.loaded_models[f"{vision_folder}@main"] = TimedModel(network, 3600, processor)
    try:
        while not (server.server.started or not server._thread.is_alive()):
            server._thread.join(0.01)
        port = server.server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill_server()
        server._thread.join()


def test_frames_arrive_and_words_come_back(served, vision_folder):
    endpoint = Endpoint(served, str(vision_folder), max_tokens=24, at_once=2)
    captioner = EndpointCaptioner(endpoint, png)
    red, blue = captioner.caption([plain_clip((220, 10, 10)), plain_clip((10, 10, 220))], "short")
    assert red.endswith(".") and blue.endswith(".") and red != blue
    assert captioner.caption([plain_clip((220, 10, 10))], "short") == [red]  # it is seeded
    assert LocalCaptioner(str(vision_folder), max_tokens=24).caption([plain_clip((220, 10, 10))], "short")[0]


def test_a_folder_of_clips_is_captioned_over_the_socket(served, vision_folder, tmp_path):
    for name in ("red.png", "blue.png", "broken.png"):
        (tmp_path / name).write_bytes(b"")

    def read(path):
        if path.stem == "broken":
            raise ValueError("broken.png is damaged")
        return plain_clip((220, 10, 10) if path.stem == "red" else (10, 10, 220))

    captioner = EndpointCaptioner(Endpoint(served, str(vision_folder), max_tokens=24), png)
    done = recaption(tmp_path, captioner, read)
    assert (done.num_written, done.failed) == (2, {"broken.png": "broken.png is damaged"})
    assert (tmp_path / "metadata.jsonl").read_text().count('"captioner": ') == 2


def test_what_it_proposes_as_a_prompt_is_checked(served, vision_folder):
    expansion = expand("a red ball falls", [EndpointExpander(Endpoint(served, str(vision_folder), max_tokens=24))])
    assert expansion.by == "rules" and "lost red sphere" in expansion.refused[0]
