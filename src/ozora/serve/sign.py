"""Who made this video, and from what? Signed C2PA provenance, written into finished files and read back from any.

A manifest says that Ozora made the file, with which settings, and from which sources (its ingredients, each with its
own history); a signature binds it to the bytes. Whoever runs a server may sign with a certificate of their own; else
one is made at the first start, which proves that nothing was changed since, but not who runs the server.
Neither signing nor verifying connects to anything. Other people's files are parsed in a limited child process.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ozora.media.container import identify, open_media
from ozora.serve.confine import Limits, run_confined
from ozora.serve.identity import Identity

Relationship = Literal["parentOf", "inputTo"]
State = Literal["trusted", "valid", "invalid", "none"]

SETTINGS_LABEL = "org.ozora.settings"
GENERATOR = "Ozora"
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, REMADE = f"{IPTC}trainedAlgorithmicMedia", f"{IPTC}compositeWithTrainedAlgorithmicMedia"
MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".gif": "image/gif",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
LIMITS = Limits()
# A signer that no list knows is no fault of the file's: it makes the difference between "valid" and "trusted".
UNKNOWN_SIGNER = "signingCredential.untrusted"


@dataclass(frozen=True)
class Source:
    """A file that went into a video: its ``parentOf`` is what was edited or extended, at most one; everything else
    (a first frame, a remixed video, a character) is ``inputTo``. ``title`` is what readers are shown."""

    path: Path
    title: str
    relationship: Relationship = "inputTo"


@dataclass(frozen=True)
class Provenance:
    """What a file says of its making, and whether to believe it.

    ``state``: "trusted" (unchanged since a known signer signed it), "valid" (unchanged since somebody did), "invalid"
    (changed, or the signature is wrong), "none". ``settings`` are those of an Ozora video. ``sources`` are (title,
    relationship, state) and ``problems`` sentences.
    """

    state: State
    signer: str = ""
    generator: str = ""
    settings: Mapping[str, Any] | None = None
    sources: tuple[tuple[str, str, State], ...] = ()
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        meaning = {
            "trusted": "unchanged since it was signed, by a signer that you know",
            "valid": "unchanged since it was signed, by a signer that is on no list of yours",
            "invalid": "CHANGED since it was signed, or signed wrongly",
            "none": "carries no provenance",
        }
        lines = [f"{self.state}: {meaning[self.state]}"]
        lines += [f"signer: {self.signer}"] if self.signer else []
        lines += [f"made by: {self.generator}"] if self.generator else []
        lines += [f"{name}: {_shown(value)}" for name, value in (self.settings or {}).items()]
        lines += [
            f"source: {title} ({relationship}, provenance: {state})" for title, relationship, state in self.sources
        ]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)


def sign(path: Path, identity: Identity, settings: Mapping[str, object], sources: Sequence[Source] = ()) -> None:
    """Put a signed manifest into a finished .mp4, .webp, .jpg or .png, in place and at once.

    ``settings`` (prompt, seed, model, ...) must be what JSON can hold. A file that this server signed before stays as
    it is, so a job that is taken up again may call this again. Raises ``ValueError`` for a file that cannot be
    signed; a source that cannot be parsed is listed by title and hash alone.
    """
    if sum(source.relationship == "parentOf" for source in sources) > 1:
        raise ValueError(f"{path}: a video has at most one parentOf; name the other sources inputTo")
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    described = [
        {
            "path": str(source.path),
            "title": source.title,
            "relationship": source.relationship,
            "media_type": media_type(source.path),
            "sha256": _sha256(source.path),
        }
        for source in sources
    ]
    arguments = {
        "path": str(path),
        "out": str(partial),
        "media_type": media_type(path),
        "identity": [identity.chain, identity.key, identity.algorithm, identity.anchors],
        "settings": dict(settings),
        "sources": described,
    }
    try:
        try:
            is_new = run_confined(write_manifest, arguments, LIMITS)
        except (ValueError, RuntimeError):
            if not sources:
                raise
            # A source that kills its parser, or whose own provenance is so wrong that it cannot be included.
            is_new = run_confined(write_manifest, arguments | {"is_parsing": False}, LIMITS)
        if is_new:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be signed: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def verify(path: str | os.PathLike[str], anchors: str | None = None) -> Provenance:
    """What the file says of its making; ``anchors`` are PEM certificates of signers or authorities to trust.

    Raises ``ValueError`` for what is no media file or ends too early. Nothing is fetched: provenance that lies
    elsewhere is none.
    """
    path = Path(path)
    open_media(path).close()
    arguments = {"path": str(path), "media_type": media_type(path), "anchors": anchors or ""}
    try:
        found = run_confined(read_manifest, arguments, LIMITS)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be verified: {error}") from error
    return Provenance("none") if found is None else _provenance(found)


def media_type(path: Path) -> str:
    """The media type that the suffix stands for; the library looks inside and settles it where they differ."""
    return MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")


def write_manifest(
    path: str,
    out: str,
    media_type: str,
    identity: list[str],
    settings: dict[str, Any],
    sources: list[dict[str, str]],
    is_parsing: bool = True,
) -> bool:
    """In the child: write the signed file to ``out``; False where it is signed already."""
    import c2pa

    chain, key, algorithm, anchors = identity
    with _context(anchors) as context:
        try:
            with Path(path).open("rb") as file:
                if c2pa.Reader.try_create(media_type, file, None, context) is not None:
                    return False
            info = c2pa.C2paSignerInfo(algorithm, chain.encode(), key.encode(), None)
            with (
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(_manifest(path, settings, sources), context) as builder,
            ):
                for number, source in enumerate(sources):
                    _add_source(builder, source, f"source-{number}", is_parsing)
                with Path(path).open("rb") as file, Path(out).open("w+b") as signed:
                    builder.sign(signer, media_type, file, signed)
        except c2pa.C2paError as error:
            raise ValueError(f"{path} cannot be signed: {error}") from error
    return True


def read_manifest(path: str, media_type: str, anchors: str) -> dict[str, Any] | None:
    """In the child: the manifest store and its validation as the library reports them; None where there is none."""
    import c2pa

    with _context(anchors) as context, open_media(Path(path)) as file:
        identify(file, Path(path))
        try:
            with c2pa.Reader(media_type, file, None, context) as reader:
                return json.loads(reader.json())
        except c2pa.C2paError as error:
            # The library's types are made at run time; for provenance that lies elsewhere it has none.
            is_none = type(error).__name__.endswith(("ManifestNotFound", "NotSupported"))
            return None if is_none or str(error).startswith("Remote") else {"error": str(error)}


def _context(anchors: str) -> Any:
    """The library's settings: nothing is fetched, ``anchors`` are trusted, no thumbnails (the file is its own)."""
    import c2pa

    trust = {"trust": {"trust_anchors": anchors}} if anchors else {}
    offline = {"remote_manifest_fetch": False, "ocsp_fetch": False}
    chosen = {"version": 1, "verify": offline, "builder": {"thumbnail": {"enabled": False}}} | trust
    return c2pa.Context(c2pa.Settings.from_dict(chosen))


def _manifest(path: str, settings: Mapping[str, Any], sources: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What is claimed: who made the file, how (C2PA 2.2, actions), with which settings, from which bytes."""
    from ozora import __version__

    ids = {
        relationship: [f"source-{i}" for i, source in enumerate(sources) if source["relationship"] == relationship]
        for relationship in ("parentOf", "inputTo")
    }
    if ids["parentOf"]:
        actions = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": ids["parentOf"]}},
            {"action": "c2pa.edited", "digitalSourceType": REMADE, "softwareAgent": {"name": GENERATOR}},
        ]
    else:
        actions = [{"action": "c2pa.created", "digitalSourceType": MADE, "softwareAgent": {"name": GENERATOR}}]
    if ids["inputTo"]:
        actions[-1]["parameters"] = {"ingredientIds": ids["inputTo"]}
    hashes = [{name: source[name] for name in ("title", "relationship", "sha256")} for source in sources]
    return {
        "claim_generator_info": [{"name": GENERATOR, "version": __version__}],
        "title": Path(path).name,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": SETTINGS_LABEL, "data": {**settings, "sources": hashes} if sources else dict(settings)},
        ],
    }


def _add_source(builder: Any, source: Mapping[str, str], label: str, is_parsing: bool) -> None:
    """A source as an ingredient, with its own provenance where it has any that can be read."""
    import io

    import c2pa

    described = {"title": source["title"], "relationship": source["relationship"], "label": label}
    if is_parsing:
        try:
            with Path(source["path"]).open("rb") as file:
                builder.add_ingredient(described, source["media_type"], file)
            return
        except c2pa.C2paError:
            pass  # of a kind that carries no provenance, or damaged
    builder.add_ingredient(described, "application/octet-stream", io.BytesIO())


def _provenance(found: Mapping[str, Any]) -> Provenance:
    """The library's report in the terms of ``Provenance``; what is missing from a hostile one reads as empty."""
    if "error" in found:
        return Provenance("invalid", problems=(found["error"],))
    manifest = found["manifests"][found["active_manifest"]]
    signature = manifest.get("signature_info", {})
    signer = " of ".join(str(signature[name]) for name in ("common_name", "issuer") if signature.get(name))
    generators = manifest.get("claim_generator_info") or [{}]
    assertions = {one["label"]: one.get("data") for one in manifest.get("assertions", [])}
    sources: tuple[tuple[str, str, State], ...] = tuple(
        (str(one.get("title", "")), str(one.get("relationship", "")), _ingredient_state(one))
        for one in manifest.get("ingredients", [])
    )
    settings = assertions.get(SETTINGS_LABEL)
    return Provenance(
        state=_STATES.get(found.get("validation_state", ""), "invalid"),
        signer=signer,
        generator=" ".join(str(generators[0][name]) for name in ("name", "version") if generators[0].get(name)),
        settings=settings if isinstance(settings, dict) else None,
        sources=sources,
        problems=_problems(found.get("validation_results", {}).get("activeManifest", {})),
    )


_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "valid", "Invalid": "invalid"}


def _ingredient_state(ingredient: Mapping[str, Any]) -> State:
    """What was found when the source went in: its history, if it had any."""
    results = ingredient.get("validation_results", {}).get("activeManifest")
    if results is None:
        return "none"
    if _problems(results):
        return "invalid"
    codes = [one.get("code") for one in results.get("success", [])]
    return "trusted" if "signingCredential.trusted" in codes else "valid"


def _problems(results: Mapping[str, Any]) -> tuple[str, ...]:
    failures = [one for one in results.get("failure", []) if one.get("code") != UNKNOWN_SIGNER]
    return tuple(f"{one.get('explanation') or ''} ({one.get('code')})".strip() for one in failures)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
