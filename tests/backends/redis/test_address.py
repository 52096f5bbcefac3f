"""Addresses of Redis storages, and what is said of those that make no sense."""

import pytest

from aiq.backends.redis.address import Kind, Place, parse
from aiq.errors import Misconfigured


def test_one_server_has_a_port_a_database_and_a_namespace_unless_it_is_said() -> None:
    found = parse("redis://localhost")

    assert (found.kind, found.places) == (Kind.SERVER, (Place("localhost", 6379),))
    assert (found.database, found.namespace, found.tls) == (0, "default", None)
    assert found.prefix == "{aiq:default}"


def test_everything_can_be_said() -> None:
    found = parse("rediss://me:p%40ss@[::1]:7000/3?namespace=mail&timeout=0.5&connections=4&ssl_ca_certs=/ca.pem")

    assert found.places == (Place("::1", 7000),)
    assert (found.username, found.password, found.database, found.namespace) == ("me", "p@ss", 3, "mail")
    assert (found.timeout_ms, found.connections, found.tls) == (500, 4, {"ssl_ca_certs": "/ca.pem"})


def test_a_socket_of_this_machine_is_named_by_its_path() -> None:
    found = parse("redis+unix:///run/redis/redis.sock?db=2&namespace=a")

    assert (found.kind, found.places, found.database) == (Kind.SOCKET, (Place("/run/redis/redis.sock", 0),), 2)


def test_sentinels_name_the_primary_of_a_service() -> None:
    found = parse("redis+sentinel://:secret@a,b:26380/jobs/1?sentinel_password=other")

    assert found.places == (Place("a", 26379), Place("b", 26380))
    assert (found.service, found.database, found.password, found.sentinel_password) == ("jobs", 1, "secret", "other")


def test_some_nodes_stand_for_a_cluster() -> None:
    found = parse("rediss+cluster://a:7000,b?namespace=x")

    assert (found.kind, found.places, found.tls) == (Kind.CLUSTER, (Place("a", 7000), Place("b", 6379)), {})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hunter2@host/0", "redis://me:***@host/0"),
        ("redis://:hunter2@host:1/0?namespace=a", "redis://:***@host:1/0?namespace=a"),
        ("redis+sentinel://a/s?timeout=1&sentinel_password=hunter2", "redis+sentinel://a/s?timeout=1&sentinel_password=***"),
        ("redis://host", "redis://host"),
    ],
)  # fmt: skip
def test_a_password_is_shown_nowhere(url: str, shown: str) -> None:
    found = parse(url)

    assert found.url == shown
    assert "hunter2" not in repr(found)


def test_a_password_is_in_no_message_about_the_address_around_it() -> None:
    with pytest.raises(Misconfigured) as told:
        parse("redis+sentinel://me:hunter2@a/s?sentinel_password=hunter2&db=1")

    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://a,b", "redis\\+sentinel://HOST,HOST/SERVICE"),
        ("redis://a/0?name=b", "no setting name, but connections, namespace, replicas, timeout"),
        ("redis://a/jobs", "db=jobs is not a whole number"),
        ("redis://a/0/1", "not the number of a database"),
        ("redis://a:port", "HOST:PORT"),
        ("redis://a#b", "%23"),
        ("redis://a?namespace={b}", "no namespace"),
        ("redis://a?timeout=soon", "number of seconds"),
        ("redis://a?timeout=0", "number of seconds"),
        ("redis://a?connections=0", "from 1 on"),
        ("redis://a?ssl_ca_certs=/ca.pem", "no setting ssl_ca_certs"),
        ("rediss://a?ssl_cert_reqs=optional", "required, which is the default, or none"),
        ("rediss://a?ssl_keyfile=/key.pem", "ssl_certfile="),
        ("redis+unix://", "three slashes"),
        ("redis+unix://host/path", "three slashes"),
        ("redis+sentinel://a", "redis\\+sentinel://HOST:26379/SERVICE"),
        ("redis+sentinel:///jobs", "at least one host"),
        ("redis+cluster://a/1", "database 0 only"),
        ("redis+cluster://", "at least one host"),
        ("redis://[", "cannot be read"),
        ("rediss+unix:///a", "begins with one of"),
    ],
)
def test_what_makes_no_sense_is_told_how_to_write_it(url: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        parse(url)
