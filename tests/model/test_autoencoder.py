"""The autoencoder is causal, bounded in time, blind to company, and streams what it decodes whole."""

import pytest
import torch

from ozora.model.autoencoder import Autoencoder, AutoencoderConfig


@pytest.fixture(scope="module")
def network() -> Autoencoder:
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(4, 16, 16, (1, 3), (2, 2))).eval()
    with torch.no_grad():  # zero-initialised layers would make every claim below trivially true
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
        network.alignment.copy_(-torch.eye(4)[[2, 0, 3, 1]])
    return network


def signal(num_frames: int, height: int = 32, width: int = 48, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, num_frames, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 16, 16), (5, 32, 48), (17, 48, 16)])
def test_any_legal_size_and_length_makes_the_round_trip(network, num_frames, height, width):
    with torch.no_grad():
        latents = network.encode(signal(num_frames, height, width))
        assert latents.shape == (4, (num_frames + 3) // 4, height // 8, width // 8)
        assert network.decode(latents).shape == (3, num_frames, height, width)


@pytest.mark.parametrize(("num_frames", "width", "nearest"), [(4, 32, "1 or 5"), (5, 40, "32x32 or 48x32")])
def test_illegal_clips_name_the_nearest_legal_ones(network, num_frames, width, nearest):
    with pytest.raises(ValueError, match=nearest):
        network.encode(signal(num_frames, 32, width))


@torch.no_grad()
def test_streamed_decoding_equals_whole_decoding(network):
    latents = network.encode(signal(21))
    whole = network.decode(latents)
    for sizes in ([1, 1, 1, 1, 1, 1], [2, 3, 1], [6]):
        past, parts = None, []
        for chunk in latents.split(sizes, dim=1):
            part, past = network.decode_next(chunk[None], past)
            parts.append(part[0])
        streamed = torch.cat(parts, dim=1)
        assert (streamed - whole).abs().max() < 1e-5


@torch.no_grad()
def test_latents_and_frames_know_nothing_of_the_future(network):
    first, other = signal(17), signal(17, seed=1)
    mixed = torch.cat([first[:, :9], other[:, 9:]], dim=1)
    one, two = network.encode(first), network.encode(mixed)
    assert (one[:, :3] - two[:, :3]).abs().max() < 1e-5
    assert (one[:, 3:] - two[:, 3:]).abs().max() > 1e-3
    assert (network.decode(one)[:, :9] - network.decode(two)[:, :9]).abs().max() < 1e-5


@torch.no_grad()
def test_a_suffix_after_its_warm_up_has_the_latents_of_the_whole_clip(network):
    clip = signal(41)
    whole, suffix = network.encode(clip), network.encode(clip[:, 12:])
    warm_up = network.geometry.warm_up
    difference = (whole[:, 3:] - suffix).abs().amax(dim=(0, 2, 3))
    assert difference[warm_up:].max() < 1e-5
    assert difference[: warm_up - 1].min() > 1e-5, "the warm-up is no longer than it has to be"


@torch.no_grad()
def test_a_clip_is_the_same_in_a_batch_and_alone(network):
    clips = torch.stack([signal(9), signal(9, seed=1)])
    assert (network.encode(clips)[0] - network.encode(clips[0])).abs().max() < 1e-5
    latents = network.encode(clips)
    assert (network.decode(latents)[1] - network.decode(latents[1])).abs().max() < 1e-5


@torch.no_grad()
def test_training_starts_at_the_best_linear_code():
    """Patches that vary in as many directions as there are channels come back exactly before any training."""
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(4, 16, 16, (1, 1), (1, 1)))
    codes = torch.randn(2, 4, 5, 8, 8)
    signal = torch.cat([network.first_frame.decode(codes[:, :, :1]), network.four_frames.decode(codes[:, :, 1:])], 2)
    network = Autoencoder(network.config)
    assert (network.decode(network.encode(signal)) - signal).abs().max() > 0.1
    network.start_at_principal_components(signal)
    latents = network.encode(signal)
    assert (network.decode(latents) - signal).abs().max() < 1e-4
    assert (latents[:, :, 1:].std(dim=(0, 2, 3, 4)) - 1).abs().max() < 0.01


@torch.no_grad()
def test_alignment_changes_what_channels_mean_and_no_pixel():
    """Make clips whose first frame has the code of the second latent, but in another order and with other signs."""
    torch.manual_seed(0)
    plain = Autoencoder(AutoencoderConfig(4, 16, 16, (1, 1), (1, 1))).eval()
    codes = torch.randn(6, 4, 1, 4, 4)
    for transform in (plain.first_frame, plain.four_frames):
        transform.analysis.weight.copy_(torch.linalg.pinv(transform.synthesis.weight))
        transform.analysis.bias.copy_(-transform.analysis.weight @ transform.synthesis.bias)
    shuffled = torch.stack([codes[:, 2], -codes[:, 0], codes[:, 3], -codes[:, 1]], dim=1)
    signal = torch.cat([plain.first_frame.decode(shuffled), plain.four_frames.decode(codes)], dim=2)
    before = plain.decode(plain.encode(signal))
    plain.align_first_frame(signal)
    latents = plain.encode(signal)
    assert (latents[:, :, 0] - codes[:, :, 0]).abs().max() < 1e-4
    assert (latents[:, :, 0] - latents[:, :, 1]).abs().max() < 1e-4
    assert torch.equal(plain.decode(latents), before)
