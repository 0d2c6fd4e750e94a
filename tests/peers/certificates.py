"""Certificates for tests: self-signed ones as OPC UA wants them (OPC 10000-6, 6.2.2: the URI in subjectAltName), and
for TLS an authority with one server. Run with a folder, it makes the TLS ones there: ca.pem, server.pem, server.key.

Must never be used outside tests.
"""

import ipaddress
import socket
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass
class Own:
    """The files of an application's certificate (DER) and key (PEM)."""

    certificate: Path
    key: Path


def own_certificate(folder, name, uri):
    """The certificate and key `<name>.der`, `<name>.pem` of the folder; made when they are not there yet."""
    own = Own(folder / f"{name}.der", folder / f"{name}.pem")
    if own.certificate.exists() and own.key.exists():
        return own
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = name_of(name)
    names = [x509.UniformResourceIdentifier(uri), *here(), x509.DNSName(socket.gethostname())]
    both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    certificate = (
        builder(subject, subject, key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(content_commitment=True, data_encipherment=True, key_cert_sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_key(own.key, key)
    own.certificate.write_bytes(certificate.public_bytes(Encoding.DER))
    return own


def tls_certificates(folder):
    """An authority, and a server on loopback that it vouches for, all in PEM."""
    authority_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority = (
        builder(name_of("authority"), name_of("authority"), authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    server = (
        builder(name_of("server"), name_of("authority"), key)
        .add_extension(x509.SubjectAlternativeName(here()), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    (folder / "server.pem").write_bytes(server.public_bytes(Encoding.PEM))
    write_key(folder / "server.key", key)


def name_of(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Nengliu test {name}")])


def here():
    return [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def builder(subject, issuer, key):
    """A certificate that has been valid since yesterday and will be for a year."""
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
    )


def usage(content_commitment=False, data_encipherment=False, key_cert_sign=False, crl_sign=False):
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=content_commitment,
        key_encipherment=True,
        data_encipherment=data_encipherment,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def write_key(path, key):
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


if __name__ == "__main__":
    tls_certificates(Path(sys.argv[1]))
    print("{}")
