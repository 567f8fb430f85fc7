"""The daemon's own socket inside containers: /var/run/docker.sock and its other names as bind sources."""
import glob
import json
import os

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
        path = f"{self.daemon.exec}/guest.sock"
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        self.assertEqual(os.stat(self.daemon.exec).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(self.daemon.socket).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    harness.main()
