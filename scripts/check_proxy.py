"""Check the examples for nginx and Caddy in deploy: `python scripts/check_proxy.py` prints what held, as JSON.

Each proxy runs with the example's own text, but for the ports and the paths of a certificate that is made here; behind
it `merau ui` with the example's options. Chromium opens the page over TLS, logs in, watches a camera and uploads. Needs
nginx, caddy and openssl (as root: apt-get install nginx-light caddy openssl), playwright and Debian's chromium. It is
not part of the tests, because the packages of both start a server.
"""

import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page, expect, sync_playwright

from merau.stream.demo import CLIP
from scripts.support.rtsp_server import free_port

DEPLOY = Path(__file__).parents[1] / "deploy"
NAME, PASSWORD = "merau.example", "a long password"
EXAMPLES = {"nginx.conf": "", "nginx-path.conf": "/merau", "Caddyfile": "/merau"}  # with the path of the page
NGINX = """
user root; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {server}
}}
"""
CADDY = """{{
 admin off
 default_sni merau.example
 auto_https off
 storage file_system {folder}
}}
{server}"""


def main() -> int:
    """Run the checks."""
    missing = [name for name in ("nginx", "caddy") if not find_program(name)]
    if missing:
        print(f"{' and '.join(missing)}: not installed.", file=sys.stderr)
        return 1
    print(json.dumps({name: check_example(name, path) for name, path in EXAMPLES.items()}, indent=2))
    return 0


def find_program(name: str) -> str | None:
    """Return the path of a program, also of one for administrators."""
    return shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")


def check_example(name: str, path: str) -> dict[str, str]:
    """Run an example with a page below `path`; returns what held."""
    with tempfile.TemporaryDirectory(prefix="check-proxy-") as folder, ExitStack() as running:
        public, inner = free_port(), running.enter_context(serve_page(Path(folder), path))
        command, version = proxy_command(name, Path(folder), example(name, Path(folder), public, inner))
        running.enter_context(process(command))
        wait_for_port(public, path)
        names = {"own name": NAME, "other name": "a.b"}
        held = {"version": version} | {what: str(check_status(public, path, host)) for what, host in names.items()}
        return held | check_in_browser(f"https://{NAME}:{public}{path}/")


def proxy_command(name: str, folder: Path, server: str) -> tuple[list[str], str]:
    """Return the command that runs a proxy with this example, and its version."""
    config = folder / name
    if name == "Caddyfile":
        config.write_text(CADDY.format(folder=folder, server=server))
        caddy = find_program("caddy") or ""
        version = subprocess.run([caddy, "version"], capture_output=True, text=True).stdout.strip()
        return [
            "env",
            f"XDG_CONFIG_HOME={folder}",
            caddy,
            "run",
            "--config",
            str(config),
            "--adapter",
            "caddyfile",
        ], version
    config.write_text(NGINX.format(folder=folder, server=server))
    nginx = find_program("nginx") or ""
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr.strip().partition("/")[2]
    return [nginx, "-c", str(config)], version


def example(name: str, folder: Path, public: int, inner: int) -> str:
    """Return the text of an example, with these ports and a new certificate."""
    paths = {"-keyout": folder / f"{NAME}.key", "-out": folder / f"{NAME}.pem"}
    files = [str(part) for pair in paths.items() for part in pair]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    alternative = ["-addext", f"subjectAltName=DNS:{NAME}"]  # Caddy finds a certificate by it
    subprocess.run([*request, *alternative, *files], check=True, capture_output=True)
    server = (DEPLOY / name).read_text(encoding="utf-8")
    server = server.replace("listen 443", f"listen {public}").replace("127.0.0.1:7860", f"127.0.0.1:{inner}")
    server = re.sub(rf"^{NAME} {{", f"https://{NAME}:{public}, https://a.b:{public} {{", server, flags=re.MULTILINE)
    return server.replace(f"{NAME}.pem", str(paths["-out"])).replace(f"{NAME}.key", str(paths["-keyout"]))


@contextmanager
def process(command: list[str], stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a program meanwhile."""
    with subprocess.Popen(command, stdout=stdout, text=True) as started:
        try:
            yield started
        finally:
            started.terminate()


@contextmanager
def serve_page(folder: Path, path: str) -> Iterator[int]:
    """Serve a page with the example's options; yields its port."""
    (folder / "password.txt").write_text(PASSWORD)
    options = ["--auth", f"anna:{folder}/password.txt", "--allowed-host", NAME, "--trusted-proxy", "127.0.0.1"]
    command = [sys.executable, "-m", "merau.stream.cli", "ui", str(CLIP), "--port", "0", "--json", *options]
    paths = ["--root-path", path, "--store", str(folder / "store.db")]
    with process([*command, *paths], stdout=subprocess.PIPE) as server:
        assert server.stdout
        address = urlsplit(json.loads(server.stdout.readline())["address"])
        assert address.port and address.path == f"{path}/"
        yield address.port


def wait_for_port(port: int, path: str) -> None:
    """Wait until the proxy answers."""
    for _ in range(100):
        try:
            check_status(port, path, NAME)
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the proxy does not answer")


def check_status(port: int, path: str, host: str) -> int:
    """Return the status of the page under a name; headers that a visitor forges change nothing."""
    trusting = ssl._create_unverified_context()  # noqa: S323  (the certificate was made here)
    asking = build_opener(ProxyHandler({}), HTTPSHandler(context=trusting))
    headers = {"Host": f"{host}:{port}", "X-Forwarded-Host": NAME, "X-Forwarded-For": "127.0.0.1"}
    try:
        with asking.open(Request(f"https://127.0.0.1:{port}{path}/", headers=headers), timeout=120) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def check_in_browser(address: str) -> dict[str, str]:
    """Log in, watch and upload in Chromium; returns what was seen."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {NAME} 127.0.0.1", "--no-proxy-server"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(ignore_https_errors=True, locale="en-US")
        page.set_default_timeout(300_000)
        expect.set_options(timeout=300_000)
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        answer = page.goto(address)
        page.get_by_label("User").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator(".tile .status")).to_contain_text("frames")
        cookie = next(cookie for cookie in page.context.cookies() if cookie["name"].startswith("__"))
        uploaded = check_upload(page)
        browser.close()
    assert answer
    return {
        "TLS only, said by": answer.headers["strict-transport-security"],
        "cookie": f"{cookie['name'][:10]}..., path {cookie['path']}, secure {cookie['secure']}, {cookie['sameSite']}",
        "sockets": ", ".join(sorted({url.partition("?")[0] for url in sockets})),
        "upload": uploaded,
    }


def check_upload(page: Page) -> str:
    """Upload a file that is no video; the page says so only when it has arrived."""
    page.get_by_role("tab", name="Review").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Analyse a recording").click()
    chooser.value.set_files({"name": "film.mp4", "mimeType": "video/mp4", "buffer": b"no film" * 300_000})
    told = page.get_by_text("film.mp4").first
    expect(told).to_be_visible()
    return told.inner_text()


if __name__ == "__main__":
    sys.exit(main())
