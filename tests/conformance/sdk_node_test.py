"""Clients of Node.js: dockerode and testcontainers, as npm has them (tests/clients/package.json pins their versions).

tests/fetch-clients installs them below CORACLE_CLIENTS; the tests themselves are tests/clients/*.test.js, run by
node's own test runner against a daemon of this process.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from harness import DOCKER, Case, busybox_rootfs, main, wait_until

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "clients"))
CLIENTS = os.environ.get("CORACLE_CLIENTS", os.path.expanduser("~/.cache/coracle/clients"))
MODULES = f"{CLIENTS}/node/node_modules"


class Node(Case):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("node"):
            raise AssertionError("there is no node in PATH; packaging/install-deps installs nodejs")
        if not os.path.isdir(f"{MODULES}/dockerode"):
            raise AssertionError(f"there is no {MODULES}/dockerode; tests/fetch-clients {CLIENTS} installs it")
        super().setUpClass()

    def node(self, script, env=None, timeout=400):
        """Runs a file of tests; its report is shown, and each failed test named."""
        with open(f"{self.daemon.scratch}/{script}.log", "w+") as log:
            p = subprocess.Popen(["node", f"{TOP}/{script}"], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={**self.daemon.docker_env(), "NODE_PATH": MODULES,
                                      "TMPDIR": self.daemon.scratch, **(env or {})})
            try:
                code = p.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                code = f"none within {timeout} s"
            log.seek(0)
            report = log.read()
        print(report, file=sys.stderr)
        self.assertEqual(code, 0, f"{script} has failures\n{self.daemon.log_tail(3000)}")
        # A stream left open has the process exit before its summary: the tests' own lines count.
        self.assertFalse(re.findall(r"^\s*(?:not ok|✖) .*", report, re.M))
        self.assertTrue(re.findall(r"^(?:ok|✔) .*", report, re.M), f"no test of {script} was run")


class Dockerode(Node):
    def test_dockerode(self):
        self.node("dockerode.test.js")


# What Ryuk does: it prints Started once it listens, reads filters from its connection, and when that ends removes what
# they mean. The fifo keeps nc's own input open.
REAPER = """#!/bin/sh
mkfifo /input
nc -l -p 8080 <>/input >/filters &
until grep -qi ':1F90 ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; do sleep 0.05; done
echo Started
wait
tr -d '\\r' </filters | while read -r filter; do
  echo "reaping $filter"
  docker ps -aq --filter "$filter" | while read -r id; do
    [ "$(hostname)" = "$id" ] || docker rm -fv "$id"
  done
  docker volume ls -q --filter "$filter" | xargs -r docker volume rm
done
"""


class Testcontainers(Node):
    """No registry of the outside is asked: the images are there, and the reaper is one of our own."""

    common = {"TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1"}

    def left(self, *filters):
        return self.ok("ps", "-a", "--format", "{{.Names}}", "--filter", "label=org.testcontainers=true",
                       *filters).split()

    def test_without_a_reaper(self):
        self.node("testcontainers.test.js", {**self.common, "TESTCONTAINERS_RYUK_DISABLED": "true"})
        # The one whose start fails is left by testcontainers itself, at Docker too: that is what its reaper is for.
        self.assertEqual(len(self.left()), 1)
        self.assertEqual(self.left("--filter", "status=created"), self.left())
        self.ok("rm", *self.left())

    def import_reaper(self):
        """busybox, this script, and a docker CLI with the libraries it needs."""
        cli = shutil.which(DOCKER)
        with tempfile.TemporaryDirectory() as folder:
            root = busybox_rootfs(f"{folder}/root")
            shutil.copy(cli, f"{root}/bin/docker")
            for library in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", cli], capture_output=True, text=True).stdout):
                os.makedirs(root + os.path.dirname(library), exist_ok=True)
                shutil.copy(library, root + library)
            with open(f"{root}/bin/reaper", "w") as f:
                f.write(REAPER)
            os.chmod(f"{root}/bin/reaper", 0o755)
            tar = subprocess.run(["tar", "-C", root, "--owner=0", "--group=0", "-cf", "-", "."], stdout=subprocess.PIPE,
                                 check=True).stdout
        self.ok("import", "-c", 'CMD ["/bin/reaper"]', "-c", "ENV PATH=/bin", "-", "reaper:1", input=tar)

    def test_with_a_reaper(self):
        self.import_reaper()
        self.node("testcontainers.test.js", {**self.common, "RYUK_CONTAINER_IMAGE": "reaper:1"})
        # tc-left was left running; the reaper removes it, ends, and is removed itself, as testcontainers asked at create.
        wait_until(lambda: not self.left(), 20, f"the reaper removes what was left: {self.left()}")
        wait_until(lambda: "destroy" in self.ok("events", "--since", "10m", "--until", "0s", "--filter",
                                                "container=tc-left", "--format", "{{.Action}}").split(), 5,
                   "tc-left is told to be destroyed")



if __name__ == "__main__":
    main()
