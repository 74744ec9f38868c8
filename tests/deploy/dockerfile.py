"""Carries out a Dockerfile in a directory, without a container engine.

The directory stands for the root of the image: absolute paths of the image are put below it. Each stage is built at the
same place and then set aside, so that paths written into files during one stage hold in the next, as they do in an
image. Accounts are not made: the directory is not a machine.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

IMAGE_PATH = re.compile(r"(?<![\w./:$}-])/(?=(?:opt|build|var)\b)")


@dataclass(frozen=True, slots=True)
class Step:
    instruction: str
    argument: str


@dataclass(slots=True)
class Image:
    """The last stage, as far as it was built. `root` is the directory that stands for `/`."""

    root: Path
    workdir: Path
    environment: dict[str, str]
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def run(self, command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command of the image in its working directory, with its environment alone."""
        every = self.environment | environment
        program = shutil.which(command[0], path=every["PATH"])
        assert program, f"{command[0]} is not in the image"
        return subprocess.run(
            [program, *command[1:]], cwd=self.workdir, env=every, capture_output=True, text=True, timeout=60
        )


def steps_of(dockerfile: str) -> list[Step]:
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    steps = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return [Step(instruction.upper(), argument.strip()) for instruction, argument in steps]


class Build:
    """Builds the stages of a Dockerfile below `directory`, copying from `context` what `ignore` does not keep out."""

    def __init__(self, context: Path, directory: Path, ignore: list[str]) -> None:
        self.context = context
        self.ignore = ignore
        self.root = directory / "image"
        self.aside = directory / "stages"
        self.programs = directory / "programs"
        self.stage = ""
        self.aside.mkdir()
        self.programs.mkdir()
        self._provide_programs()
        self.image = self._fresh()

    def _provide_programs(self) -> None:
        """What the base image brings: Python under its name there. And a useradd that touches no machine."""
        for name in ("python", "python3"):
            (self.programs / name).symlink_to(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
        useradd = self.programs / "useradd"
        useradd.write_text(f"#!/bin/sh\nmkdir -p {shlex.quote(str(self.root))}/var/lib/croft\n")
        useradd.chmod(0o755)

    def _fresh(self) -> Image:
        self.root.mkdir()
        kept = ("PIP_", "SSL_CERT", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
        environment = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        environment |= {"PATH": f"{self.programs}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
        return Image(self.root, self.root, environment)

    def carry_out(self, steps: list[Step]) -> Image:
        for step in steps:
            getattr(self, f"_{step.instruction.lower()}")(step.argument)
        return self.image

    def _placed(self, text: str) -> str:
        return IMAGE_PATH.sub(f"{self.root}/", text)

    def _from(self, argument: str) -> None:
        if any(self.root.iterdir()):
            self.root.rename(self.aside / self.stage)
            self.image = self._fresh()
        self.stage = argument.split()[-1]

    def _workdir(self, argument: str) -> None:
        self.image.workdir = Path(self._placed(argument))
        self.image.workdir.mkdir(parents=True, exist_ok=True)

    def _env(self, argument: str) -> None:
        for assignment in shlex.split(argument):
            name, _, value = assignment.partition("=")
            value = re.sub(r"\$(\w+)", lambda match: self.image.environment.get(match.group(1), ""), value)
            self.image.environment[name] = self._placed(value)

    def _run(self, argument: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-ec", self._placed(argument)],
            cwd=self.image.workdir,
            env=self.image.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"RUN {argument}\n{done.stdout}\n{done.stderr}"

    def _copy(self, argument: str) -> None:
        words = shlex.split(argument)
        options = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")]
        destination = Path(self._placed(target)) if target.startswith("/") else self.image.workdir / target
        stage = next((option.removeprefix("--from=") for option in options if option.startswith("--from=")), None)
        for source in sources:
            found = self.aside / stage / source.lstrip("/") if stage else self._sent(source)
            if found.is_dir():
                shutil.copytree(found, destination, symlinks=True, ignore=self._left_out, dirs_exist_ok=True)
            else:
                into = destination / found.name if target.endswith("/") else destination
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _sent(self, source: str) -> Path:
        """A file of the context, which the ignore file must let through."""
        top = source.removeprefix("./").split("/")[0]
        sent = False
        for pattern in self.ignore:
            if fnmatch(top, pattern.removeprefix("!")):
                sent = pattern.startswith("!")
        assert sent, f"{source} is kept out of the build by the ignore file"
        return self.context / source

    @staticmethod
    def _left_out(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name == "__pycache__" and "site-packages" not in _]

    def _user(self, argument: str) -> None:
        self.image.user = argument

    def _entrypoint(self, argument: str) -> None:
        self.image.entrypoint = json.loads(argument)

    def _cmd(self, argument: str) -> None:
        self.image.command = json.loads(argument)

    def _healthcheck(self, argument: str) -> None:
        self.image.healthcheck = json.loads(argument[argument.index("CMD") + 3 :])

    def _expose(self, argument: str) -> None:
        assert argument == self.image.environment["PORT"]
