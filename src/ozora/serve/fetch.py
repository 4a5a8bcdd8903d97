"""How is a picture fetched from an address that a stranger chose? From the public internet only.

A server that fetches any URL is a door into its own network: metadata services, databases on loopback, printers. So
the name is resolved once, every address it has must be public, the connection goes to that very address (a second
look-up could answer otherwise), the certificate must be the name's, and each redirect starts over. Size and time are
capped for all of it together.
"""

import http.client
import ipaddress
import os
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from ozora.serve.errors import invalid

Address = tuple[str, int]

REDIRECTS = (301, 302, 303, 307, 308)
MAX_URL = 8192
CHUNK = 2**16
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# All of IPv6 that has been given out for the internet (RFC 4291, section 2.4), and IPv4's block for protocols' own use.
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")


@dataclass(frozen=True)
class FetchLimits:
    """The most bytes of a picture, the most seconds for all of its redirects together, and how many of them."""

    max_bytes: int = 32 * 2**20
    seconds: float = 20.0
    max_redirects: int = 3


def fetch_image(url: str, folder: Path, max_bytes: int) -> Path:
    """What an ``https:`` URL answers, as a new file in ``folder``; whether it is a picture is settled by decoding it.

    400 ``invalid_image_url`` where it is refused, in words that never tell what answered inside this network.
    """
    path = folder / secrets.token_hex(16)
    try:
        download(url, path, FetchLimits(max_bytes=max_bytes))
    except ValueError as error:
        raise invalid(str(error), code="invalid_image_url") from error
    return path


def download(
    url: str,
    path: Path,
    limits: FetchLimits = FetchLimits(),
    *,
    resolve: Callable[[str, int], list[Address]] | None = None,
    is_allowed: Callable[[str], bool] | None = None,
    trust: ssl.SSLContext | None = None,
) -> None:
    """Write what an ``https:`` URL answers to ``path``, a new file; nothing stays of a refused one.

    ``resolve`` (name and port to addresses), ``is_allowed`` (address to yes or no) and ``trust`` are the system's
    resolver, ``is_public`` and the system's certificates unless they are given.
    """
    resolve, is_allowed = resolve or resolve_name, is_allowed or is_public
    trust = trust or ssl.create_default_context()
    sockets: list[socket.socket] = []
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        for connection in list(sockets):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # A timeout on each read would let a server that trickles hold us for ever; this one is for everything.
    alarm = threading.Timer(limits.seconds, stop)
    alarm.daemon = True
    alarm.start()
    try:
        for _ in range(limits.max_redirects + 1):
            host, port, target = split_url(url)
            address = _choose(resolve, host, port, is_allowed)
            if is_late.is_set():
                break
            location = _get(host, target, address, path, limits, trust, sockets)
            if location is None:
                break
            url = urljoin(url, location)
        else:
            raise ValueError(f"the image URL redirects more than {limits.max_redirects} times")
    except (OSError, http.client.HTTPException) as error:
        if not is_late.is_set():
            raise ValueError(f"the image URL cannot be fetched: {_plain(error)}") from error
    except ValueError:
        if not is_late.is_set():
            raise
    finally:
        alarm.cancel()
        for connection in sockets:
            connection.close()
    if is_late.is_set():  # even what looks whole may have been cut off by the alarm
        path.unlink(missing_ok=True)
        raise ValueError(f"the image URL took more than {limits.seconds:g} s")


def split_url(url: str) -> tuple[str, int, str]:
    """(host, port, path and query) of an ``https:`` URL without a user or another port; else ``ValueError``."""
    if len(url) > MAX_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError(f"the image URL must be at most {MAX_URL} plain ASCII characters without blanks")
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        raise ValueError("the image URL is malformed; write https://host/path") from None
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"the image URL's scheme is {parts.scheme[:16]!r}; it must be https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the image URL names a user or password; leave them out")
    if port != 443:
        raise ValueError(f"the image URL names port {port}; only 443 is used")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, target


def resolve_name(host: str, port: int) -> list[Address]:
    """Every address of a name, by the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, looking through addresses that stand for others.

    IPv4 inside IPv6 (mapped, 6to4, Teredo, NAT64) counts as what it leads to.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner: list[ipaddress.IPv4Address] = []
    if isinstance(ip, ipaddress.IPv4Address):
        if ip in PROTOCOLS:
            return False
    else:
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in GLOBAL_UNICAST:
            return False
        inner = [ip.sixtofour] if ip.sixtofour is not None else list(ip.teredo or ())
    return ip.is_global and not (ip.is_multicast or ip.is_reserved) and all(is_public(str(other)) for other in inner)


def _choose(
    resolve: Callable[[str, int], list[Address]], host: str, port: int, is_allowed: Callable[[str], bool]
) -> Address:
    """The address to connect to; one that is not allowed among them spoils the name."""
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise ValueError("the image URL's host has no address")
    if not all(is_allowed(address) for address, _ in addresses):
        raise ValueError("the image URL's host is not on the public internet")
    return addresses[0]


def _get(
    host: str,
    target: str,
    address: Address,
    path: Path,
    limits: FetchLimits,
    trust: ssl.SSLContext,
    sockets: list[socket.socket],
) -> str | None:
    """One request; writes the body and returns None, or returns where it redirects to."""
    plain = socket.create_connection(address, timeout=limits.seconds)
    sockets.append(plain)
    encrypted = trust.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    sockets.append(encrypted)
    encrypted.do_handshake()
    with closing(http.client.HTTPConnection(host, address[1])) as connection:
        connection.sock = encrypted
        named = f"[{host}]" if ":" in host else host
        headers = {
            "Host": named,
            "Accept": "image/png, image/jpeg, image/webp",
            "Accept-Encoding": "identity",
            "User-Agent": "ozora",
        }
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status in REDIRECTS and response.headers["Location"]:
            return response.headers["Location"]
        if response.status != 200:
            raise ValueError(f"the image URL answers {response.status}; it must answer 200 with a picture")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ValueError("the image URL answers with a compressed body, which is not read")
        if int(response.length or 0) > limits.max_bytes:
            raise ValueError(f"the image URL answers with {response.length} bytes; at most {limits.max_bytes} are read")
        _save(response, path, limits)
    return None


def _save(response: http.client.HTTPResponse, path: Path, limits: FetchLimits) -> None:
    """The body, counted while it comes; a file that is not whole does not stay."""
    declared, received, is_whole = response.length, 0, False
    try:
        with path.open("xb") as file:
            while chunk := response.read1(CHUNK):
                received += len(chunk)
                if received > limits.max_bytes:
                    raise ValueError(f"the image URL answers with more than {limits.max_bytes} bytes, the most read")
                file.write(chunk)
            os.fsync(file.fileno())
        if declared is not None and received != declared:
            raise ValueError(f"the image URL ended after {received} of {declared} bytes")
        is_whole = True
    finally:
        if not is_whole:
            path.unlink(missing_ok=True)


def _plain(error: Exception) -> str:
    """What went wrong in words that tell nothing about this network."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not the host's"
    if isinstance(error, ssl.SSLError | http.client.HTTPException):
        return "its answer is not HTTPS"
    return "the host does not answer"
