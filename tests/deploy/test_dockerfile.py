from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.deploy.dockerfile import Build, Image, steps_of

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = PROJECT / "deploy" / "Dockerfile"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dockerfile")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith("#")]
    build = Build(PROJECT, tmp_path_factory.mktemp("docker"), patterns)
    return build.carry_out(steps_of(DOCKERFILE.read_text()))


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server on loopback that answers every GET with one status; gives its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_image_starts_croft_with_no_checkout_beside_it(image: Image) -> None:
    assert image.entrypoint + image.command == ["croft", "serve"]
    done = image.run([*image.entrypoint, "--version"])
    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout


def test_image_holds_the_migrations(image: Image) -> None:
    listing = (
        "import server, pathlib;"
        "place = pathlib.Path(server.__file__).parents[1];"
        "print(*(path.parent.name + '/' + path.name for path in place.glob('*_migrations/*.sql')))"
    )
    shipped = set(image.run(["python", "-c", listing]).stdout.split())
    written = {f"{path.parent.name}/{path.name}" for path in PROJECT.glob("*_migrations/*.sql")}
    assert shipped == written


def test_image_holds_no_tools_of_the_build(image: Image) -> None:
    assert image.run(["python", "-c", "import hatchling"]).returncode != 0
    assert sorted(path.name for path in image.root.iterdir()) == ["opt", "var"]


def test_image_does_not_run_as_root(image: Image) -> None:
    assert image.user not in ("root", "0")


def test_health_of_the_container_is_what_the_server_answers(image: Image) -> None:
    with answering(200) as port:
        assert image.run(image.healthcheck, PORT=str(port)).returncode == 0
    with answering(503) as port:
        assert image.run(image.healthcheck, PORT=str(port)).returncode != 0
    assert image.run(image.healthcheck, PORT=str(port)).returncode != 0
