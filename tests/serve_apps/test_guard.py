"""Who is let in, how often, from where, and what a browser is told."""

from __future__ import annotations

import hashlib
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests
from starlette.testclient import TestClient

from knowlip.errors import SettingsError
from serve_apps.gateway import Door, build_gateway
from serve_apps.guard import check_address
from serve_apps.keys import Keys, Rate, read_keys
from serve_apps.services import Services
from tests.serve_apps.conftest import KEY
from tests.serve_apps.test_retrieval import check_problem

HASH = hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.ray
class TestOverHttp:
    def test_a_key_opens_the_service_and_nothing_else_does(self, address):
        url = f"{address}/keys/v1/info"
        refused = requests.get(url, timeout=60)
        check_problem(refused, 401)
        assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("a-wrong-key-of-some-length", HASH, "ü" * 20, ""):
            headers = {"x-api-key": wrong.encode()}
            check_problem(requests.get(url, headers=headers, timeout=60), 401)
        for right in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}):
            assert requests.get(url, headers=right, timeout=60).status_code == 200
        for path in ("/", "/healthz", "/readyz", "/docs", "/openapi.json", "/page/page.js"):
            assert requests.get(f"{address}/keys{path}", timeout=60).status_code == 200
        for path in ("/metrics", "/stac/", "/stac/search", "/v1/tiles/los-0000.png", "/v1/nothing"):
            check_problem(requests.get(f"{address}/keys{path}", timeout=60), 401)

    def test_browsers_are_told_to_be_careful(self, address):
        for path in ("/", "/v1/info", "/v1/nothing", "/stac/", "/docs"):
            headers = requests.get(address + path, headers={"origin": "http://evil.test"}, timeout=60).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert not [name for name in headers if name.lower().startswith("access-control")]
        page = requests.get(f"{address}/", timeout=60).headers["content-security-policy"]
        assert "default-src 'self'" in page
        assert "unsafe-eval" not in page

    def test_what_is_done_is_counted_by_route(self, address):
        def count():
            text = requests.get(f"{address}/metrics", timeout=60).text
            lines = [line for line in text.splitlines() if line.startswith("knowlip_requests_total{")]
            named = [line for line in lines if 'route="/v1/tiles/{tile_id}"' in line and 'status="404"' in line]
            assert not [line for line in lines if "counted-" in line]
            return sum(float(line.rpartition(" ")[2]) for line in named)

        before = count()
        for number in range(3):
            requests.get(f"{address}/v1/tiles/counted-{number}", timeout=60)
        assert count() == before + 3

    def test_a_client_that_leaves_or_stalls_frees_its_place(self, address):
        where = urlsplit(address)
        head = f"POST {where.path}/v1/search HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
        for _ in range(8):
            with socket.create_connection((where.hostname, where.port)) as client:
                client.sendall(f'{head}Content-Length: 20\r\n\r\n{{"text":'.encode())
        assert requests.post(f"{address}/v1/search", json={"text": "ships"}, timeout=60).status_code == 200
        until = time.monotonic() + 60
        while ongoing(address) > 1:
            assert time.monotonic() < until
            time.sleep(0.2)


def ongoing(address):
    text = requests.get(f"{address}/metrics", timeout=60).text
    return float(next(line for line in text.splitlines() if line.startswith("knowlip_requests_ongoing ")).split()[1])


class TestInProcess:
    """The same application without Ray; nothing behind it is asked."""

    def client(self, **door):
        return TestClient(build_gateway(Services(answerer=object()), Door(**door)), raise_server_exceptions=False)

    def test_too_many_requests_of_one_key_are_refused_for_a_while(self):
        other = "another-key-for-the-tests-0123"
        keys = Keys((HASH, hashlib.sha256(other.encode()).hexdigest()))
        client = self.client(keys=keys, requests_per_minute=3)
        replies = [client.get("/v1/models", headers={"x-api-key": KEY}) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 20
        check_problem(replies[-1], 429)
        assert client.get("/v1/models", headers={"x-api-key": other}).status_code == 200

    def test_only_named_origins_may_call(self):
        asked = {"origin": "https://maps.test", "access-control-request-method": "POST"}
        client = self.client(cors_origins=("https://maps.test",), keys=Keys((HASH,)))
        assert client.options("/v1/vqa", headers=asked).headers["access-control-allow-origin"] == "https://maps.test"
        stranger = client.options("/v1/vqa", headers=asked | {"origin": "https://evil.test"})
        assert "access-control-allow-origin" not in stranger.headers

    def test_a_map_that_is_drawn_holds_nobody_up_and_is_drawn_once(self, monkeypatch):
        import asyncio
        import threading

        import httpx

        from serve_apps.routes import page

        answered, drawn = threading.Event(), []

        def slow(name, box):
            drawn.append((name, box))
            assert answered.wait(20), "nothing was answered while a map was drawn"
            return {"type": "FeatureCollection", "features": []}

        monkeypatch.setattr(page, "layer", slow)

        async def visits():
            app = build_gateway(Services(answerer=object()), Door(keys=Keys((HASH,))))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
                drawing = asyncio.create_task(client.get("/page/basemap/land.json?bbox=[1.5,2.5,3.5,4.5]"))
                await asyncio.sleep(0.05)
                assert (await client.get("/healthz")).status_code == 200
                answered.set()
                return [await drawing, await client.get("/page/basemap/land.json?bbox=[1.2,2.2,3.1,4.1]")]

        first, second = asyncio.run(visits())
        assert first.json() == second.json() == {"type": "FeatureCollection", "features": []}
        assert drawn == [("land", (1, 2, 4, 5))]

    def test_a_body_of_which_nothing_comes_is_given_up(self):
        import anyio

        from serve_apps.guard import BodyLimit
        from serve_apps.problems import Problem

        async def reads(scope, receive, send):
            await receive()

        async def never():
            await anyio.sleep_forever()

        scope = {"type": "http", "headers": [], "path": "/v1/search"}
        with pytest.raises(Problem) as caught:
            anyio.run(BodyLimit(reads, pause_s=0.01), scope, never, None)
        assert caught.value.status_code == 408


def test_calls_come_back_steadily():
    rate = Rate(60)
    assert [rate.wait_s("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert rate.wait_s("a", 0.0) == pytest.approx(1.0)
    assert rate.wait_s("b", 0.0) == 0.0
    assert rate.wait_s("a", 0.5) == pytest.approx(0.5)
    assert rate.wait_s("a", 1.01) == 0.0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.test"])  # noqa: S104
def test_an_open_address_wants_keys(host):
    with pytest.raises(SettingsError, match=r"which other machines reach, without API keys; set KNOWLIP_API_KEYS"):
        check_address(host, Keys())
    check_address(host, Keys((HASH,)))
    check_address(host, Keys(), allow_public=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_alone_needs_none(host):
    check_address(host, Keys())


def test_keys_come_from_the_environment_and_a_file_of_hashes(monkeypatch, tmp_path):
    monkeypatch.setenv("KNOWLIP_API_KEYS", f"{KEY}, another-key-for-the-tests")
    file = tmp_path / "keys"
    file.write_text(f"# of the team\n{hashlib.sha256(b'third').hexdigest()}  # third\n\n")
    keys = read_keys(str(file))
    assert len(keys.hashes) == 3
    assert KEY not in repr(keys)
    assert [bool(keys.holder(key)) for key in (KEY, "third", "fourth", None, HASH)] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("text", "reason"), [("secret\n", "line 1 is no SHA-256 hash"), ("", "holds no hash"), (None, "cannot be read")]
)
def test_a_file_without_hashes_is_refused(tmp_path, text, reason):
    file = tmp_path / "keys"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=reason):
        read_keys(str(file))


def test_a_short_key_is_refused(monkeypatch):
    monkeypatch.setenv("KNOWLIP_API_KEYS", "short")
    with pytest.raises(SettingsError, match="less than 16 characters"):
        read_keys(None)
