"""With which certificate does a server sign? The operator's own, or one made at the first start.

C2PA wants an end-entity certificate for signing (X.509 v3, digitalSignature, an accepted extended key usage) below an
authority. The development authority signs one certificate and its key is forgotten at once.
"""

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

DEVELOPMENT_DAYS = 3650
# Email protection, document signing, C2PA claim signing.
USAGES = ("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.62558.2.1")

KEY_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Identity:
    """A signer: ``chain`` is PEM, its own certificate first, ``key`` PEM (PKCS #8), ``algorithm`` C2PA's name of it.

    ``anchors`` is the PEM certificate of the authority that verifiers must know to trust it; empty where the chain does
    not hold it.
    """

    chain: str
    key: str
    algorithm: str
    anchors: str

    def __repr__(self) -> str:
        return f"Identity({self.algorithm})"  # a key must not reach a log


def open_identity(folder: Path, certificate: Path | None = None, private_key: Path | None = None) -> Identity:
    """The operator's ``certificate`` and ``private_key`` if they are given, else the development one of ``folder``."""
    if certificate is not None and private_key is not None:
        return load_identity(certificate, private_key)
    return development_identity(folder)


def development_identity(folder: Path) -> Identity:
    """The identity kept in ``folder`` (chain.pem, key.pem), made there at the first call; only its owner can read it.

    Any number of processes may call this at once: one of them makes it.
    """
    if not (folder / "key.pem").exists():
        partial = folder.with_name(f".{secrets.token_hex(8)}.partial")
        partial.mkdir(parents=True, mode=0o700)
        chain, key = _make_chain()
        _write_private(partial / "chain.pem", chain)
        _write_private(partial / "key.pem", key)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / "key.pem").exists():
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return load_identity(folder / "chain.pem", folder / "key.pem")


def load_identity(certificate: Path, private_key: Path) -> Identity:
    """An identity from PEM files: the signer's certificate followed by those above it, and its unencrypted key.

    Raises ``ValueError`` that says what C2PA would not accept: a key of another certificate, dates, usage.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{certificate}: no PEM certificates can be read there: {error}") from error
    try:
        key = serialization.load_pem_private_key(private_key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{private_key}: no unencrypted PEM key can be read there: {error}") from error
    if key.public_key() != chain[0].public_key():
        raise ValueError(f"{private_key} is not the key of the first certificate in {certificate}")
    _check_certificate(chain[0], certificate)
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    last = chain[-1]
    return Identity(
        chain="".join(one.public_bytes(pem).decode() for one in chain),
        key=key.private_bytes(pem, *plain).decode(),
        algorithm=_algorithm(key, private_key),
        anchors=last.public_bytes(pem).decode() if last.issuer == last.subject else "",
    )


def _check_certificate(leaf: "x509.Certificate", path: Path) -> None:
    from cryptography import x509

    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        dates = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        raise ValueError(f"{path}: its first certificate is valid from {dates}, which is not now; give one that is")
    if leaf.issuer == leaf.subject:
        raise ValueError(f"{path}: its first certificate signs itself, which C2PA does not accept; put one below it")
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        can_sign = leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound as error:
        raise ValueError(f"{path}: its first certificate lacks an extension that C2PA demands: {error}") from error
    if not can_sign or not any(usage.dotted_string in USAGES for usage in usages):
        raise ValueError(
            f"{path}: its first certificate must be for digital signatures and for email protection, "
            "document signing or C2PA claim signing"
        )


def _algorithm(key: "PrivateKeyTypes", path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        name = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name)
        if name is not None:
            return name
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise ValueError(f"{path}: the key must be ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 bits or more")


def _make_chain() -> tuple[str, str]:
    """(PEM of certificate and authority, PEM of the certificate's key)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    def name(common_name: str) -> x509.Name:
        organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Ozora development")
        return x509.Name([organization, x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])

    def begin(subject: x509.Name, public_key: ec.EllipticCurvePublicKey, is_authority: bool) -> x509.CertificateBuilder:
        usage = dict.fromkeys(KEY_USAGES, False) | dict.fromkeys(
            ("key_cert_sign", "crl_sign") if is_authority else ("digital_signature",), True
        )
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(issuer_name=name("Ozora development authority"), subject_name=subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=DEVELOPMENT_DAYS))
            .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        )

    above, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = begin(name("Ozora development authority"), above.public_key(), True).sign(above, hashes.SHA256())
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = begin(name("Ozora development signer"), key.public_key(), False).add_extension(usages, critical=False)
    pem = serialization.Encoding.PEM
    chain = leaf.sign(above, hashes.SHA256()).public_bytes(pem) + authority.public_bytes(pem)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return chain.decode(), private.decode()


def _write_private(path: Path, text: str) -> None:
    """A new file that its owner alone can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
