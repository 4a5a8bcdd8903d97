"""Only a public, HTTPS, small and quick picture comes in. Everything listens on this machine; names are resolved by the
tests themselves."""

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ozora.serve.errors import ApiError
from ozora.serve.fetch import FetchLimits, download, fetch_image, is_public, split_url

HOST = "pictures.example"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


class Site:
    """An HTTPS server that gives scripted answers, one per connection, and counts who comes."""

    def __init__(self, folder, names=(HOST,)):
        self.trust, server_side = make_contexts(folder, names)
        self.answers, self.requests = {}, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._released = threading.Event()
        self._threads = [threading.Thread(target=self._serve, args=(server_side,))]
        self._threads[0].start()

    def _serve(self, context):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(context, plain))
            thread.start()
            self._threads.append(thread)

    def _answer(self, context, plain):
        with plain:
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        part = connection.recv(65536)
                        if not part:
                            return
                        head += part
                    self.requests.append(head.decode())
                    for part in self.answers[head.split()[1].decode()]:
                        if part is WAIT:
                            self._released.wait(60)
                        else:
                            connection.sendall(part)
            except OSError:
                pass

    def close(self):
        self._released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)


WAIT = object()
LIMITS = FetchLimits()


def make_contexts(folder, names):
    """(what a client trusts, what the server shows): a certificate that signs itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "site.pem").write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, *private))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "site.pem")
    return ssl.create_default_context(cadata=pem.decode()), server


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()


def answer(status=200, body=PICTURE, **headers):
    lines = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return [head.encode() + b"\r\n" + body]


def get(site, path, url=f"https://{HOST}/a.png", limits=LIMITS, is_allowed=lambda address: True, resolve=None):
    return download(
        url,
        path,
        limits,
        resolve=resolve or (lambda host, port: [site.address]),
        is_allowed=is_allowed,
        trust=site.trust,
    )


def test_a_picture_arrives_whole_from_the_address_that_was_checked(site, tmp_path):
    site.answers["/a.png?x=1"] = answer()
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return [site.address]

    get(site, tmp_path / "got", f"https://{HOST}/a.png?x=1", resolve=resolve)
    assert (tmp_path / "got").read_bytes() == PICTURE
    assert asked == [(HOST, 443)]  # one look-up, and the connection went to its answer
    assert f"Host: {HOST}\r\n" in site.requests[0]


def test_redirects_are_followed_and_each_is_checked_like_the_first(site, tmp_path):
    site.answers |= {"/a.png": answer(302, b"", Location="/b.png"), "/b.png": answer()}
    get(site, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == PICTURE
    for location in (
        "http://pictures.example/b.png",
        "https://pictures.example:8443/b.png",
        "file:///etc/passwd",
        "https://user@pictures.example/",
        "//[",
    ):
        site.answers["/a.png"] = answer(302, b"", Location=location)
        with pytest.raises(ValueError, match="URL"):
            get(site, tmp_path / "other")
    site.answers["/a.png"] = answer(302, b"", Location="https://inside.example/secret")
    num_requests = len(site.requests)

    def resolve(host, port):
        return [site.address] if host == HOST else [("10.0.0.5", 443)]

    with pytest.raises(ValueError, match="not on the public internet"):
        get(site, tmp_path / "other", resolve=resolve, is_allowed=lambda address: address == site.address[0])
    assert len(site.requests) == num_requests + 1 and not (tmp_path / "other").exists()


def test_redirects_end(site, tmp_path):
    site.answers["/a.png"] = answer(301, b"", Location="/a.png")
    with pytest.raises(ValueError, match="more than 3 times"):
        get(site, tmp_path / "got")
    assert len(site.requests) == 4


@pytest.mark.parametrize("declared", [None, str(len(PICTURE))], ids=["undeclared", "declared"])
def test_size_is_capped_before_and_while_it_comes(site, tmp_path, declared):
    site.answers["/a.png"] = answer(Content_Length=declared)
    with pytest.raises(ValueError, match="bytes"):
        get(site, tmp_path / "got", limits=FetchLimits(max_bytes=len(PICTURE) - 1))
    get(site, tmp_path / "got", limits=FetchLimits(max_bytes=len(PICTURE)))
    assert (tmp_path / "got").read_bytes() == PICTURE


@pytest.mark.parametrize(
    "parts", [[WAIT], [b"HTTP/1.1 200 x\r\n", WAIT], [b"HTTP/1.1 200 x\r\n\r\n" + PICTURE, WAIT]], ids=range(3)
)
def test_time_is_capped_wherever_the_server_stalls(site, tmp_path, parts):
    site.answers["/a.png"] = parts
    with pytest.raises(ValueError, match=r"took more than 0\.5 s"):
        get(site, tmp_path / "got", limits=FetchLimits(seconds=0.5))
    assert not (tmp_path / "got").exists()


def test_what_is_not_a_whole_200_is_refused(site, tmp_path):
    for parts, words in (
        (answer(404), "answers 404"),
        (answer(304), "answers 304"),
        (answer(302), "answers 302"),  # redirects to nowhere
        (answer(Content_Encoding="gzip"), "compressed"),
        (answer(Content_Length=str(len(PICTURE) + 1)), "ended after"),
        (answer(Content_Length=None, Transfer_Encoding="chunked"), "not HTTPS"),
        ([b"SSH-2.0-OpenSSH\r\n"], "not HTTPS"),
        ([], "cannot be fetched"),
    ):
        site.answers["/a.png"] = parts
        with pytest.raises(ValueError, match=words):
            get(site, tmp_path / "got")
        assert not (tmp_path / "got").exists()


def test_the_certificate_must_be_the_names(site, tmp_path):
    with pytest.raises(ValueError, match="certificate is not the host's"):
        get(site, tmp_path / "got", "https://else.example/a.png")
    assert not site.requests


def test_a_name_with_one_private_address_is_refused_without_connecting(site, tmp_path):
    for addresses in ([("10.1.2.3", 443)], [("93.184.215.14", 443), ("127.0.0.1", 443)], []):
        with pytest.raises(ValueError, match=r"public internet|no address"):
            get(site, tmp_path / "got", resolve=lambda host, port, a=addresses: a, is_allowed=is_public)
    assert not site.requests


def test_this_machine_is_not_public_under_any_of_its_names(tmp_path):
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
        with pytest.raises(ApiError) as refusal:
            fetch_image(f"https://{host}/", tmp_path, 1000)
        assert (refusal.value.status, refusal.value.code) == (400, "invalid_image_url")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
        *("192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0"),
        *("fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2001:db8::1"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "::127.0.0.1", "64:ff9b:1::1", "name", ""),
    ],
)
def test_addresses_that_lead_inside(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "64:ff9b::808:808"])
def test_addresses_that_lead_outside(address):
    assert is_public(address)


def test_only_plain_https_urls_are_read():
    assert split_url("https://a.example/b?c=d#e") == ("a.example", 443, "/b?c=d")
    assert split_url("HTTPS://A.example") == ("a.example", 443, "/")
    assert split_url("https://[2606:2800::1]:443/") == (str(ipaddress.ip_address("2606:2800::1")), 443, "/")
    for url in (
        *("http://a.example/", "ftp://a.example/", "file:///etc/passwd", "a.example/x.png", "//a.example/", ""),
        *(
            "https://a.example:22/",
            "https://a:b@a.example/",
            "https:///x",
            "https://a.example/\r\nHost: b",
            "https://[/",
        ),
        *("https://a.example/ä", "https://a.example\\@b.example/", "https://a.example:x/", "https://" + "a" * 9000),
    ):
        with pytest.raises(ValueError, match="URL"):
            split_url(url)
