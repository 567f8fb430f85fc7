"""keep-id: an ordinary user of the image is the user outside (docs/decisions/0030-keep-id.md).

The docker CLI refuses --userns=keep-id itself; --security-opt userns=keep-id says the same, and the API
and compose take UsernsMode.
"""
import io
import os
import shutil
import subprocess
import tarfile

from harness import Case, busybox_tar, main, wait_until

WEB = 33
KEEP = ("--security-opt", "userns=keep-id")


def has_fuse():
    return os.access("/dev/fuse", os.R_OK | os.W_OK) and shutil.which("fuse-overlayfs")


def image_tar():
    """The busybox image with a home of user web, a file of root's alone, and a setuid program."""
    out = io.BytesIO()
    with tarfile.open(busybox_tar()) as base, tarfile.open(fileobj=out, mode="w") as tar:
        for member in base:
            file = base.extractfile(member) if member.isreg() else None
            tar.addfile(member, file)
        def add(name, uid, mode, data=None):
            m = tarfile.TarInfo(name)
            m.uid = m.gid = uid
            m.mode = mode
            if data is None:
                m.type = tarfile.DIRTYPE
            else:
                m.size = len(data)
            tar.addfile(m, io.BytesIO(data) if data is not None else None)
        add("./home/web", WEB, 0o755)
        add("./home/web/mine", WEB, 0o600, b"of web\n")
        add("./root/secret", 0, 0o600, b"of root\n")
        with open("/bin/busybox", "rb") as f:
            # A name of its own: busybox runs the applet that it is called by.
            add("./bin/passwd", 0, 0o4755, f.read())
    return out.getvalue()


class KeepId(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        r = cls.daemon.docker("import", "-c", 'CMD ["sh"]', "-c", "USER web", "-c",
                              "ENV PATH=/bin:/usr/bin:/sbin", "-", "dev:latest", input=image_tar())
        assert r.code == 0, r

    def setUp(self):
        if not has_fuse():
            self.skipTest("this host has no /dev/fuse for its users, or no fuse-overlayfs")
        super().setUp()
        self.work = f"{self.daemon.scratch}/work"
        os.makedirs(self.work, exist_ok=True)
        os.chmod(self.work, 0o755)

    def tearDown(self):
        super().tearDown()
        subprocess.run(["unshare", "--map-auto", "--map-root-user", "rm", "-rf", self.work])

    def keep(self, *args, **kw):
        cut = args.index("--")
        return self.ok("run", "--rm", *KEEP, "-v", f"{self.work}:/work", *args[:cut], "dev",
                       *args[cut + 1:], **kw)

    def test_what_the_user_writes_is_mine(self):
        with open(f"{self.work}/before", "w") as f:
            f.write("x")
        out = self.keep("--", "sh", "-c", "id -u; id -g; stat -c %u:%g /work/before; "
                        "echo more >> /work/before; echo y > /work/new; mkdir /work/dir")
        self.assertEqual(out.split("\n"), ["33", "33", "33:33"])
        for name in ("before", "new", "dir"):
            st = os.stat(f"{self.work}/{name}")
            self.assertEqual((st.st_uid, st.st_gid), (os.getuid(), os.getgid()), name)

    def test_what_root_writes_is_not(self):
        out = self.keep("-u", "root", "--", "sh", "-c",
                        "id -u; echo x > /work/r; stat -c %u:%g /work/r; chown 33:33 /work/r; stat -c %u /work/r; "
                        "echo y > /work/s")
        self.assertEqual(out.split("\n"), ["0", "0:0", "33"])
        self.assertEqual(os.stat(f"{self.work}/r").st_uid, os.getuid())  # given to web
        self.assertNotIn(os.stat(f"{self.work}/s").st_uid, (0, os.getuid()))

    def test_the_image_looks_as_it_is(self):
        out = self.keep("-u", "root", "--", "sh", "-c",
                        "ls -lnd /etc /etc/passwd /etc/hosts /etc/resolv.conf /root/secret "
                        "/home/web/mine /bin/busybox / /dev | awk '{print $9, $3, $4}'")
        for line in out.split("\n"):
            name, uid, gid = line.split()
            wanted = "33" if name.startswith("/home/web/") else "0"
            self.assertEqual((uid, gid), (wanted, wanted), line)

    def test_permissions_hold(self):
        out = self.keep("--", "sh", "-c", "cat /home/web/mine; cat /root/secret 2>&1; "
                        "echo x > /home/web/new && stat -c %u /home/web/new; "
                        "touch /etc/x 2>&1 || true; touch /etc/hosts 2>&1 || true")
        self.assertIn("of web\n", out)
        self.assertIn("'/root/secret': Permission denied", out)
        self.assertIn("\n33\n", out)
        self.assertIn("/etc/x: Permission denied", out)
        self.assertIn("/etc/hosts: Permission denied", out)

    def test_setuid_programs_work(self):
        out = self.keep("--", "sh", "-c", "stat -c %a:%u /bin/passwd; "
                                        # By its path: the shell would run its own, without the file's setuid bit.
                        "/bin/passwd root 2>&1 </dev/null || true")
        self.assertIn("4755:0", out)
        self.assertIn("can't change password for root", out)  # else: "must be suid to work"

    def test_exec_and_restart(self):
        self.ok("run", "-d", "--name", "kk", *KEEP, "-v", f"{self.work}:/work", "dev", "sleep", "100")
        for _ in range(2):
            self.assertEqual(self.ok("exec", "kk", "sh", "-c", "id -u; echo x > /work/e"), "33")
            self.assertEqual(os.stat(f"{self.work}/e").st_uid, os.getuid())
            self.assertEqual(self.ok("exec", "-u", "0", "kk", "sh", "-c", "id -u; cat /root/secret"),
                             "0\nof root")
            self.assertEqual(self.ok("exec", "-t", "kk", "id", "-u").strip(), "33")
            self.ok("exec", "-u", "0", "kk", "sh", "-c", "echo kept > /root/kept; ls -ln /root")
            self.daemon.kill()
            self.daemon.start()
        self.ok("restart", "-t", "0", "kk")
        self.assertEqual(self.ok("exec", "-u", "0", "kk", "sh", "-c",
                                 "cat /root/kept; stat -c %u /root/kept"), "kept\n0")
        self.assertEqual(self.inspect("kk", "HostConfig.UsernsMode"), "keep-id")

    def test_the_network_works(self):
        out = self.keep("--", "sh", "-c", "ls /sys/class/net; ip -4 addr show eth0 | grep -c inet; "
                        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; "
                        "cut -f2 /proc/sys/net/ipv4/ping_group_range; "
                        "mount | grep -c 'sysfs on /sys type sysfs'")
        self.assertEqual(out.split("\n"), ["eth0", "lo", "1", "0", "65536", "1"])
        self.assertEqual(self.keep("--network", "none", "--", "ls", "/sys/class/net"), "lo")
        self.keep("--network", "host", "--", "true")

    def test_other_users(self):
        # For an image of root's: its user 1000, which dev containers exec as.
        self.ok("run", "-d", "--name", "kk", *KEEP, "-v", f"{self.work}:/work", "busybox", "sleep", "100")
        self.assertEqual(self.ok("exec", "kk", "id", "-u"), "0")
        self.ok("exec", "-u", "1000:1000", "kk", "touch", "/work/a")
        self.assertEqual(os.stat(f"{self.work}/a").st_uid, os.getuid())
        self.ok("run", "--rm", "--security-opt", "userns=keep-id:uid=5,gid=6", "-u", "5:6", "-v",
                f"{self.work}:/work", "busybox", "touch", "/work/b")
        st = os.stat(f"{self.work}/b")
        self.assertEqual((st.st_uid, st.st_gid), (os.getuid(), os.getgid()))

    def test_more_rights_work_inside(self):
        out = self.keep("--privileged", "-u", "0", "--", "sh", "-c",
                        "mkdir /m && mount -t tmpfs x /m && mount -t proc p /m && hostname new && hostname")
        self.assertEqual(out, "new")

    def test_through_the_api(self):
        status, _, body = self.daemon.request(
            "POST", "/containers/create", {"Image": "dev", "Cmd": ["touch", "/work/api"], "HostConfig": {
                "UsernsMode": "keep-id", "Binds": [f"{self.work}:/work"]}})
        self.assertEqual(status, 201, body)
        self.ok("start", "-a", body["Id"])
        self.assertEqual(os.stat(f"{self.work}/api").st_uid, os.getuid())
        for mode in ("keep", "keep-id:", "keep-id:uid=x", "keep-id:pid=3", "container:x"):
            status, _, body = self.daemon.request(
                "POST", "/containers/create", {"Image": "dev", "HostConfig": {"UsernsMode": mode}})
            self.assertEqual((status, body["message"]), (400, f"invalid user namespace mode: {mode}"))

    def test_host_is_the_default(self):
        self.assertEqual(self.run_box("--userns", "host", "--", "cat", "/proc/self/uid_map"),
                         self.run_box("--", "cat", "/proc/self/uid_map"))

    def test_ids_that_there_are_not(self):
        r = self.docker("run", "--rm", "--security-opt", "userns=keep-id:uid=4000000", "busybox", "true")
        self.assertEqual(r.code, 125, r)
        self.assertIn("there is no id 4000000 among the", r.err)

    def test_nothing_is_left_behind(self):
        self.keep("--", "true")
        pattern = "fuse-overlayfs.*" + os.path.basename(self.daemon.scratch)
        wait_until(lambda: not subprocess.run(["pgrep", "-u", str(os.getuid()), "-fa", pattern], capture_output=True).stdout,
                   what="fuse-overlayfs has ended")


if __name__ == "__main__":
    main()
