"""The attacks of a hostile container, image or neighbour, each by its name, against a real container: none of them
reaches the host, another container, or another user. A class a kind; docs/security.md says what is promised."""
import io
import os
import tarfile
import unittest  # noqa: F401  (used by the classes below)

import harness


def image_tar(changes):
    """The busybox image with other files: {path: text, or None (left out), or ("link", target)}."""
    out = io.BytesIO()
    with tarfile.open(harness.busybox_tar()) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            if member.name.removeprefix("./") not in changes:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for path, what in changes.items():
            if what is None:
                continue
            info = tarfile.TarInfo(path)
            if isinstance(what, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, what[1]
                new.addfile(info)
            else:
                info.size, info.mode = len(what), 0o755
                new.addfile(info, io.BytesIO(what.encode()))
    return out.getvalue()


class Attacks(harness.Case):
    """Calls that the classes below share: by the API, since there are many."""

    def image(self, name, changes, *instructions):
        args = [a for i in ('CMD ["sh"]', "ENV PATH=/bin:/usr/bin:/sbin", *instructions) for a in ("-c", i)]
        self.ok("import", *args, "-", name, input=image_tar(changes))
        return name

    def create(self, **config):
        status, _, body = self.daemon.request("POST", "/containers/create", {"Image": "busybox", **config})
        self.assertEqual(status, 201, body)
        return body["Id"]

    def start_error(self, **config):
        """What start says of such a container, which is removed again."""
        c = self.create(**config)
        status, _, body = self.daemon.request("POST", f"/containers/{c}/start")
        self.daemon.request("DELETE", f"/containers/{c}?force=1")
        return "" if status == 204 else body["message"]

    def exec_error(self, container, **config):
        status, _, body = self.daemon.request("POST", f"/containers/{container}/exec", config)
        self.assertEqual(status, 201, body)
        status, _, answer = self.daemon.request("POST", f"/exec/{body['Id']}/start", {"Detach": True})
        return "" if status == 200 else answer["message"]


# ---- paths: links exchanged while the engine works on a tree


# ---- descriptors: what is open when the container's program is looked up


class Descriptors(Attacks):
    """CVE-2024-21626 and its kind: a path of the image or the container names what the engine has open."""

    NAMES = ("/proc/self/fd", "/proc/thread-self/fd", "/dev/fd")

    def test_none_is_open_at_start(self):
        for fd in range(3, 24):
            for name in self.NAMES:
                for path in (f"{name}/{fd}", f"{name}/{fd}/self/exe"):
                    self.assertIn("no such file or directory", self.start_error(Entrypoint=[path]), path)

    def test_none_is_open_at_exec(self):
        c = self.ok("run", "-d", "busybox", "sleep", "1000")
        for fd in range(3, 64):
            for name in self.NAMES:
                for user in ({}, {"User": "web"}, {"Privileged": True}):
                    message = self.exec_error(c, Cmd=[f"{name}/{fd}"], **user)
                    self.assertIn("no such file or directory", message, f"{name}/{fd} {user}")

    def test_none_is_open_for_an_interpreter(self):
        files = {f"s{fd}": f"#!/proc/self/fd/{fd}\n" for fd in range(3, 24)}
        image = self.image("scripts", files)
        c = self.ok("run", "-d", image, "sleep", "1000")
        for path in files:
            self.assertIn("no such file or directory", self.exec_error(c, Cmd=[f"/{path}"]), path)
            self.assertIn("no such file or directory", self.start_error(Image=image, Entrypoint=[f"/{path}"]), path)

    def test_none_is_open_for_a_health_check(self):
        checks = {fd: self.create(Cmd=["sleep", "1000"], Healthcheck={
            "Test": ["CMD", f"/proc/self/fd/{fd}"], "Interval": 200_000_000}) for fd in range(3, 9)}
        for c in checks.values():
            self.daemon.request("POST", f"/containers/{c}/start")
        for fd, c in checks.items():
            log = harness.wait_until(lambda c=c: self.inspect(c, "State.Health.Log"), 30, "a health check")
            self.assertIn("no such file or directory", log[0]["Output"], fd)

    def test_none_is_a_working_folder(self):
        c = self.ok("run", "-d", "busybox", "sleep", "1000")
        for fd in range(3, 24):
            path = f"/proc/self/fd/{fd}"
            self.assertIn("no such file or directory", self.exec_error(c, Cmd=["true"], WorkingDir=path), path)
            self.assertNotEqual("", self.start_error(Cmd=["true"], WorkingDir=path), path)


class Traced(Attacks):
    """SYS_PTRACE in the container: what joins it has nothing of the host from its first moment on."""

    env = {"CORACLE_TEST_SECRET": "of-the-user"}
    LOOK = ("while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; readlink $p/root; readlink $p/cwd; "
            "for f in $p/fd/*; do [ -L $f ] && echo fd ${f##*/} $(readlink $f); done; "
            "grep -ao of-the-user $p/environ; done >> /seen 2>/dev/null; done")

    def look(self, act):
        c = self.ok("run", "-d", "--cap-add", "SYS_PTRACE", "busybox", "sh", "-c", self.LOOK)
        seen = []

        def enough():
            for _ in range(10):
                act(c)
            seen[:] = self.ok("exec", c, "cat", "/seen").split("\n")
            return any(line.startswith("fd 1 ") for line in seen)
        harness.wait_until(enough, 60, "the container sees one of the processes")
        for line in seen:
            if line.startswith("fd "):
                _, number, *target = line.split(" ")
                # Above 2: what the program itself has opened, what is gone already, and pipes and sockets to us.
                host = int(number) > 2 and target and not target[0].startswith(("pipe:", "socket:", "/seen"))
                self.assertFalse(host, line)
            elif line:
                self.assertEqual(line, "/")

    def test_what_an_exec_holds(self):
        self.look(lambda c: self.exec_error(c, Cmd=["true"]))

    def test_what_a_start_in_its_pid_namespace_holds(self):
        self.look(lambda c: self.assertEqual("", self.start_error(
            Cmd=["true"], HostConfig={"PidMode": f"container:{c}"})))


# ---- programs: our own files, processes and signals


# ---- archives


# ---- mounts: what covers, and what is covered


class Covered(Attacks):
    def test_links_at_the_kernels_places(self):
        for name in ("proc", "sys"):
            image = self.image(f"linked-{name}", {name: ("link", "tmp")})
            self.assertIn("must be mounted on ordinary directory", self.start_error(Image=image, Cmd=["true"]))
        # Elsewhere a link of the image is followed inside the root, and what is masked stays masked.
        image = self.image("linked", {"dev": ("link", "/tmp/there"), "etc/hosts": ("link", "../../../../tmp/hosts")})
        out = self.ok("run", "--rm", image, "sh", "-c", "readlink /dev; head -1 /tmp/hosts; cat /proc/kcore; "
                      "ls -A /sys/firmware; echo end")
        self.assertEqual(out.split("\n"), ["/tmp/there", "127.0.0.1\tlocalhost", "end"])

    def test_nothing_is_mounted_inside_proc(self):
        image = self.image("inside", {"link": ("link", "proc")})
        for flags in (("--tmpfs", "/proc/acpi"), ("--tmpfs", "/proc"), ("-v", "/tmp:/proc/sys"), ("-v", "data:/proc/x"),
                      ("-v", "/proc/acpi"), ("-v", "/tmp:/link/acpi"), ("-v", "/tmp:/link")):
            err = self.fails(125, "run", "--rm", *flags, image, "true")
            self.assertRegex(err, "inside /proc|not of type proc", flags)

    def test_an_image_declares_no_volume_there(self):
        for path in ("/proc", "/proc/acpi", "/sys", "/sys/firmware"):
            image = self.image("declared", {}, f"VOLUME {path}")
            err = self.fails(125, "run", "--rm", image, "true")
            self.assertIn("cannot be mounted because it is inside", err, path)

    def test_what_docker_users_mount_there(self):
        figures = f"{self.daemon.scratch}/meminfo"
        with open(figures, "w") as f:
            f.write("MemTotal: 5 kB\n")
        self.assertEqual(self.run_box("-v", f"{figures}:/proc/meminfo:ro", "--", "cat", "/proc/meminfo"), "MemTotal: 5 kB")
        for flags in (("--tmpfs", "/dev/shm"), ("--tmpfs", "/sys/fs/cgroup"), ("-v", "/dev:/dev"), ("-v", "/sys:/sys"),
                      ("-v", "/sys:/sys:ro"), ("-v", "/proc:/host/proc:ro"), ("-v", "/dev/null:/dev/mine"),
                      ("-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"), ("-v", "/sys/class:/sys/class:ro")):
            self.run_box(*flags, "--", "true")
        image = self.image("systemd", {}, "VOLUME /sys/fs/cgroup")
        self.ok("run", "--rm", image, "true")

    def mounts_below_sys(self, *flags):
        lines = [line.split() for line in self.run_box(*flags, "--", "cat", "/proc/self/mountinfo").split("\n")]
        return {f[4]: f[5].split(",") for f in lines if f[4] == "/sys" or f[4].startswith("/sys/")}

    def test_the_hosts_sysfs_is_read_only_all_the_way_down(self):
        lines = self.run_box("--network", "host", "--", "cat", "/proc/self/mountinfo").split("\n")
        for f in map(str.split, lines):
            if f[4] == "/sys" or f[4].startswith("/sys/"):
                self.assertIn("ro", f[5].split(","), " ".join(f))

    def test_the_engines_own_cgroup_is_written_by_nobody(self):
        err = self.fails(125, "run", "--rm", "--security-opt", "writable-cgroups=true", "busybox", "true")
        self.assertIn("writable-cgroups", err)
        self.assertIn("ro", self.mounts_below_sys("--privileged")["/sys/fs/cgroup"])
        out = self.run_box("--privileged", "--", "sh", "-c", "mkdir /sys/fs/cgroup/x 2>&1 || echo refused")
        self.assertIn("refused", out)


# ---- health checks and what an image says of itself


class HostilePasswd(Attacks):
    PASSWD = ("root:x:0:0:root:/root:/bin/sh\nbig:x:4294967294:5::/:/bin/sh\nword:x:zero:5::/:/bin/sh\n"
              "group:x:5:4294967295::/:/bin/sh\nmember:x:6:6::/:/bin/sh\nplain:x:7:7::/:/bin/sh\n")
    GROUP = "root:x:0:\nfar:x:4294967295:member\n"
    RANGE = "uids and gids must be in range 0-2147483647"
    USERS = ("big", "word", "group", "member", "plain:far", "4294967294", "4294967296", "-1", "7:4294967295")

    def hostile(self, *instructions):
        return self.image("hostile", {"etc/passwd": self.PASSWD, "etc/group": self.GROUP}, *instructions)

    def test_nobody_is_root_by_a_number_out_of_range(self):
        image = self.hostile()
        c = self.ok("run", "-d", image, "sleep", "1000")
        for user in self.USERS:
            self.assertIn(self.RANGE, self.start_error(Image=image, Cmd=["id"], User=user), user)
            self.assertIn(self.RANGE, self.exec_error(c, Cmd=["id"], User=user), user)
        self.assertIn("uid=7", self.ok("exec", "-u", "plain", c, "id"))

    def test_the_image_names_such_a_user(self):
        self.assertIn(self.RANGE, self.start_error(Image=self.hostile("USER big"), Cmd=["id"]))

    def test_groups_out_of_range(self):
        image = self.hostile()
        for group in ("far", "4294967295", "2147483648", "-1"):
            error = self.start_error(Image=image, Cmd=["id"], HostConfig={"GroupAdd": [group]})
            self.assertIn(self.RANGE, error, group)


if __name__ == "__main__":
    harness.main()
