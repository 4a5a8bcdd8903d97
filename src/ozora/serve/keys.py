"""Who is asking? API keys, of which only hashes are stored, and the tenant that each key speaks for.

A key is ``ozora-<id>-<secret>``; the id finds the row, and the hash of the secret is compared in constant time. The
secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from ozora.serve.errors import ApiError

LOCAL_TENANT = "local"
"""Who everybody is on a server that has no keys and that only this machine can reach."""
NOBODY = "0" * 64
metadata = MetaData()
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)


@dataclass(frozen=True)
class Key:
    """A key without its secret. Times are seconds since 1970; ``revoked_at`` None: it is good."""

    id: str
    tenant: str
    name: str
    created_at: int
    revoked_at: int | None


def open_keys(engine: Engine) -> None:
    """Make the table if it is not there; several workers may do so at once."""
    try:
        metadata.create_all(engine)
    except DBAPIError:  # another worker made it between our look and our attempt
        metadata.create_all(engine)


def create_key(engine: Engine, name: str, tenant: str | None = None) -> tuple[Key, str]:
    """A new key and its text, which is shown once and stored nowhere.

    ``tenant`` lets it see what another key of that tenant made; unless given, the key is a tenant of its own.
    """
    if not 1 <= len(name) <= 128 or not name.isprintable():
        raise ValueError(f"name is {name[:128]!r}; it must be 1 to 128 printable characters, 'laptop' for instance")
    if tenant is not None and not 1 <= len(tenant) <= 64:
        raise ValueError(f"tenant is {tenant[:64]!r}; it must be 1 to 64 characters, as ozora keys list shows it")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = Key(key_id, tenant or key_id, name, int(time.time()), None)
    with engine.begin() as connection:
        connection.execute(insert(api_keys).values(**vars(key), digest=_digest(secret)))
    return key, f"ozora-{key_id}-{secret}"


def list_keys(engine: Engine) -> list[Key]:
    """All keys, oldest first, revoked ones too."""
    columns = [column for column in api_keys.c if column.name != "digest"]
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).order_by(api_keys.c.created_at, api_keys.c.id)).mappings()
        return [Key(**row) for row in rows]


def revoke_key(engine: Engine, key_id: str) -> Key:
    """The key is good no longer, from the next request on; ``ValueError`` where there is no good key of that id."""
    row = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    with engine.begin() as connection:
        if connection.execute(row.values(revoked_at=int(time.time()))).rowcount == 0:
            raise ValueError(f"{key_id[:64]!r} is no key that could be revoked; ozora keys list shows them")
    return next(key for key in list_keys(engine) if key.id == key_id)


def has_keys(engine: Engine) -> bool:
    """Whether a key was ever made, so that revoking the last one does not open the server to everybody."""
    with engine.connect() as connection:
        return bool(connection.execute(select(func.count()).select_from(api_keys)).scalar_one())


def find_tenant(engine: Engine, text: str) -> str | None:
    """The tenant that a key speaks for, or None. It takes as long for a wrong id as for a wrong secret."""
    word, key_id, secret = ([*text.split("-", 2), "", ""])[:3]
    with engine.connect() as connection:
        query = select(api_keys.c.tenant, api_keys.c.digest, api_keys.c.revoked_at).where(api_keys.c.id == key_id[:16])
        row = connection.execute(query).one_or_none() if key_id.isalnum() and key_id.isascii() else None
    is_right = hmac.compare_digest(_digest(secret), row.digest if row else NOBODY)
    return row.tenant if row and is_right and word == "ozora" and row.revoked_at is None else None


def authenticate(engine: Engine, authorization: str | None) -> str:
    """The tenant of an ``Authorization`` header; 401 unless it holds a good key."""
    scheme, _, text = (authorization or "").partition(" ")
    tenant = find_tenant(engine, text.strip()) if scheme.lower() == "bearer" else None
    if tenant is None:
        said = "this API key is not known here" if authorization else "an API key is needed"
        raise ApiError(401, "invalid_api_key", f"{said}; send it as 'Authorization: Bearer ozora-...'")
    return tenant


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
