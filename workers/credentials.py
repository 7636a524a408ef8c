"""The certificate that signs C2PA manifests: the operator's, or one that this installation makes for itself.

The latter is valid and untrusted: no list of trusted authorities holds the one that signed it, which exists no more.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from contract.errors import SettingsWrong
from contract.settings import Settings

CERTIFICATE_FILE, KEY_FILE = "c2pa-certificate.pem", "c2pa-key.pem"
LIFETIME = timedelta(days=3650)


class Credentials(NamedTuple):
    """A certificate chain and its private key, PEM. `is_own`: made here, so nobody else trusts it."""

    certificates: bytes
    key: bytes
    is_own: bool


def find_credentials(settings: Settings) -> Credentials:
    """Return the operator's certificate, or this installation's own, which is made where there is none.

    Raises SettingsWrong for files that cannot be read.
    """
    if settings.signing_certificate_file is not None and settings.signing_key_file is not None:
        try:
            return Credentials(
                settings.signing_certificate_file.read_bytes(), settings.signing_key_file.read_bytes(), is_own=False
            )
        except OSError as error:
            raise SettingsWrong(f"the C2PA file {error.filename} cannot be read: {error.strerror}") from error
    certificate, key = settings.data_dir / CERTIFICATE_FILE, settings.data_dir / KEY_FILE
    try:
        return Credentials(certificate.read_bytes(), key.read_bytes(), is_own=True)
    except OSError:
        made = make_credentials()
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(key, made.key)
        _write(certificate, made.certificates)
    except OSError as error:
        log = structlog.get_logger(__name__)
        log.warning(
            "the certificate for C2PA lasts as long as this worker", reason=error.strerror, folder=str(settings.data_dir)
        )
    return made


def make_credentials(now: datetime | None = None) -> Credentials:
    """Make a certificate for signing, under an authority of its own that is then forgotten (C2PA refuses self-signed ones)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = now or datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def named(name: str) -> x509.Name:
        organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "unclip, self-hosted")
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), organization])

    def begun(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(named("unclip local authority"))
        builder = builder.public_key(public_key).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + LIFETIME)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        builder = builder.add_extension(authority, critical=False)
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)

    root = begun(named("unclip local authority"), root_key.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(_usage(signs_certificates=True), critical=True)
    leaf = begun(named("unclip local signer"), key.public_key())
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(_usage(signs_certificates=False), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    chain = [builder.sign(root_key, hashes.SHA256()) for builder in (leaf, root)]
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials(b"".join(certificate.public_bytes(pem) for certificate in chain), private, is_own=True)


def _usage(*, signs_certificates: bool) -> Any:
    from cryptography import x509

    uses = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates, **uses
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all; another worker may be writing the same."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    part.replace(path)
