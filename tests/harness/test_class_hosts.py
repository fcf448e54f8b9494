"""A class on several hosts: what listens, what dies on the way, what the recipes name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograder.staff.classroom.records import read_class
from autograder.staff.solutions import load_solutions

from .classes import make_class
from .conftest import ROOT, wait_until

pytest.importorskip("distributed")
DASK = str(ROOT / ".venv/bin/dask")
PORT = 8786
CERTIFICATE = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=autograder",
]


class Hosts:
    """Two network namespaces with a cable between them, and what runs there."""

    def __init__(self, folder: Path) -> None:
        mark = uuid.uuid4().hex[:6]
        self.names = [f"hw5a{mark}", f"hw5b{mark}"]
        self.address = f"tls://10.83.0.1:{PORT}"
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "DASK_CONFIG": str(folder), "OMP_NUM_THREADS": "1"}

    def connect(self) -> None:
        """Raises CalledProcessError where this machine has no network namespaces for us."""
        first, second = self.names
        for name in self.names:
            _ip("netns", "add", name)
        _ip("link", "add", first, "type", "veth", "peer", "name", second)
        for number, name in enumerate(self.names, 1):
            _ip("link", "set", name, "netns", name)
            _ip("-n", name, "addr", "add", f"10.83.0.{number}/24", "dev", name)
            for device in ("lo", name):
                _ip("-n", name, "link", "set", device, "up")

    def make_keys(self) -> None:
        files = {"cert": str(self.folder / "cert.pem"), "key": str(self.folder / "key.pem")}
        command = [*CERTIFICATE, "-keyout", files["key"], "-out", files["cert"]]
        subprocess.run(command, check=True, capture_output=True)
        tls: dict[str, Any] = dict.fromkeys(("client", "scheduler", "worker"), files)
        tls["ca-file"] = files["cert"]
        told = {"distributed": {"comm": {"require-encryption": True, "tls": tls}}}
        (self.folder / "tls.yaml").write_text(yaml.safe_dump(told))

    def run(self, host: int, *command: str, said: Path | None = None) -> subprocess.Popen[bytes]:
        with (said or Path(os.devnull)).open("wb") as stream:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.names[host], *command],
                cwd=ROOT,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        place = ["--host", "10.83.0.1", "--port", str(PORT)]
        return self.run(0, DASK, "scheduler", "--protocol", "tls", *place, "--no-dashboard")

    def worker(self, host: int) -> subprocess.Popen[bytes]:
        options = ["--protocol", "tls", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        return self.run(host, DASK, "worker", self.address, *options)

    def end(self) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("openssl")):
        pytest.skip("network namespaces need root, iproute2 and openssl")
    made = Hosts(tmp_path)
    try:
        try:
            made.connect()
        except subprocess.CalledProcessError as problem:
            pytest.skip(f"no network namespaces here: {problem.stderr.decode().strip()}")
        made.make_keys()
        yield made
    finally:
        made.end()


def test_a_machine_without_a_network_grades_and_complains_of_nothing(tmp_path):
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a machine without a network is made by root's unshare")
    program = f"""
from autograder.staff.executor.task import Run
from autograder.staff.executor.this_machine import this_machine
command = ("grade", {str(ROOT / "solutions" / "reference")!r}, "--only", "1a")
with this_machine(1) as here:
    for done in here.run([Run("reference", {str(tmp_path)!r}, command, 120)]):
        print(done.graded, done.trouble)
"""
    command = ["unshare", "--net", str(ROOT / ".venv/bin/python"), "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "unshare" in ended.stderr:
        pytest.skip(f"no network namespaces here: {ended.stderr.strip()}")
    assert (ended.stdout, ended.stderr) == ("True \n", "")
    assert json.loads((tmp_path / "reference.json").read_text())["score"] > 0


def test_the_manifest_fits_together_and_the_page_that_quotes_it():
    service, *deployments = yaml.safe_load_all((ROOT / "docs/kubernetes.yaml").read_text())
    address = f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    page = (ROOT / "docs/class.md").read_text()
    assert f"--scheduler tls://{address}" in page
    assert f"deploy/{deployments[0]['metadata']['name']} " in page
    assert service["spec"]["selector"] == deployments[0]["spec"]["template"]["metadata"]["labels"]
    for one in (each["spec"] for each in deployments):
        assert one["selector"]["matchLabels"] == one["template"]["metadata"]["labels"]
        (container,) = one["template"]["spec"]["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"keys": "/keys", "class": "/class"}
        assert [volume["name"] for volume in one["template"]["spec"]["volumes"]] == [*mounted]
        assert container["env"] == [{"name": "DASK_CONFIG", "value": mounted["keys"]}]
        assert "tls" in container["command"]
    assert f"tls://{address}" in container["command"]


@pytest.mark.full
@pytest.mark.long
def test_a_class_is_finished_though_a_worker_and_the_scheduler_die(hosts, tmp_path):
    made = make_class(tmp_path, 8, hostile=1, pool=load_solutions(["no-scale", "reference"]))
    into, said = tmp_path / "class", tmp_path / "said"
    command = [str(ROOT / ".venv/bin/autograder"), "regrade", str(made.path), "--into", str(into)]
    command += ["--scheduler", hosts.address, "--only", "1a,3a"]

    def done() -> int:
        return len(list((into / "results").glob("*.json")))

    scheduler = hosts.scheduler()
    hosts.worker(0)
    lost = hosts.worker(1)
    client = hosts.run(0, *command, said=said)
    wait_until(lambda: done() >= 2 or client.poll() is not None, 240)
    lost.kill()
    hosts.worker(1)
    wait_until(lambda: done() >= 4 or client.poll() is not None, 240)
    scheduler.kill()
    scheduler.wait()
    hosts.scheduler()
    for host in (0, 1):
        hosts.worker(host)
    assert client.wait(timeout=400) == 0, said.read_text()
    entries = read_class(into)
    assert [entry.id for entry in entries] == made.ids
    assert [entry.trouble for entry in entries] == [""] * 8
    lost_lines = {
        entry.id: [test["number"] for test in entry.results["tests"] if test["score"] == 0]
        for entry in entries
    }
    for one, solution in made.solutions.items():
        expected = [n for n in solution.expected.lost if n.startswith(("1a", "3a"))]
        assert lost_lines[one] == expected, json.dumps(lost_lines)
