"""A signed file tells who made it and from what; a changed one is found out; nothing is fetched to know."""

import json
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ozora.clip import Clip
from ozora.media.provenance import read_settings
from ozora.media.read import read_clip
from ozora.media.write import write_clip
from ozora.serve.identity import development_identity, load_identity, open_identity
from ozora.serve.sign import Source, sign, verify

SETTINGS = {"prompt": "a red ball 🔴 falls", "seed": 7, "guidance": 2.5, "model": "mini", "size": "32x32"}


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return development_identity(tmp_path_factory.mktemp("server") / "signing")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video's bytes before it is signed."""
    frames = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    return write_clip(Clip(frames, 8.0), tmp_path_factory.mktemp("made") / "a.mp4", {"seed": 7}).read_bytes()


@pytest.fixture
def signed(tmp_path, video, identity):
    path = tmp_path / "signed.mp4"
    path.write_bytes(video)
    sign(path, identity, SETTINGS)
    return path


def test_a_signed_video_tells_how_it_was_made_and_plays_as_before(tmp_path, video, signed, identity):
    (tmp_path / "plain.mp4").write_bytes(video)
    assert np.array_equal(read_clip(signed).frames, read_clip(tmp_path / "plain.mp4").frames)
    assert read_settings(signed) == {"seed": 7}
    found = verify(signed, identity.anchors)
    assert (found.state, found.settings, found.problems) == ("trusted", SETTINGS, ())
    assert found.generator.startswith("Ozora ") and found.signer.startswith("Ozora development signer")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["plain.mp4", "signed.mp4"]


def test_without_the_authority_it_is_valid_but_not_trusted(signed, tmp_path):
    found = verify(signed)
    assert (found.state, found.problems) == ("valid", ())
    other = development_identity(tmp_path / "other")
    assert verify(signed, other.anchors).state == "valid"


def test_signing_again_changes_nothing(signed, identity):
    before = signed.read_bytes()
    sign(signed, identity, {"prompt": "another"})
    assert signed.read_bytes() == before


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_any_change_is_found_out(signed, identity, share):
    data = bytearray(signed.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + int(share * (len(data) - start))] ^= 1
    signed.write_bytes(data)
    found = verify(signed, identity.anchors)
    assert found.state == "invalid" and found.problems
    assert "CHANGED" in str(found)


def test_changed_settings_are_found_out(signed, identity):
    data = signed.read_bytes()
    assert b"a red ball" in data
    signed.write_bytes(data.replace(b"a red ball", b"a fat duck"))
    assert verify(signed, identity.anchors).state == "invalid"


def test_sources_are_ingredients_with_their_own_history(tmp_path, video, signed, identity):
    picture = write_clip(Clip(np.zeros((1, 8, 8, 3), np.uint8), 1.0), tmp_path / "first.png")
    webm = write_clip(Clip(np.zeros((2, 8, 8, 3), np.uint8), 8.0), tmp_path / "no-c2pa.webm")
    edited = tmp_path / "edited.mp4"
    edited.write_bytes(video)
    sources = [Source(signed, "video_1", "parentOf"), Source(picture, "a picture"), Source(webm, "a clip")]
    sign(edited, identity, {"prompt": "x"}, sources)
    found = verify(edited, identity.anchors)
    assert (found.state, found.problems) == ("trusted", ())
    assert found.sources == (
        ("video_1", "parentOf", "trusted"),
        ("a picture", "inputTo", "none"),
        ("a clip", "inputTo", "none"),
    )
    assert found.settings is not None
    assert [len(one["sha256"]) for one in found.settings["sources"]] == [64, 64, 64]
    with pytest.raises(ValueError, match="at most one parentOf"):
        sign(edited, identity, {}, [Source(signed, "one", "parentOf"), Source(signed, "two", "parentOf")])


def test_a_source_that_was_tampered_with_is_told_and_spoils_nothing(tmp_path, video, signed, identity):
    signed.write_bytes(signed.read_bytes()[:-20] + bytes(20))
    edited = tmp_path / "edited.mp4"
    edited.write_bytes(video)
    sign(edited, identity, {}, [Source(signed, "video_1", "parentOf")])
    assert verify(edited, identity.anchors).sources == (("video_1", "parentOf", "invalid"),)


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100], ids=range(3))
def test_a_source_that_cannot_be_parsed_is_listed_all_the_same(tmp_path, video, identity, junk):
    source, edited = tmp_path / "source.png", tmp_path / "edited.mp4"
    source.write_bytes(junk)
    edited.write_bytes(video)
    sign(edited, identity, {}, [Source(source, "what was sent")])
    found = verify(edited, identity.anchors)
    assert (found.state, found.sources) == ("trusted", (("what was sent", "inputTo", "none"),))


def test_files_without_provenance_and_files_that_are_none(tmp_path, video):
    path = tmp_path / "a.mp4"
    path.write_bytes(video)
    assert verify(path).state == "none" and "no provenance" in str(verify(path))
    webm = write_clip(Clip(np.zeros((2, 8, 8, 3), np.uint8), 8.0), tmp_path / "a.webm")
    assert verify(webm).state == "none"
    path.write_bytes(b"hello")
    for missing in (path, tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(ValueError, match=str(missing)):
            verify(missing)
    with pytest.raises(ValueError, match="cannot be signed"):
        sign(path, development_identity(tmp_path / "signing"), {})
    assert path.read_bytes() == b"hello"


def publish_elsewhere(path, out, identity, url):
    """A file whose manifest is said to lie at ``url``."""
    info = c2pa.C2paSignerInfo(identity.algorithm, identity.chain.encode(), identity.key.encode(), None)
    with c2pa.Signer.from_info(info) as signer, path.open("rb") as source, out.open("w+b") as target:
        made = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
        actions = [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}]
        builder = c2pa.Builder({"claim_generator_info": [{"name": "x"}], "assertions": actions})
        builder.set_no_embed()
        builder.set_remote_url(url)
        builder.sign(signer, "image/png", source, target)


def test_nothing_is_fetched_for_a_file_that_names_an_address(tmp_path, video, identity):
    listener = socket.create_server(("127.0.0.1", 0))
    visitors = []

    def listen():
        try:
            while True:
                visitors.append(listener.accept()[1])
        except OSError:
            pass

    thread = threading.Thread(target=listen)
    thread.start()
    picture = write_clip(Clip(np.zeros((1, 8, 8, 3), np.uint8), 1.0), tmp_path / "a.png")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/manifest"
    remote, edited = tmp_path / "remote.png", tmp_path / "edited.mp4"
    publish_elsewhere(picture, remote, identity, url)
    assert url.encode() in remote.read_bytes()
    assert verify(remote).state == "none"
    edited.write_bytes(video)
    sign(edited, identity, {}, [Source(remote, "a picture")])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)
    assert not visitors and verify(edited, identity.anchors).state == "trusted"


def test_workers_that_start_together_share_one_development_identity(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(development_identity, [tmp_path / "data" / "signing"] * 8))
    assert len({one.key for one in made}) == 1
    assert [one.name for one in (tmp_path / "data").iterdir()] == ["signing"]
    assert stat.S_IMODE((tmp_path / "data" / "signing" / "key.pem").stat().st_mode) == 0o600
    assert made[0].key not in repr(made[0])


def test_an_operators_own_certificate_is_used_and_checked(tmp_path, video):
    own = development_identity(tmp_path / "own")
    chain, key = tmp_path / "own" / "chain.pem", tmp_path / "own" / "key.pem"
    assert open_identity(tmp_path / "never-made", chain, key) == own
    assert not (tmp_path / "never-made").exists()
    authority = tmp_path / "authority.pem"
    authority.write_text(own.anchors)
    other = tmp_path / "other.pem"
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    other.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(serialization.Encoding.PEM, *private))
    for certificate, private_key, words in (
        (chain, other, "is not the key of"),
        (authority, key, "is not the key of"),
        (key, key, "no PEM certificates"),
        (chain, chain, "no unencrypted PEM key"),
        (tmp_path / "missing.pem", key, "no PEM certificates"),
    ):
        with pytest.raises(ValueError, match=words):
            load_identity(certificate, private_key)


def test_the_report_can_be_read(signed):
    lines = str(verify(signed)).splitlines()
    assert lines[0].startswith("valid: unchanged since it was signed")
    assert f"prompt: {SETTINGS['prompt']}" in lines and "seed: 7" in lines
    assert json.dumps(dict(verify(signed).settings or {})) != "{}"
