"""The isolation defaults are Docker's."""
import json
import os
import stat

from harness import Case, main

DEFAULT_CAPABILITIES = 0x00000000a80425fb
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts",
          "/proc/scsi", "/sys/firmware", "/proc/latency_stats", "/proc/sched_debug",
          "/sys/devices/virtual/powercap"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


class Isolation(Case):
    def status(self, *flags):
        out = self.run_box(*flags, "--", "cat", "/proc/self/status")
        return dict(line.split(":\t", 1) for line in out.split("\n") if ":\t" in line)

    def test_capabilities(self):
        s = self.status()
        for which in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(s[which], 16), DEFAULT_CAPABILITIES, which)
        self.assertEqual(int(s["CapInh"], 16), 0)
        self.assertEqual(int(s["CapAmb"], 16), 0)
        s = self.status("--cap-add", "SYS_PTRACE", "--cap-drop", "CHOWN")
        self.assertEqual(int(s["CapEff"], 16), (DEFAULT_CAPABILITIES | 1 << 19) & ~1)
        self.assertEqual(int(self.status("--cap-drop", "ALL")["CapBnd"], 16), 0)

    def test_an_ordinary_user_has_no_effective_ones(self):
        s = self.status("-u", "web")
        self.assertEqual(int(s["CapEff"], 16), 0)
        self.assertEqual(int(s["CapPrm"], 16), 0)
        self.assertEqual(int(s["CapBnd"], 16), DEFAULT_CAPABILITIES)

    def test_no_new_privileges_only_when_asked(self):
        self.assertEqual(self.status()["NoNewPrivs"], "0")
        self.assertEqual(self.status("--security-opt", "no-new-privileges")["NoNewPrivs"], "1")

    def test_seccomp(self):
        self.assertEqual(self.status()["Seccomp"], "2")
        self.assertEqual(self.status("--security-opt", "seccomp=unconfined")["Seccomp"], "0")
        r = self.docker("run", "--rm", "busybox", "unshare", "-U", "true")
        self.assertNotEqual(r.code, 0)
        self.assertIn("Operation not permitted", r.err)
        self.run_box("--security-opt", "seccomp=unconfined", "--", "unshare", "-U", "true")
        r = self.docker("run", "--rm", "--cap-add", "SYS_ADMIN", "busybox", "sh", "-c",
                        "mkdir /m && mount -t tmpfs x /m && echo mounted")
        self.assertEqual(r.out, "mounted\n", r)

    def test_masked_and_read_only_paths(self):
        script = "for p in %s; do [ -e $p ] || continue; if [ -d $p ]; then " \
                 "[ -z \"$(ls -A $p)\" ] || echo $p; else [ -z \"$(head -c1 $p 2>&1)\" ] || " \
                 "echo $p; fi; done" % " ".join(MASKED)
        self.assertEqual(self.run_box("--", "sh", "-c", script), "")
        mounts = self.run_box("--", "cat", "/proc/mounts")
        modes = {line.split()[1]: line.split()[3].split(",") for line in mounts.split("\n")}
        for path in READ_ONLY:
            if os.path.exists(path):
                self.assertIn("ro", modes[path], path)
        self.assertIn("ro", modes["/sys"])

    def test_dev(self):
        names = self.run_box("--", "ls", "/dev").split()
        self.assertEqual(sorted(names), sorted(
            ["core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
             "stdin", "stdout", "tty", "urandom", "zero"]))

    def test_namespaces_are_private(self):
        inside = self.run_box("--", "sh", "-c", "cd /proc/self/ns && for n in *; do echo $n $(readlink $n); done")
        for line in inside.split("\n"):
            name, value = line.split()
            if name in ("mnt", "pid", "uts", "ipc", "net", "cgroup", "user"):
                self.assertNotEqual(value, os.readlink(f"/proc/self/ns/{name}"), name)
        self.assertEqual(self.run_box("--", "sh", "-c", "echo $$"), "1")

    def test_no_descriptor_is_inherited(self):
        # ls itself opens one for the folder.
        self.assertEqual(self.run_box("--", "ls", "/proc/self/fd").split(), ["0", "1", "2", "3"])
        self.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
        self.assertEqual(self.ok("exec", "c1", "ls", "/proc/self/fd").split(), ["0", "1", "2", "3"])

    def test_the_hosts_files_are_out_of_reach(self):
        out = self.run_box("--", "sh", "-c", f"ls {self.daemon.scratch} 2>&1; ls /proc/1/root/")
        self.assertIn("No such file", out)
        self.assertNotIn("boot", out.split())
        self.assertNotIn(self.daemon.scratch, self.run_box("--", "ls", "-l", "/proc/1/root"))

    def test_privileged(self):
        s = self.status("--privileged")
        self.assertEqual(s["Seccomp"], "0")
        # Every capability that this kernel has, up to the last that we know.
        self.assertEqual(int(s["CapEff"], 16) & ((1 << 41) - 1), (1 << 41) - 1)
        self.assertEqual(self.run_box("--privileged", "--", "sh", "-c",
                                      "mkdir /m; mount -t tmpfs x /m && echo yes"), "yes")
        if os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.run_box("--privileged", "--", "test", "-c", "/dev/fuse")

    def test_an_exec_has_the_containers_limits(self):
        self.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
        out = self.ok("exec", "c1", "cat", "/proc/self/status")
        s = dict(line.split(":\t", 1) for line in out.split("\n") if ":\t" in line)
        self.assertEqual(int(s["CapEff"], 16), DEFAULT_CAPABILITIES)
        self.assertEqual(s["Seccomp"], "2")
        out = self.ok("exec", "--privileged", "c1", "cat", "/proc/self/status")
        s = dict(line.split(":\t", 1) for line in out.split("\n") if ":\t" in line)
        self.assertEqual(int(s["CapEff"], 16) & ((1 << 41) - 1), (1 << 41) - 1)

    def test_socket_and_folders_are_mine_alone(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.daemon.socket).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.daemon.data).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(self.daemon.exec).st_mode), 0o700)

    def test_the_socket_works_inside(self):
        """A bind of /var/run/docker.sock is our own socket."""
        out = self.run_box("-v", "/var/run/docker.sock:/var/run/docker.sock", "--", "sh", "-c",
                           "printf 'GET /_ping HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' | "
                           "nc local:/var/run/docker.sock 2>/dev/null | tail -1 || true; "
                           "test -S /var/run/docker.sock && echo socket")
        self.assertIn("socket", out)


if __name__ == "__main__":
    main()
