"""A Docker engine by way of its SDK, which blocks: its failures become ours, with the mend."""

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Literal, Self

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.shortage import not_started

_TIMEOUT_S = 30.0
_IMPORT_S = 600.0
_ANY_VERSION = "1.41"  # asked without it
_ATTACH = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}

# What an engine says -> what is the matter, and what mends it.
_COMPLAINTS = (
    (
        "no space left",
        "the disk of the Docker engine is full",
        "docker system df; docker system prune",
    ),
    ("disk quota exceeded", "the disk of the Docker engine is full", "docker system prune"),
    (
        "executable file not found",
        "the image has no such Python",
        "choose an image with Python 3.9 or later, and name it by `sandbox.python`",
    ),
    (
        "no such file or directory: unknown",
        "the image has no such Python",
        "choose an image with Python 3.9 or later, and name it by `sandbox.python`",
    ),
    (
        "unknown runtime",
        "the Docker engine does not know this runtime",
        "install it, and name it in /etc/docker/daemon.json",
    ),
    ("seccomp", "the engine refuses the seccomp profile", "use Docker 20.10.10 or later"),
)


class EngineTimeout(SandboxUnavailable):
    """Raised when the engine took too long: what was asked for may yet happen."""


class NoSuchImage(SandboxUnavailable):
    """Raised when the engine has no image of a name."""


class Engine:
    """One engine; every call may take long, and can be made from several threads."""

    def __init__(self, base_url: str | None = None) -> None:
        """Connect, to the engine of `DOCKER_HOST` or of this machine where no URL is given.

        Raises:
            SandboxUnavailable: there is none, or it is not ours to use.
        """
        self.url = base_url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        docker = _sdk()
        with self._explained():
            # Closed whatever happens; the SDK's own search for the version would leave it open.
            with contextlib.closing(docker.APIClient(self.url, version=_ANY_VERSION)) as client:
                version = client.version(api_version=False)["ApiVersion"]
            self._client = docker.APIClient(self.url, version=version, timeout=_TIMEOUT_S)

    def info(self) -> dict[str, Any]:
        """Return what the engine says of itself."""
        return dict(self._call(self._client.info))

    def image(self, name: str) -> dict[str, Any]:
        """Return what it knows of an image.

        Raises:
            NoSuchImage: it has none of this name.
        """
        return dict(self._call(self._client.inspect_image, name))

    def import_image(self, archive: BinaryIO, name: str) -> str:
        """Make an image of a root file system in the place of one of this name; return its digest."""
        before = self._image_id(name)
        repository, _, tag = name.partition(":")
        version = self._client.api_version
        with (
            self._explained(),
            contextlib.closing(
                _sdk().APIClient(self.url, version=version, timeout=_IMPORT_S)
            ) as client,
        ):
            said = client.import_image(archive, repository=repository, tag=tag or "latest")
        last = json.loads(said.strip().splitlines()[-1])
        if "error" in last:
            raise self._unavailable(last["error"])
        if before and not self.image(before)["RepoTags"]:
            with contextlib.suppress(SandboxUnavailable):  # containers still use it
                self._call(self._client.remove_image, before)
        return str(last["status"])

    def _image_id(self, name: str) -> str | None:
        try:
            return str(self.image(name)["Id"])
        except NoSuchImage:
            return None

    def create(self, name: str, specification: Mapping[str, Any]) -> None:
        """Make a container, not started; its name is chosen by us, to be found whatever happens.

        Raises:
            EngineTimeout: it may come to be yet.
            SandboxUnavailable: it was refused.
        """
        self._call(self._client.create_container_from_config, dict(specification), name)

    def attach(self, name: str) -> socket.socket:
        """Return a socket to stdin and from stdout and stderr; to be called before the start."""
        with self._explained():
            stream = self._client.attach_socket(name, _ATTACH)
        theirs = getattr(stream, "_sock", None)
        try:
            ours = theirs.dup() if type(theirs) is socket.socket else None
        finally:
            with contextlib.suppress(AttributeError):
                stream._response.close()
        if ours is None:
            raise SandboxUnavailable(
                f"containers behind {self.url} cannot be attached to",
                hint="forward its socket: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST, "
                "and DOCKER_HOST=unix:///tmp/docker.sock",
            )
        return ours

    def start(self, name: str) -> None:
        """Start a container."""
        self._call(self._client.start, name)

    def inspect(self, name: str) -> dict[str, Any] | None:
        """Return what it knows of a container; None: there is none."""
        with self._explained():
            try:
                found: dict[str, Any] = self._client.inspect_container(name)
            except _sdk().errors.NotFound:
                return None
        return found

    def list(self, **labels: str | None) -> list[dict[str, Any]]:
        """Return the containers with these labels, running or not; None: whatever its value."""
        wanted = [
            f"agentgym.{key}" if value is None else f"agentgym.{key}={value}"
            for key, value in labels.items()
        ]
        found: list[dict[str, Any]] = self._call(
            self._client.containers, all=True, filters={"label": wanted}
        )
        return found

    def remove(self, name: str) -> Literal["removed", "absent", "busy"]:
        """Kill and remove a container; `busy`: the engine is removing it already."""
        errors = _sdk().errors
        with self._explained():
            try:
                self._client.remove_container(name, force=True, v=True)
            except errors.NotFound:
                return "absent"
            except errors.APIError as error:
                if error.status_code != 409:
                    raise
                return "busy"
        return "removed"

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        with self._explained():
            return function(*arguments, **named)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever the SDK raises into our error."""
        import requests

        docker = _sdk()
        try:
            _knock(self.url)
            yield
        except docker.errors.ImageNotFound as error:
            raise NoSuchImage(
                f"the Docker engine has no such image: {error.explanation}",
                hint="agentgym sandbox build --docker makes agentgym/python here; "
                "docker pull or docker import brings others",
            ) from error
        except docker.errors.APIError as error:
            raise self._unavailable(str(error.explanation or error)) from error
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            raise self._unreachable(error) from error

    def _unavailable(self, said: str) -> SandboxUnavailable:
        for phrase, reason, hint in _COMPLAINTS:
            if phrase in said.lower():
                return SandboxUnavailable(f"{reason} ({said})", hint=hint)
        return SandboxUnavailable(f"the Docker engine refused: {said}", hint="docker info")

    def _unreachable(self, error: Exception) -> SandboxUnavailable:
        import requests

        if isinstance(error, requests.Timeout):
            return EngineTimeout(
                f"the Docker engine at {self.url} did not answer within {_TIMEOUT_S:g} s",
                hint="docker info; systemctl restart docker",
            )
        if shortage := _shortage(error):
            return not_started(shortage)
        if isinstance(error, PermissionError):
            return SandboxUnavailable(
                f"the Docker engine at {self.url} is not ours to use: permission denied",
                hint="run as root, or usermod -aG docker $USER, which makes root of that user",
            )
        return SandboxUnavailable(
            f"no Docker engine answers at {self.url}: {error}",
            hint="apt-get install docker.io; systemctl start docker (or: dockerd); "
            "another engine: DOCKER_HOST",
        )


def _shortage(error: BaseException | None) -> OSError | None:
    """Return that we have no more descriptors, if that is below what the SDK raised."""
    while error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return error
        error = error.__context__
    return None


def _sdk() -> Any:
    """Return the SDK, which is an extra and takes long to import."""
    try:
        import docker
    except ImportError as error:
        raise SandboxUnavailable(
            "the docker sandbox needs the package `docker`",
            hint="pip install 'agentgym-framework[docker]'",
        ) from error
    return docker


def _knock(url: str) -> None:
    """Connect once: the SDK neither tells why it could not, nor closes what it opened."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as attempt:
            attempt.settimeout(_TIMEOUT_S)
            attempt.connect(url.removeprefix("unix://"))
