"""The daemon's own socket inside containers: /var/run/docker.sock and its other names as bind sources."""
import glob
import json
import os
import subprocess
import unittest

import harness

CLI = "/usr/local/bin/docker"


def needs_loader(program):
    with open(program, "rb") as f:
        return b"ld-linux" in f.read(4096)


class Socket(harness.Case):
    def setUp(self):
        super().setUp()
        if not os.path.exists(CLI) or needs_loader(CLI):
            self.skipTest(f"{CLI} is no static docker CLI that a container could run")

    def inside(self, source, *flags):
        return ("run", "--rm", *flags, "-v", f"{source}:/var/run/docker.sock", "-v",
                f"{CLI}:/usr/bin/docker:ro", "-e", "PATH=/bin:/usr/bin", "-e", "HOME=/tmp", "busybox")

    def test_usable_by_root_and_by_others(self):
        name = self.ok("create", "--name", "seen", "busybox")
        self.assertEqual(len(name), 64)
        for user in ("root", "1000", "web"):
            self.assertIn("seen", self.ok(*self.inside("/var/run/docker.sock", "-u", user), "docker", "ps",
                                          "-a", "--format", "{{.Names}}"), user)

    def test_every_name_of_it(self):
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        sources = ["/var/run/docker.sock", "/run/docker.sock", self.daemon.socket]
        if runtime:
            sources.append(f"{runtime}/docker.sock")
        for source in sources:
            self.assertEqual(self.ok(*self.inside(source, "-u", "1000"), "docker", "version", "-f",
                                     "{{.Server.Version}}"),
                             self.ok("version", "-f", "{{.Server.Version}}"), source)
        # --mount takes it for existing, and inspect shows what was asked for.
        c = self.ok("create", "--mount", "type=bind,src=/var/run/docker.sock,dst=/s", "busybox")
        self.assertEqual(self.inspect(c, "Mounts")[0]["Source"], "/var/run/docker.sock")

    def test_a_container_starts_another(self):
        out = self.ok(*self.inside("/var/run/docker.sock", "-u", "1000"), "docker", "run", "--rm", "busybox",
                      "echo", "from within")
        self.assertEqual(out, "from within")

    def test_a_bind_outlives_the_daemon(self):
        box = self.inside("/var/run/docker.sock", "-d", "-u", "1000", "--name", "guest")
        self.ok(*box, "sleep", "1000")
        for how in ("stop", "kill"):
            getattr(self.daemon, how)()
            self.daemon.start()
            self.assertEqual(self.ok("exec", "guest", "docker", "ps", "--format", "{{.Names}}"), "guest")
        # One that asks while no daemon runs gets its answer from the next.
        self.ok("exec", "-d", "guest", "sh", "-c",
                "while [ ! -e /tmp/go ]; do sleep 0.1; done; docker ps --format '{{.Names}}' > /tmp/out")
        self.daemon.stop()
        pid = self.guest_pid()
        with open(f"/proc/{pid}/root/tmp/go", "w"):
            pass
        self.daemon.start()
        harness.wait_until(lambda: self.docker("exec", "guest", "cat", "/tmp/out").out == "guest\n", 10)

    def guest_pid(self):
        path = glob.glob(f"{self.daemon.exec}/containers/*/monitor.json")[0]
        with open(path) as f:
            return json.load(f)["init"]["pid"]

    def test_others_on_the_host_do_not_reach_it(self):
        path = f"{self.daemon.exec}/guest/guest.sock"
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        for folder in (os.path.dirname(path), self.daemon.exec, self.daemon.data):
            self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(self.daemon.socket).st_mode & 0o777, 0o600)


# Run by another user: who gets a connection, or a folder's names.
ATTACK = """
import os, socket, sys
for path in sys.argv[1:]:
    try:
        if os.path.basename(path).endswith("sock"):
            socket.socket(socket.AF_UNIX).connect(path)
        else:
            os.listdir(path)
        print("REACHED", path)
    except PermissionError:
        print("refused", path)
"""


class OpenFolders(unittest.TestCase):
    """Folders that were made with the usual umask before, and those that others have made."""

    def setUp(self):
        if os.getuid() == 0:
            raise AssertionError("these tests run as an unprivileged user")
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.close)
        os.chmod(self.daemon.scratch, 0o755)

    def as_another(self, *command):
        """By an id of the user's subordinate range: another user, as far as the kernel knows."""
        r = subprocess.run(["unshare", "--map-auto", "--map-root-user", "setpriv", "--reuid", "7", "--regid", "7",
                            "--clear-groups", *command], capture_output=True, text=True)
        if "no line matching" in r.stderr or "newuidmap" in r.stderr:
            self.skipTest(f"no range of subordinate ids for this user: {r.stderr}")
        return r

    def sockets(self):
        return [f"{folder}/{name}" for folder, _, names in os.walk(self.daemon.exec) for name in names
                if name.endswith("sock")]

    def test_are_closed(self):
        for folder in (self.daemon.exec, self.daemon.data):
            os.mkdir(folder)
            os.chmod(folder, 0o755)
        self.daemon.start()
        harness.wait_until(lambda: len(self.sockets()) >= 3, what="sockets of the keeper, guests and netstack")
        sockets = self.sockets()
        paths = [*sockets, self.daemon.socket, self.daemon.exec, self.daemon.data]
        r = self.as_another("python3", "-c", ATTACK, *paths)
        self.assertEqual(r.stdout.splitlines(), [f"refused {path}" for path in paths], r.stderr)

    def test_of_others_are_refused(self):
        os.chmod(self.daemon.scratch, 0o1777)
        r = self.as_another("sh", "-c", 'cd "$1" && mkdir -m 777 theirs theirs/run && ln -s mine link', "-",
                            self.daemon.scratch)
        self.assertEqual(r.returncode, 0, r.stderr)
        os.mkdir(f"{self.daemon.scratch}/mine")
        for name in ("theirs", "theirs/run", "theirs/made", "link", "link/run"):
            for attribute in ("exec", "data"):
                with self.subTest(name=name, attribute=attribute):
                    own = getattr(self.daemon, attribute)
                    setattr(self.daemon, attribute, f"{self.daemon.scratch}/{name}")
                    self.daemon.start(wait=False)
                    self.assertEqual(self.daemon.process.wait(timeout=20), 1)
                    self.assertRegex(self.daemon.log_tail().splitlines()[-1], "belongs to uid [0-9]+")
                    setattr(self.daemon, attribute, own)
        self.assertEqual(os.listdir(f"{self.daemon.scratch}/mine"), [])

    def test_in_which_others_may_write_are_refused(self):
        os.mkdir(f"{self.daemon.scratch}/open")
        os.chmod(f"{self.daemon.scratch}/open", 0o777)
        self.daemon.exec = f"{self.daemon.scratch}/open/run"
        self.daemon.start(wait=False)
        self.assertEqual(self.daemon.process.wait(timeout=20), 1)
        self.assertIn("others may write in", self.daemon.log_tail())


if __name__ == "__main__":
    harness.main()
