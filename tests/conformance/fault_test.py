"""Fail points: the daemon ends, or meets an error, at a named step; nothing is lost or left behind.

The names stand in the sources: fail_point("container.create.written"). This test finds them there,
so that none is forgotten.
"""
import os
import re
import signal
import subprocess
import time

from harness import BIN, Case, Daemon, busybox_tar, main, wait_until

TOP = os.path.join(os.path.dirname(__file__), "..", "..")


def points():
    """{area: [name…]} of every fail point in the daemon's sources."""
    out = set()
    for folder in ("engine", "storage"):
        for where, _, names in os.walk(os.path.join(TOP, folder)):
            for name in names:
                if name.endswith(".cpp"):
                    with open(os.path.join(where, name)) as f:
                        out.update(re.findall(r'fail_point\("([a-z_.]+)"\)', f.read()))
    return sorted(out)


class Faults(Case):
    def scenario(self):
        """Everything that passes fail points. Failures are what is asked for here."""
        d = self.daemon
        d.docker("import", busybox_tar(), "second:1")
        d.docker("run", "-d", "--name", "f1", "-v", "fv:/data", "busybox", "sleep", "1000")
        d.docker("run", "--rm", "--name", "f2", "busybox", "true")
        d.docker("exec", "f1", "touch", "/root/committed")
        d.docker("commit", "f1", "committed:1")
        d.docker("run", "--rm", "committed:1", "test", "-e", "/root/committed")
        d.docker("rm", "-f", "f1")
        d.docker("rmi", "committed:1")
        d.docker("volume", "rm", "fv")
        d.docker("rmi", "second:1")

    def clean(self):
        """No container, volume or second image is left; and all of it works again."""
        for name in self.ok("ps", "-aq").split():
            self.ok("rm", "-f", name)
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)
        for name in ("second:1", "committed:1"):
            if name in self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split():
                self.ok("rmi", name)
        self.assertEqual(self.run_box("-v", "fv:/data", "--", "echo", "works"), "works")
        self.ok("volume", "rm", "fv")
        self.assertEqual(self.ok("ps", "-aq"), "")

    def left(self):
        found = []
        for folder in ("tmp", "trash", "containers"):
            for base in (self.daemon.data, f"{self.daemon.data}/storage"):
                path = f"{base}/{folder}"
                if os.path.isdir(path):
                    found += [f"{path}/{name}" for name in os.listdir(path)]
        return found

    def assert_whole(self):
        """What coracle check says of the stopped daemon's files: left-overs, no damage."""
        p = subprocess.run(
            [os.path.join(BIN, "coracle"), "check", "--deep", "--data-root", self.daemon.data,
             "--exec-root", self.daemon.exec], capture_output=True, text=True, timeout=60)
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)

    def test_kill_at_every_step(self):
        names = points()
        self.assertGreater(len(names), 8, names)
        for name in names:
            with self.subTest(point=name):
                self.daemon.stop()
                self.daemon.start(env={"CORACLE_FAIL": f"{name}:kill"}, wait=False)
                try:
                    self.daemon.wait_ready()
                    self.scenario()
                except (AssertionError, subprocess.TimeoutExpired):
                    pass  # killed while it started
                if self.daemon.process.poll() is None:
                    self.daemon.stop()
                self.daemon.process = None
                self.assert_whole()
                self.daemon.start()
                self.ok("ps", "-a")
                self.ok("images", "-a")
                self.clean()
                wait_until(lambda: not self.left(), 5, f"nothing left: {self.left()}")

    def test_error_at_every_step(self):
        for name in points():
            with self.subTest(point=name):
                self.daemon.stop()
                self.daemon.start(env={"CORACLE_FAIL": f"{name}:error"}, wait=False)
                try:
                    self.daemon.wait_ready()
                    self.scenario()
                except AssertionError:
                    pass  # an error while it started
                if self.daemon.process.poll() is None:
                    self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)
                    self.daemon.stop()
                self.daemon.process = None
                self.assert_whole()
                self.daemon.start()
                self.clean()


if __name__ == "__main__":
    main()
