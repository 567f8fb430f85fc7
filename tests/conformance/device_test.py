"""Devices: nodes of the host, folders of them, and CDI devices."""
import json
import os

from harness import Case, main


def usable(path):
    return os.access(path, os.R_OK | os.W_OK)


class Devices(Case):
    def test_a_device_can_be_opened(self):
        if not usable("/dev/fuse"):
            self.skipTest("this user may not open /dev/fuse")
        out = self.run_box("--device", "/dev/fuse", "--", "sh", "-c", "exec 3<>/dev/fuse && echo open; stat -c %F /dev/fuse")
        self.assertEqual(out, "open\ncharacter special file")
        self.assertEqual(self.run_box("--device", "/dev/fuse:/dev/other:rw", "--", "stat", "-c", "%F", "/dev/other"),
                         "character special file")
        self.assertIn("No such file", self.docker("run", "--rm", "busybox", "stat", "/dev/fuse").err)

    def test_a_folder_gives_all_its_nodes(self):
        folder = next((d for d in ("/dev/net", "/dev/snd", "/dev/dri", "/dev/mapper") if os.path.isdir(d)
                       and any(not os.path.islink(f"{d}/{n}") for n in os.listdir(d))), None)
        if folder is None:
            self.skipTest("there is no folder of nodes in /dev")
        self.assertTrue(self.run_box("--device", f"{folder}:/dev/all", "--", "ls", "/dev/all"))

    def test_errors(self):
        text = 'error gathering device information while adding custom device "%s": '
        # The CLI reads "no such file" as 127, at Docker too.
        err = self.fails(127, "run", "--rm", "--device", "/dev/nosuch", "busybox", "true")
        self.assertIn(text % "/dev/nosuch" + "no such file or directory", err)
        err = self.fails(125, "run", "--rm", "--device", "/etc/passwd:/dev/x", "busybox", "true")
        self.assertIn(text % "/etc/passwd" + "not a device node", err)
        r = self.docker("create", "--device", "/dev/null:/dev/x:r", "busybox")
        self.assertIn("cannot be limited without root", r.err)


class Cdi(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.specs = f"{cls.daemon.scratch}/cdi"
        os.makedirs(cls.specs)
        with open(f"{cls.daemon.scratch}/daemon.json", "w") as f:
            json.dump({"cdi-spec-dirs": [cls.specs]}, f)
        os.makedirs(f"{cls.daemon.scratch}/lib")
        with open(f"{cls.daemon.scratch}/lib/vendor.so", "w") as f:
            f.write("library\n")
        cls.daemon.stop()
        cls.daemon.start()

    def write(self, name, text):
        with open(f"{self.specs}/{name}", "w") as f:
            f.write(text)
        self.addCleanup(os.unlink, f"{self.specs}/{name}")

    def test_yaml(self):
        self.write("vendor.yaml", f"""\
# Made by a vendor's tool.
cdiVersion: "0.6.0"
kind: vendor.com/gpu
devices:
- name: "0"
  containerEdits:
    env: [GPU_0=yes]
    deviceNodes:
    - path: /dev/gpu0
      hostPath: /dev/null
      permissions: rw
      fileMode: 0666
- name: all
  containerEdits:
    env:
    - GPU_ALL=yes
containerEdits:
  env:
  - VENDOR=yes
  mounts:
  - hostPath: {self.daemon.scratch}/lib
    containerPath: /usr/lib/vendor
    options: [ro, nosuid, nodev, bind]
""")
        out = self.run_box("--device", "vendor.com/gpu=0", "--", "sh", "-c",
                           "env; stat -c %F /dev/gpu0; cat /usr/lib/vendor/vendor.so; "
                           "touch /usr/lib/vendor/x 2>&1 || true")
        for wanted in ("GPU_0=yes", "VENDOR=yes", "character special file", "library", "Read-only file system"):
            self.assertIn(wanted, out)
        self.assertNotIn("GPU_ALL", out)
        out = self.run_box("--device", "vendor.com/gpu=0", "--device", "vendor.com/gpu=all", "--", "env")
        self.assertIn("GPU_0=yes", out)
        self.assertIn("GPU_ALL=yes", out)
        self.ok("create", "--name", "c1", "--device", "vendor.com/gpu=all", "busybox")
        self.assertEqual(self.inspect("c1", "HostConfig.DeviceRequests")[0]["DeviceIDs"], ["vendor.com/gpu=all"])
        self.assertEqual(self.daemon.request("GET", "/v1.50/info")[2]["DiscoveredDevices"],
                         [{"Source": "cdi", "ID": f"vendor.com/gpu={name}"} for name in ("0", "all")])

    def test_json(self):
        self.write("other.json", json.dumps({
            "cdiVersion": "0.5.0", "kind": "example.org/net",
            "devices": [{"name": "tun", "containerEdits": {"env": ["TUN=1"]}}]}))
        self.assertIn("TUN=1", self.run_box("--device", "example.org/net=tun", "--", "env"))

    def test_unresolvable(self):
        self.write("broken.yaml", "kind: [\n")
        err = self.fails(125, "run", "--rm", "--device", "vendor.com/gpu=9", "--device", "example.org/net=eth", "busybox", "true")
        self.assertIn("CDI device injection failed: unresolvable CDI devices vendor.com/gpu=9, example.org/net=eth", err)

    def test_hooks_are_refused(self):
        self.write("hooks.json", json.dumps({
            "cdiVersion": "0.5.0", "kind": "example.org/hook", "devices": [{"name": "x", "containerEdits": {
                "hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}}]}))
        err = self.fails(125, "run", "--rm", "--device", "example.org/hook=x", "busybox", "true")
        self.assertIn("needs a createContainer hook (/bin/true), and hooks are not run here", err)

    def test_info(self):
        self.assertEqual(self.daemon.request("GET", "/info")[2]["CDISpecDirs"], [self.specs])


if __name__ == "__main__":
    main()
