"""How is Ozora served, and what it served verified, from a shell? The server, its API keys, and who signed a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ozora.serve.settings import ServeSettings
from ozora.terminal import one_line, say
from ozora.verbs.options import option

if TYPE_CHECKING:
    from socket import socket

    from fastapi import FastAPI
    from sqlalchemy import Engine

Data = Annotated[Path, arg(metavar="DIR")]
Database = Annotated[str | None, option("a file in the data folder", "URL")]
DEFAULTS = ServeSettings()
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than a client that polls waits between two questions."""
GRACE_SECONDS = 10
"""How long downloads may go on after the server was told to stop; renders are parked in the meantime."""


def serve(settings: Annotated[ServeSettings, arg(name="")] = DEFAULTS) -> None:
    """Serve the Videos API (extra "serve"): jobs are stored, rendered together, and survive kill -9.

    It prints its address when it is ready. SIGTERM and Ctrl-C park the work; the next start goes on with it.
    """
    import asyncio
    import logging
    import socket

    from ozora.serve.app import make_app
    from ozora.serve.jobs import open_service
    from ozora.serve.keys import list_keys
    from ozora.serve.scratch import use_scratch

    logging.basicConfig(level=logging.WARNING, format="ozora: %(levelname)s: %(name)s: %(message)s", stream=sys.stderr)
    engine = _open_database(settings.data, settings.database)
    if not settings.is_loopback and all(key.revoked_at is not None for key in list_keys(engine)):
        raise ValueError(
            f"host is {settings.host}, which other machines can reach, and there is no API key; "
            f"make one first: ozora keys create NAME --data {settings.data}"
        )
    use_scratch(settings.data)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family, backlog=2048) as listener:
        app = make_app(open_service(settings), settings, engine)
        asyncio.run(_listen(app, listener, settings))


async def _listen(app: "FastAPI", listener: "socket", settings: ServeSettings) -> None:
    """Answer requests until a signal comes; an error while starting is raised as it was."""
    import asyncio
    import contextlib
    import logging

    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what goes wrong at the start is told once, by us
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the caller is told, and must not fill the log
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        # The server exits the process where the application did not start; why is said below.
        with contextlib.suppress(SystemExit):
            await server.serve(sockets=[listener])

    running = asyncio.create_task(run())
    while not server.started and not running.done():
        await asyncio.sleep(0.05)
    if server.started:
        host, port = listener.getsockname()[:2]
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(one_line(f"http://{place}/v1: ready, model {settings.model}, data in {settings.data}"), flush=True)
    await running
    failure = getattr(app.state, "failure", None)
    if failure is not None:
        raise failure


def verify(
    file: Positional[Path],
    trust: Annotated[Path | None, option("nobody", "FILE")] = None,
) -> None:
    """Say who signed a file, how it was made and from what, and whether it was changed since (C2PA; extra "serve").

    Fails for a file that was changed, and for one that carries no provenance.

    Args:
        file: A video or picture.
        trust: PEM certificates of signers to trust, such as signing/chain.pem of a server's data folder.
    """
    from ozora.serve.sign import verify as read_provenance

    provenance = read_provenance(file, None if trust is None else trust.read_text())
    for line in str(provenance).splitlines():
        print(one_line(line))
    if provenance.state in ("invalid", "none"):
        words = "was changed since it was signed" if provenance.state == "invalid" else "carries no provenance"
        raise RuntimeError(f"{file} {words}")


def create_key(
    name: Positional[str],
    tenant: Annotated[str | None, option("the key itself", "ID")] = None,
    data: Data = DEFAULTS.data,
    database: Database = None,
) -> None:
    """Make an API key for a server. It is printed once, and only its hash is stored.

    Args:
        name: What to call it, "laptop" for instance.
        tenant: Whose videos it sees, as ozora keys list names them; "local" is who used a server without keys.
        data: The server's data folder.
        database: The server's PostgreSQL URL, where it has one.
    """
    from ozora.serve.keys import create_key as create

    key, text = create(_open_database(data, database), name, tenant)
    print(text)
    say("note", f"key {key.id} of tenant {key.tenant}; it is not shown again")


def list_keys(data: Data = DEFAULTS.data, database: Database = None) -> None:
    """List a server's API keys: id, tenant, when they were made or revoked, and name.

    Args:
        data: The server's data folder.
        database: The server's PostgreSQL URL, where it has one.
    """
    import time

    from ozora.serve.keys import list_keys as keys_of

    for key in keys_of(_open_database(data, database)):
        moment = key.created_at if key.revoked_at is None else key.revoked_at
        state = "made" if key.revoked_at is None else "revoked"
        day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
        print(one_line(f"{key.id}  {key.tenant}  {state} {day}  {key.name}"))


def revoke_key(key: Positional[str], data: Data = DEFAULTS.data, database: Database = None) -> None:
    """Let an API key be good no longer, from the next request on.

    Args:
        key: Its id, as ozora keys list shows it.
        data: The server's data folder.
        database: The server's PostgreSQL URL, where it has one.
    """
    from ozora.serve.keys import revoke_key as revoke

    gone = revoke(_open_database(data, database), key)
    print(one_line(f"{gone.id}: revoked ({gone.name})"))


def _open_database(data: Path, database: str | None) -> "Engine":
    """The server's database, with its table of keys; the data folder is made if it is not there."""
    from ozora.serve.keys import open_keys
    from ozora.serve.tables import open_engine

    data.mkdir(parents=True, exist_ok=True)
    engine = open_engine(ServeSettings(data=data, database=database).database_url)
    open_keys(engine)
    return engine
