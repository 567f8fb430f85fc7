"""docker run and its flags."""
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from harness import Case, main, wait_until


class Run(Case):
    def test_output_and_exit_code(self):
        self.assertEqual(self.run_box("echo", "ok"), "ok")
        r = self.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((r.code, r.out, r.err), (7, "out\n", "err\n"))

    def test_exit_codes_of_docker(self):
        self.assertIn("executable file not found in $PATH",
                      self.fails(127, "run", "--rm", "busybox", "no-such-command"))
        self.assertIn("no such file or directory",
                      self.fails(127, "run", "--rm", "busybox", "/no/such/command"))
        self.assertIn("permission denied", self.fails(126, "run", "--rm", "busybox", "/etc"))
        self.assertIn("permission denied",
                      self.fails(126, "run", "--rm", "busybox", "/etc/passwd"))
        self.fails(125, "run", "--rm", "--no-such-flag", "busybox", "true")
        self.fails(125, "run", "--rm", "--network", "no-such-network", "busybox", "true")
        # Under an init: pid 1 cannot be killed from within.
        self.fails(137, "run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$")
        self.fails(143, "run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$; sleep 5")

    def test_a_failed_start_leaves_nothing_with_rm(self):
        self.docker("run", "--rm", "--name", "gone", "busybox", "no-such-command")
        self.assertEqual(self.ok("ps", "-aq"), "")

    def test_a_failed_start_is_told_by_inspect(self):
        self.docker("run", "--name", "bad", "busybox", "no-such-command")
        state = self.inspect("bad", "State")
        self.assertEqual((state["Status"], state["ExitCode"]), ("created", 127))
        self.assertIn("executable file not found", state["Error"])

    def test_detached_prints_the_id(self):
        out = self.ok("run", "-d", "--name", "d1", "busybox", "sleep", "100")
        self.assertRegex(out, "^[0-9a-f]{64}$")
        self.assertEqual(self.inspect("d1", "State.Running"), True)
        self.assertEqual(self.ok("ps", "-q", "--no-trunc"), out)

    def test_environment_and_working_directory(self):
        self.assertEqual(self.run_box("-e", "A=b c", "--", "sh", "-c", "echo $A"), "b c")
        self.assertEqual(self.run_box("-w", "/made/up", "--", "pwd"), "/made/up")
        self.assertEqual(self.run_box("-h", "boat", "--", "sh", "-c", "hostname; echo $HOSTNAME"),
                         "boat\nboat")
        self.assertEqual(self.run_box("--", "sh", "-c", "echo $HOME $PATH"),
                         "/root /bin:/usr/bin:/sbin")

    def test_users(self):
        self.assertEqual(self.run_box("-u", "web", "--", "id"),
                         "uid=33(web) gid=33(web) groups=33(web),44(extra)")
        self.assertEqual(self.run_box("-u", "1234:56", "--", "sh", "-c", "id -u; id -g"),
                         "1234\n56")
        r = self.docker("run", "--rm", "-u", "nobody-here", "busybox", "true")
        self.assertNotEqual(r.code, 0)
        self.assertIn("unable to find user nobody-here: no matching entries in passwd file", r.err)
        self.assertEqual(self.run_box("-u", "web", "--", "sh", "-c", "echo $HOME"), "/var")

    def test_entrypoint(self):
        self.assertEqual(self.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"),
                         "a b")

    def test_stdin(self):
        self.assertEqual(self.ok("run", "--rm", "-i", "busybox", "cat", input="hello\n"), "hello")
        # Without -i there is nothing to read.
        self.assertEqual(self.ok("run", "--rm", "busybox", "cat"), "")

    def test_big_stdin_is_unchanged(self):
        data = os.urandom(8 << 20)
        r = self.docker("run", "--rm", "-i", "busybox", "cat", input=data)
        self.assertEqual(r.code, 0, r)
        self.assertTrue(r.out_bytes == data, "8 MiB through cat have changed")

    def test_never_loses_an_exit_code_or_a_byte(self):
        for i in range(100):
            r = self.docker("run", "--rm", "busybox", "sh", "-c", f"echo line {i}; exit {i % 50}")
            self.assertEqual((r.code, r.out), (i % 50, f"line {i}\n"), f"run {i}: {r}")
        self.assertEqual(self.ok("ps", "-aq"), "")

    def test_read_only_and_tmpfs(self):
        r = self.docker("run", "--rm", "--read-only", "busybox", "touch", "/x")
        self.assertNotEqual(r.code, 0)
        self.assertIn("Read-only file system", r.err)
        self.assertEqual(self.run_box("--read-only", "--tmpfs", "/run:size=1m", "--", "sh", "-c",
                                      "touch /run/x && grep ' /run ' /proc/mounts | "
                                      "grep -c 'nosuid,nodev,noexec.*size=1024k'"), "1")
        self.assertEqual(self.run_box("--read-only", "--", "sh", "-c", "touch /dev/shm/x; echo $?"),
                         "0")

    def test_what_programs_look_for_in_a_container(self):
        self.ok("run", "--name", "marks", "busybox", "sh", "-c",
                "stat -c '%s %a' /.dockerenv; readlink /etc/mtab; grep -c ' / ' /etc/mtab")
        self.assertEqual(self.ok("logs", "marks"), "0 755\n/proc/mounts\n1")
        self.assertEqual(self.ok("diff", "marks"), "")
        self.ok("start", "-a", "marks")  # they are there already

    def test_an_ordinary_user_may_ping(self):
        low, high = self.run_box("--", "cat", "/proc/sys/net/ipv4/ping_group_range").split()
        self.assertEqual(low, "0")
        self.assertGreaterEqual(int(high), 65535)

    def test_a_tmpfs_where_the_image_has_nothing_is_open_to_all(self):
        for flags in (("--tmpfs", "/new/place"), ("--mount", "type=tmpfs,dst=/new/place")):
            self.ok("run", "--name", "open", *flags, "busybox", "stat", "-c", "%a", "/new/place")
            self.ok("start", "open")
            self.assertEqual(self.ok("wait", "open"), "0")
            self.assertEqual(self.ok("logs", "open"), "1777\n1777")
            self.ok("rm", "open")
        self.assertEqual(self.run_box("--tmpfs", "/etc", "--", "stat", "-c", "%a", "/etc"), "755")

    def test_shm_size(self):
        self.assertEqual(self.run_box("--", "sh", "-c", "grep ' /dev/shm ' /proc/mounts | "
                                      "grep -o size=[0-9]*k"), "size=65536k")
        self.assertEqual(self.run_box("--shm-size", "128m", "--", "sh", "-c",
                                      "grep ' /dev/shm ' /proc/mounts | grep -o size=[0-9]*k"),
                         "size=131072k")

    def test_ulimit(self):
        self.assertEqual(self.run_box("--ulimit", "nofile=100:200", "--", "sh", "-c",
                                      "ulimit -Sn; ulimit -Hn"), "100\n200")
        self.assertIn("invalid ulimit type",
                      self.fails(125, "run", "--rm", "--ulimit", "nonsense=1", "busybox", "true"))

    def test_labels_and_names(self):
        self.ok("create", "--name", "named", "--label", "a=b", "busybox", "true")
        self.assertEqual(self.inspect("named", "Config.Labels"), {"a": "b"})
        err = self.fails(125, "run", "--name", "named", "busybox", "true")
        self.assertIn('Conflict. The container name "/named" is already in use by container', err)

    def test_add_host_and_dns(self):
        self.assertIn("10.1.2.3\tfoo", self.run_box("--add-host", "foo:10.1.2.3", "--", "cat",
                                                    "/etc/hosts"))
        self.assertRegex(self.run_box("--add-host", "host.docker.internal:host-gateway", "--",
                                      "cat", "/etc/hosts"),
                         r"(?m)^\d+\.\d+\.\d+\.\d+\thost\.docker\.internal")
        out = self.run_box("--dns", "9.9.9.9", "--dns-search", "example.org", "--", "cat",
                           "/etc/resolv.conf")
        self.assertIn("nameserver 9.9.9.9", out)
        self.assertIn("search example.org", out)

    def test_init_is_pid_1(self):
        out = self.run_box("--init", "--", "sh", "-c", "cat /proc/1/comm; echo $$")
        self.assertEqual(out.split("\n")[0], "docker-init")
        self.assertNotEqual(out.split("\n")[1], "1")
        self.fails(3, "run", "--rm", "--init", "busybox", "sh", "-c", "exit 3")

    def test_bind_mounts_belong_to_me_outside(self):
        with tempfile.TemporaryDirectory() as d:
            self.run_box("-v", f"{d}:/data", "--", "sh", "-c", "echo hi > /data/f; mkdir /data/d")
            st = os.stat(f"{d}/f")
            self.assertEqual((st.st_uid, st.st_gid), (os.getuid(), os.getgid()))
            self.assertEqual(open(f"{d}/f").read(), "hi\n")
            r = self.docker("run", "--rm", "-v", f"{d}:/data:ro", "busybox", "touch", "/data/g")
            self.assertIn("Read-only file system", r.err)
            # -v makes a missing source, --mount refuses it.
            self.run_box("-v", f"{d}/new/dir:/data", "--", "touch", "/data/x")
            self.assertTrue(os.path.exists(f"{d}/new/dir/x"))
            err = self.fails(125, "run", "--rm", "--mount",
                             f"type=bind,source={d}/none,target=/data", "busybox", "true")
            self.assertIn("bind source path does not exist", err)
            # A file over a file.
            with open(f"{d}/file", "w") as f:
                f.write("single\n")
            self.assertEqual(self.run_box("-v", f"{d}/file:/etc/motd:ro", "--", "cat",
                                          "/etc/motd"), "single")

    def test_volumes(self):
        self.run_box("-v", "vol1:/data", "--", "sh", "-c", "echo kept > /data/f")
        self.assertEqual(self.run_box("-v", "vol1:/data", "--", "cat", "/data/f"), "kept")
        self.assertEqual(self.ok("volume", "ls", "-q"), "vol1")
        # A new volume is filled from the image.
        self.assertIn("root:x:0:0", self.run_box("-v", "vol2:/etc", "--", "cat", "/etc/passwd"))
        self.ok("volume", "rm", "vol1", "vol2")
        # Anonymous ones go with --rm.
        self.run_box("-v", "/anon", "--", "touch", "/anon/x")
        self.assertEqual(self.ok("volume", "ls", "-q"), "")

    def test_volume_in_use_stays(self):
        self.ok("create", "--name", "user", "-v", "used:/data", "busybox", "true")
        self.assertIn("volume is in use", self.fails(1, "volume", "rm", "used"))
        self.ok("rm", "user")
        self.ok("volume", "rm", "used")

    def test_device(self):
        self.assertEqual(self.run_box("--device", "/dev/fuse", "--", "sh", "-c",
                                      "test -c /dev/fuse && echo yes"), "yes")
        self.assertEqual(self.run_box("--device", "/dev/null:/dev/mine", "--", "sh", "-c",
                                      "echo x > /dev/mine && echo yes"), "yes")
        self.assertNotEqual(self.docker("run", "--rm", "--device", "/dev/no-such-device",
                                        "busybox", "true").code, 0)

    def test_pull_on_run_of_a_missing_image_fails_clearly(self):
        err = self.fails(125, "run", "--rm", "127.0.0.1:1/none:1", "true")
        self.assertIn("127.0.0.1:1", err)

    def test_create_then_start_attached(self):
        self.ok("create", "--name", "later", "-i", "busybox", "sh", "-c", "cat; exit 4")
        r = self.docker("start", "-ai", "later", input="through\n")
        self.assertEqual((r.code, r.out), (4, "through\n"))

    def test_signals_are_proxied(self):
        p = self.daemon.popen("run", "--rm", "--name", "sig", "busybox", "sh", "-c",
                              "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        p.send_signal(signal.SIGTERM)
        out, _ = p.communicate(timeout=60)
        self.assertEqual((p.returncode, out), (9, b"got\n"))

    def test_limits_that_cannot_be_kept_are_told(self):
        r = self.docker("run", "--rm", "-m", "64m", "busybox", "true")
        info = json.loads(self.ok("info", "--format", "{{json .}}"))
        if info["CgroupDriver"] == "none":
            self.assertEqual(r.code, 0, r)
            self.assertIn("WARNING", r.err)
        else:
            self.assertEqual((r.code, r.err), (0, ""))

    def test_parallel_runs(self):
        started = [self.daemon.popen("run", "--rm", "busybox", "echo", str(i)) for i in range(20)]
        for i, p in enumerate(started):
            out, err = p.communicate(timeout=60)
            self.assertEqual((p.returncode, out), (0, f"{i}\n".encode()), err)
        wait_until(lambda: self.ok("ps", "-aq") == "", 5, "all are gone")


if __name__ == "__main__":
    main()
