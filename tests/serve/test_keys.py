"""Keys are shown once, stored as hashes, and end when they are revoked."""

import pytest
from sqlalchemy import select

from ozora.serve.errors import ApiError
from ozora.serve.keys import (
    api_keys,
    authenticate,
    create_key,
    find_tenant,
    has_keys,
    list_keys,
    open_keys,
    revoke_key,
)


@pytest.fixture
def database(engine):
    open_keys(engine)
    open_keys(engine)  # another worker
    return engine


def test_a_key_speaks_for_its_tenant(database):
    assert not has_keys(database)
    key, text = create_key(database, "laptop")
    assert has_keys(database) and key.tenant == key.id and text.isascii() and " " not in text
    assert find_tenant(database, text) == key.tenant
    assert authenticate(database, f"Bearer {text}") == key.tenant == authenticate(database, f"bearer  {text} ")
    second, other = create_key(database, "laptop again", key.tenant)
    assert find_tenant(database, other) == key.tenant and second.id != key.id
    assert list_keys(database) == sorted([key, second], key=lambda key: (key.created_at, key.id))


def test_only_hashes_are_stored(database):
    _, text = create_key(database, "laptop")
    with database.connect() as connection:
        row = connection.execute(select(api_keys)).one()
    secret = text.split("-", 2)[2]
    assert len(secret) >= 43 and all(secret not in str(value) for value in row)


def test_wrong_keys_are_no_keys(database):
    key, text = create_key(database, "laptop")
    another = create_key(database, "other")[1]
    secret = another.split("-", 2)[2]
    for wrong in (
        "",
        "-",
        "--",
        text[:-1],
        text + "x",
        text.upper(),
        f"ozora-{key.id}-{secret}",
        f"ozora-{key.id}",
        f"sk-{key.id}-" + text.split("-", 2)[2],
        "ozora-\0-x",
        "ozora-'--x",
        "ozora-é-\udce9",
        "x" * 100_000,
    ):
        assert find_tenant(database, wrong) is None
        with pytest.raises(ApiError) as refusal:
            authenticate(database, f"Bearer {wrong}")
        assert refusal.value.status == 401
    for header in (None, "", text, f"Basic {text}"):
        with pytest.raises(ApiError):
            authenticate(database, header)


def test_a_revoked_key_is_good_no_longer(database):
    key, text = create_key(database, "laptop")
    gone = revoke_key(database, key.id)
    assert gone.revoked_at is not None and find_tenant(database, text) is None
    assert has_keys(database)  # else revoking the last key would open the server
    with pytest.raises(ValueError, match="no key"):
        revoke_key(database, key.id)


def test_names_are_checked(database):
    for name in ("", "a" * 129, "a\nb"):
        with pytest.raises(ValueError, match="name"):
            create_key(database, name)
