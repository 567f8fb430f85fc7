"""`policy` of daemon.json: which registries are spoken with, which digests and whose signatures are taken."""
import base64
import hashlib
import json
import os
import subprocess
import tempfile

from harness import busybox_tar, main
from image_test import RegistryCase, layer

STATEMENT = "application/vnd.dev.cosign.simplesigning.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
REFUSED = "is refused by the policy in daemon.json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Trust(RegistryCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, kind in (("ours", ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")), ("other", ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")),
                           ("rsa", ("RSA", "-pkeyopt", "rsa_keygen_bits:2048")), ("ed", ("ED25519",))):
            cls.openssl("genpkey", "-algorithm", *kind, "-out", cls.file(f"{name}.key"))
            cls.openssl("pkey", "-in", cls.file(f"{name}.key"), "-pubout", "-out", cls.file(f"{name}.pub"))

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    @classmethod
    def file(cls, name):
        return f"{cls.folder.name}/{name}"

    def tearDown(self):
        self.ok("image", "prune", "-af")
        super().tearDown()

    def policy(self, policy):
        """The daemon starts again with it."""
        self.daemon.stop()
        with open(f"{self.daemon.scratch}/daemon.json", "w") as f:
            json.dump({"policy": policy}, f)
        self.daemon.start()

    def push(self, name, tag, text):
        """An image whose one file says this: its digest."""
        return self.registry.push(name, tag, [layer({"f": text})])

    def sign(self, name, digest, keys=("ours",), says=None, kind="cosign container image signature", statement=None):
        """As cosign puts it there; `says`: the name and digest that are signed instead."""
        meant, meant_digest = says or (f"{self.registry.address}/{name}", digest)
        statement = statement or json.dumps({"critical": {
            "identity": {"docker-reference": meant}, "image": {"docker-manifest-digest": meant_digest}, "type": kind},
            "optional": None}).encode()
        layers = []
        for key in keys:
            with tempfile.NamedTemporaryFile() as data:
                data.write(statement)
                data.flush()
                how = (("pkeyutl", "-sign", "-rawin", "-inkey", self.file(f"{key}.key"), "-in", data.name) if key == "ed"
                       else ("dgst", "-sha256", "-sign", self.file(f"{key}.key"), data.name))
                signature = subprocess.run(["openssl", *how], check=True, capture_output=True).stdout
            layers.append({"mediaType": STATEMENT, "size": len(statement),
                           "digest": self.registry.push_blob(name, statement),
                           "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(signature).decode()}})
        config = b"{}"
        self.put(name, digest.replace(":", "-") + ".sig", {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config),
                       "digest": self.registry.push_blob(name, config)}})

    def put(self, name, tag, manifest):
        body = json.dumps(manifest).encode()
        status, _, text = self.registry.call("PUT", f"/v2/{name}/manifests/{tag}", body,
                                             {"Content-Type": manifest["mediaType"]})
        self.assertEqual(status, 201, text)
        return digest_of(body)

    def test_registries(self):
        address = self.registry.address
        self.push("team/app", "1", "app")
        self.push("else", "1", "else")
        self.policy({"registries": ["*.example.com", f"{address}/team"]})
        self.ok("pull", f"{address}/team/app:1")
        for command in (("pull", f"{address}/else:1"), ("pull", "-a", f"{address}/else"), ("pull", "alpine"),
                        ("run", "--rm", f"{address}/else:1"), ("search", "alpine"), ("push", f"{address}/else:2"),
                        ("login", "-u", "a", "-p", "b", "registry.example.org")):
            self.docker("tag", f"{address}/team/app:1", f"{address}/else:2")
            with self.subTest(command):
                done = self.docker(*command)
                self.assertIn(done.code, (1, 125), done)
                self.assertIn(f"{REFUSED}: policy.registries are *.example.com, {address}/team", done.err)
        self.ok("rmi", f"{address}/else:2")
        # What it is not asked for goes on.
        self.ok("import", busybox_tar(), "anything")
        self.assertEqual(self.daemon.request("GET", f"/distribution/{address}/else:1/json")[0], 403)
        self.assertEqual(self.daemon.request("GET", f"/distribution/{address}/team/app:1/json")[0], 200)

    def test_digests(self):
        address = self.registry.address
        first = self.push("pinned", "1", "first")
        self.policy({"digests": {f"{address}/pinned:1": first}, "require-digest": [f"{address}/exact"]})
        self.ok("pull", f"{address}/pinned:1")
        second = self.push("pinned", "1", "second")
        err = self.fails(1, "pull", f"{address}/pinned:1")
        self.assertIn(f"{REFUSED}: policy.digests pins it to {first}, and the registry has {second}", err)
        self.assertEqual(self.ok("images", "-q", "--no-trunc", f"{address}/pinned"),
                         self.inspect(f"{address}/pinned@{first}", "Id"))
        exact = self.push("exact/one", "1", "exact")
        self.assertIn(f"pull it as {address}/exact/one@sha256:…", self.fails(1, "pull", f"{address}/exact/one:1"))
        self.ok("pull", f"{address}/exact/one@{exact}")

    def test_signatures(self):
        address = self.registry.address
        self.policy({"signatures": {address: [self.file("ours.pub"), self.file("rsa.pub"), self.file("ed.pub")],
                                    f"{address}/free": []}})
        table = (
            # name, how it is signed, what is said of it
            ("none", None, "is not signed"),
            ("other", {"keys": ("other",)}, "is signed by another key"),
            ("name", {"says": (f"{address}/good", None)}, f"it was signed as {address}/good"),
            ("digest", {"says": (None, digest_of(b"x"))}, f"its signature is that of {digest_of(b'x')}"),
            ("kind", {"kind": "an attestation"}, 'its signature is of the type "an attestation"'),
            ("nonsense", {"statement": b"[1]"}, "statement"),
            ("ours", {}, None),
            ("tagged", {"says": (f"{address}/tagged:7", None)}, None),
            ("rsa", {"keys": ("rsa",)}, None),
            ("ed", {"keys": ("ed",)}, None),
            ("both", {"keys": ("other", "ours")}, None),
            ("free/one", None, None),
        )
        for name, how, error in table:
            with self.subTest(name):
                digest = self.push(name, "1", name)
                if how is not None:
                    meant = how.pop("says", None)
                    if meant:
                        how["says"] = (meant[0] or f"{address}/{name}", meant[1] or digest)
                    self.sign(name, digest, **how)
                if error is None:
                    self.ok("pull", f"{address}/{name}:1")
                    continue
                err = self.fails(1, "pull", f"{address}/{name}:1")
                self.assertIn(error, err)
                self.assertEqual(self.ok("images", "-q", f"{address}/{name}"), "")

    def test_a_signed_index_vouches_for_its_images_and_a_signed_image_for_itself(self):
        address = self.registry.address
        self.policy({"signatures": {address: [self.file("ours.pub")]}})
        for name, signs_index in (("whole", True), ("part", False)):
            image = self.push(name, "part", name)
            body = self.registry.call("GET", f"/v2/{name}/manifests/{image}", None, {
                "Accept": "application/vnd.docker.distribution.manifest.v2+json"})[2]
            index = self.put(name, "1", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
                {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": image,
                 "size": len(body), "platform": {"os": "linux", "architecture": "amd64"}}]})
            self.assertIn("is not signed", self.fails(1, "pull", f"{address}/{name}:1"))
            self.sign(name, index if signs_index else image)
            self.ok("pull", f"{address}/{name}:1")

    def test_a_mistake_is_told_before_the_start(self):
        key = self.file("ours.pub")
        for policy, error in (({"registry": []}, "policy.registry: no such rule"),
                              ({"registries": []}, "policy.registries: it is empty"),
                              ({"registries": ["alpine"]}, "it must begin with a registry's name"),
                              ({"registries": "docker.io"}, "policy.registries"),
                              ({"require-digest": ["docker.io/*"]}, "* stands alone"),
                              ({"digests": {"docker.io/library/alpine": "x"}}, "it has no tag"),
                              ({"digests": {"docker.io/library/alpine:3": "x"}}, '"x" is no digest'),
                              ({"signatures": {"*": ["cosign.pub"]}}, "not an absolute path"),
                              ({"signatures": {"*": [self.file("ours.key")]}}, "holds no public key in PEM"),
                              ({"signatures": {"*": [self.file("none.pub")]}}, "no such file"),
                              ({"signatures": {"docker.io/x:1": [key]}}, "without tags and digests")):
            with self.subTest(policy):
                path = self.file("daemon.json")
                with open(path, "w") as f:
                    json.dump({"policy": policy}, f)
                p = subprocess.run([os.path.join(os.environ["CORACLE_BIN"], "coracled"), "--validate", "--config-file", path],
                                   capture_output=True, text=True)
                self.assertEqual(p.returncode, 1)
                self.assertIn(error, p.stderr)


if __name__ == "__main__":
    main()
