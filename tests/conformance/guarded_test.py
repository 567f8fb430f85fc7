"""A registry with TLS and passwords, as companies have it: login, push, pull, search, logout; by each docker CLI."""
import crypt
import os
import socket
import subprocess
import tempfile

from harness import Case, busybox_tar, free_port, main, wait_until


class Guarded(Case):
    """A registry with TLS and passwords. Loopback is trusted without a certificate, so its name is the host's."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.config_home = f"{cls.folder.name}/config"
        cls.env = {"XDG_CONFIG_HOME": cls.config_home}
        super().setUpClass()
        cls.port = free_port()
        cls.host = socket.gethostname()
        f = cls.folder.name
        for args in (("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=an authority",
                      "-keyout", f"{f}/ca.key", "-out", f"{f}/ca.crt"),
                     ("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={cls.host}",
                      "-keyout", f"{f}/server.key", "-out", f"{f}/server.csr"),
                     ("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a client",
                      "-keyout", f"{f}/client.key", "-out", f"{f}/client.csr")):
            subprocess.run(["openssl", *args], check=True, capture_output=True)
        with open(f"{f}/names", "w") as names:
            names.write(f"subjectAltName=DNS:{cls.host},DNS:localhost")
        for who, more in (("server", ("-extfile", f"{f}/names")), ("client", ())):
            subprocess.run(["openssl", "x509", "-req", "-in", f"{f}/{who}.csr", "-CA", f"{f}/ca.crt", "-CAkey",
                            f"{f}/ca.key", "-CAcreateserial", "-days", "2", "-out", f"{f}/{who}.crt", *more],
                           check=True, capture_output=True)
        with open(f"{f}/htpasswd", "w") as passwords:
            passwords.write("ann:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)) + "\n")
        cls.serve()

    @classmethod
    def serve(cls, client_certificates=False):
        f = cls.folder.name
        with open(f"{f}/registry.yml", "w") as config:
            config.write(f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: "
                         f"{{rootdirectory: {f}/registry}}\nauth: {{htpasswd: {{realm: here, path: {f}/htpasswd}}}}\n"
                         f"http:\n  addr: ':{cls.port}'\n  tls:\n    certificate: {f}/server.crt\n"
                         f"    key: {f}/server.key\n"
                         + (f"    clientcas: [{f}/ca.crt]\n" if client_certificates else ""))
        cls.process = subprocess.Popen(["docker-registry", "serve", f"{f}/registry.yml"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            try:
                with socket.create_connection((cls.host, cls.port), 1):
                    return True
            except OSError:
                return False
        wait_until(answers, what="docker-registry listens")

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait()
        cls.folder.cleanup()
        super().tearDownClass()

    def trust(self, *files):
        folder = f"{self.config_home}/docker/certs.d/{self.host}:{self.port}"
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        for source, name in files:
            os.symlink(f"{self.folder.name}/{source}", f"{folder}/{name}")

    def test_login_push_pull_and_search(self):
        address = f"{self.host}:{self.port}"
        self.ok("import", "-c", "CMD sh", busybox_tar(), f"{address}/box/one:1")
        login = ("login", "-u", "ann", "-p", "secret", address)
        self.trust()
        self.assertIn("x509", self.fails(1, *login))
        self.trust(("ca.crt", "ca.crt"))
        self.assertIn("401 Unauthorized", self.fails(1, "login", "-u", "ann", "-p", "wrong", address))
        err = self.fails(1, "push", f"{address}/box/one:1")
        self.assertRegex(err, "no basic auth credentials|unauthorized: authentication required")
        self.assertIn("Login Succeeded", self.ok(*login))
        self.assertIn("Pushed", self.ok("push", f"{address}/box/one:1"))
        image = self.inspect(f"{address}/box/one:1", "Id")
        self.ok("rmi", f"{address}/box/one:1")
        self.assertIn("Downloaded newer image", self.ok("pull", f"{address}/box/one:1"))
        self.assertEqual(self.inspect(f"{address}/box/one:1", "Id"), image)
        self.assertEqual(self.ok("search", "--format", "{{.Name}}", f"{address}/one"), f"{address}/box/one")
        # Who has no certificate is not served; with ours it goes on.
        type(self).process.terminate()
        type(self).process.wait()
        self.serve(client_certificates=True)
        # The server's alert, or the end of the connection when that came first.
        self.assertRegex(self.fails(1, "pull", f"{address}/box/one:1"), "certificate|reset by peer|roken pipe|EOF")
        self.trust(("ca.crt", "ca.crt"), ("client.crt", "client.cert"))
        self.assertIn("missing key client.key for client certificate client.cert",
                      self.fails(1, "pull", f"{address}/box/one:1"))
        self.trust(("ca.crt", "ca.crt"), ("client.crt", "client.cert"), ("client.key", "client.key"))
        self.assertIn("Image is up to date", self.ok("pull", f"{address}/box/one:1"))
        self.ok("logout", address)
        status, _, body = self.daemon.request("POST", f"/images/create?fromImage={address}/box/one&tag=1")
        self.assertRegex(f"{status} {body}", "401|no basic auth credentials|unauthorized")
        self.ok("rmi", f"{address}/box/one:1")


if __name__ == "__main__":
    main()
