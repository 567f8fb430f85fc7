"""A real userland: Debian's, pulled from docker-registry on loopback."""
import os
import tempfile
import unittest

from harness import Case, main
from image_test import Registry

TAR = os.environ.get("CORACLE_USERLAND", "")


@unittest.skipUnless(os.path.exists(TAR), "no userland: tests/make-userland FILE makes it, "
                     "CORACLE_USERLAND names it")
class Userland(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with tempfile.TemporaryDirectory() as folder:
            registry = Registry(folder)
            with open(TAR, "rb") as f:
                registry.push("debian", "1", [f.read()])
            cls.image = f"{registry.address}/debian:1"
            r = cls.daemon.docker("pull", cls.image, timeout=300)
            registry.close()
            if r.code != 0:
                raise AssertionError(f"pull: {r}\n{cls.daemon.log_tail()}")

    def debian(self, *command):
        return self.ok("run", "--rm", self.image, *command)

    def test_apt(self):
        self.assertRegex(self.debian("apt", "--version"), r"^apt \d")

    def test_perl(self):
        self.assertEqual(self.debian("perl", "-e", "print 6*7"), "42")

    def test_su(self):
        self.assertEqual(self.debian("su", "-s", "/bin/sh", "www-data", "-c", "id -un"), "www-data")

    def test_ping_of_the_gateway(self):
        gateway = self.debian("sh", "-c", "perl -ne 'print join q(.), map hex, reverse $1 =~ /../g "
                              "if /^eth0\\s+00000000\\s+(\\w+)/' /proc/net/route")
        self.assertIn("1 received", self.debian("ping", "-c", "1", "-W", "60", gateway))

    def test_ping_of_an_ordinary_user(self):
        self.assertIn("1 received", self.ok("run", "--rm", "-u", "1000:1000", "--security-opt", "no-new-privileges",
                                            self.image, "ping", "-c", "1", "-W", "60", "127.0.0.1"))

    def test_owners_are_those_of_the_archive(self):
        self.assertEqual(self.debian("stat", "-c", "%U %G %a", "/etc/shadow", "/usr/bin/su"),
                         "root shadow 640\nroot root 4755")

    def test_a_file_of_another_user(self):
        self.assertEqual(self.debian("sh", "-c", "cd /tmp && touch f && chown www-data f && stat -c %U f"),
                         "www-data")


if __name__ == "__main__":
    main()
