"""The ways to a server besides TCP: TLS, and a socket of this machine."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aiq.errors import Misconfigured
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one
from aiq.testing.clock import Clock
from tests.servers import PASSWORD, USER, Server, free_port
from tests.stores import opened

Start = Callable[..., Server]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    kept = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.with_suffix(".key").write_bytes(kept)
    return path


@pytest.fixture
def secure(certificate: Path, started: Start) -> str:
    """The address of a server with that certificate."""
    port = str(free_port())
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate.with_suffix(".key"))]
    started("--tls-port", port, *files, "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no")
    return f"rediss://{USER}:{PASSWORD}@127.0.0.1:{port}/0"


async def test_a_storage_works_over_tls_with_an_authority_that_is_named(secure: str, certificate: Path) -> None:
    async with opened(f"{secure}?ssl_ca_certs={certificate}", Clock()) as storage:
        await enqueue_one(storage)
        await end(storage, await claim_one(storage), GOOD)

        assert {fact.name: fact.text for fact in await storage.facts()}["transport"] == "Over TLS."


async def test_a_certificate_of_nobody_known_is_refused(secure: str) -> None:
    with pytest.raises(Misconfigured, match=r"cannot be trusted.*ssl_ca_certs"):
        async with opened(secure, Clock()):
            pass


async def test_a_certificate_of_another_host_is_refused(secure: str, certificate: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be trusted"):
        async with opened(f"{secure.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={certificate}", Clock()):
            pass


async def test_whoever_asks_for_no_check_gets_none(secure: str) -> None:
    async with opened(f"{secure}?ssl_cert_reqs=none", Clock()) as storage:
        await enqueue_one(storage)


async def test_a_storage_works_over_a_socket_of_this_machine(started: Start, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    started("--unixsocket", str(path))
    async with opened(f"redis+unix://{USER}:{PASSWORD}@{path}", Clock()) as storage:
        mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
        await enqueue_one(storage)
        await storage.wait(["queue:default"], after=mark, timeout_ms=10_000)

        assert storage.url == f"redis+unix://{USER}:***@{path}"


async def test_another_database_needs_a_right_more(started: Start) -> None:
    one = started()
    other = one.url().replace("/0?", "/3?")
    with pytest.raises(Misconfigured, match="lacks a right"):
        async with opened(other, Clock()):
            pass
    one.ask("ACL", "SETUSER", USER, "+select")
    async with opened(other, Clock()) as storage:
        await enqueue_one(storage)

    assert one.info("db3")["keys"] > 0
