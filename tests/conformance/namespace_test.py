"""Namespaces shared with the host or with other containers, sysctls, groups, links, annotations."""
import os
import re

from harness import Case, main, wait_until


class Namespaces(Case):
    def ns(self, name, kind, *flags):
        return self.ok("exec", name, "readlink", f"/proc/self/ns/{kind}")

    def donor(self, *flags, name="donor"):
        self.ok("run", "-d", "--name", name, *flags, "busybox", "sh", "-c",
                "echo from donor > /dev/shm/note 2>/dev/null; exec sleep 1000")
        wait_until(lambda: self.docker("exec", name, "cat", "/proc/1/comm").out == "sleep\n", what="its note is there")
        return name

    def test_pid_host(self):
        inside = self.run_box("--pid", "host", "--", "sh", "-c", "readlink /proc/self/ns/pid; echo $$")
        namespace, pid = inside.split("\n")
        self.assertEqual(namespace, os.readlink("/proc/self/ns/pid"))
        self.assertGreater(int(pid), 1)
        # It ends with all that it started.
        self.ok("run", "-d", "--name", "hh", "--pid", "host", "busybox", "sh", "-c",
                "sleep 98765 & sleep 98765")
        seen = lambda: re.findall(r"(?m)^sleep 98765$", self.run_box("--pid", "host", "--", "ps", "-o", "args"))
        wait_until(lambda: len(seen()) == 2, what="both run")
        self.ok("rm", "-f", "hh")
        wait_until(lambda: not seen(), what="both have ended")  # they are killed by then; that takes a moment

    def test_pid_of_another_container(self):
        self.donor()
        out = self.run_box("--pid", "container:donor", "--", "ps", "-o", "pid,args")
        self.assertRegex(out, r"(?m)^ *1 sleep 1000$")
        self.ok("run", "-d", "--name", "second", "--pid", "container:donor", "busybox", "sleep", "2000")
        self.assertEqual(self.ns("second", "pid"), self.ns("donor", "pid"))
        self.assertIn("sleep 2000", self.ok("exec", "donor", "ps"))
        self.assertEqual(self.inspect("second", "HostConfig.PidMode"), "container:donor")

    def test_ipc(self):
        self.donor("--ipc", "shareable")
        out = self.run_box("--ipc", "container:donor", "--", "sh", "-c",
                           "readlink /proc/self/ns/ipc; cat /dev/shm/note; echo back > /dev/shm/answer")
        self.assertEqual(out, self.ns("donor", "ipc") + "\nfrom donor")
        self.assertEqual(self.ok("exec", "donor", "cat", "/dev/shm/answer"), "back")
        self.assertEqual(self.run_box("--ipc", "host", "--", "readlink", "/proc/self/ns/ipc"),
                         os.readlink("/proc/self/ns/ipc"))
        r = self.docker("run", "--rm", "--ipc", "none", "busybox", "sh", "-c",
                        "readlink /proc/self/ns/ipc; mount | grep /dev/shm")
        self.assertEqual(r.code, 1, r)
        self.assertNotEqual(r.out.strip(), os.readlink("/proc/self/ns/ipc"))
        self.assertIn("size=64", self.run_box("--", "sh", "-c", "mount | grep /dev/shm").replace("65536k", "size=64"))

    def test_errors_of_joining(self):
        self.donor()
        for flag, what in (("--pid", "PID"), ("--ipc", "IPC")):
            self.assertIn("No such container: nosuch",
                          self.fails(125, "run", "--rm", flag, "container:nosuch", "busybox", "true"))
            self.ok("create", "--name", "stopped", "busybox")
            err = self.fails(125, "run", "--rm", flag, "container:stopped", "busybox", "true")
            stopped = self.inspect("stopped", "Id")
            self.assertIn(f"failed to join {what} namespace: container {stopped} is not running", err)
            self.ok("rm", "stopped")
        err = self.fails(125, "run", "--rm", "--ipc", "container:donor", "busybox", "true")
        self.assertIn("container donor: non-shareable IPC (hint: use IpcMode:shareable for the donor "
                      "container)", err)
        # A 404 at create would let the CLI pull the image that is there.
        for flags in (("--volumes-from", "nosuch"), ("--link", "nosuch:x"), ("--pid", "container:nosuch")):
            err = self.fails(125, "run", "--rm", *flags, "busybox", "true")
            self.assertIn("No such container: nosuch", err)
            self.assertNotIn("Unable to find image", err)
        # The network of one that comes later; the start is what fails.
        self.ok("create", "--name", "early", "--network", "container:late", "busybox", "hostname")
        self.assertIn("No such container: late", self.fails(1, "start", "early"))
        self.ok("run", "-d", "--name", "late", "--hostname", "of-late", "busybox", "sleep", "1000")
        self.assertEqual(self.ok("start", "-a", "early"), "of-late")
        self.ok("create", "--name", "own", "--network", "container:own", "busybox")
        self.assertIn("cannot join own network", self.fails(1, "start", "own"))
        self.ok("create", "--name", "stopped", "busybox")
        err = self.fails(125, "run", "--rm", "--network", "container:stopped", "busybox", "true")
        self.assertIn("cannot join network namespace of a non running container: container stopped is "
                      "created", err)
        for mode in ("PidMode", "IpcMode"):
            for value in ("wrong", "container:"):
                status, _, body = self.daemon.request("POST", "/containers/create", {
                    "Image": "busybox", "HostConfig": {mode: value}})
                self.assertEqual((status, body["message"]), (400, f"invalid {mode[:3].upper()} mode: {value}"))

    def test_uts_and_cgroup(self):
        self.assertEqual(self.run_box("--uts", "host", "--", "sh", "-c", "hostname; readlink /proc/self/ns/uts"),
                         f"{os.uname().nodename}\n{os.readlink('/proc/self/ns/uts')}")
        err = self.fails(125, "run", "--rm", "--uts", "host", "--hostname", "x", "busybox", "true")
        self.assertIn("conflicting options: hostname and the UTS mode", err)
        host = os.readlink("/proc/self/ns/cgroup")
        show = ("--", "readlink", "/proc/self/ns/cgroup")
        self.assertEqual(self.run_box("--cgroupns", "host", *show), host)
        self.assertNotEqual(self.run_box("--cgroupns", "private", *show), host)
        self.assertNotEqual(self.run_box(*show), host)
        out = self.run_box("--hostname", "web", "--domainname", "example.org", "--", "sh", "-c",
                           "hostname; cat /proc/sys/kernel/domainname; cat /etc/hostname; grep web /etc/hosts")
        self.assertEqual(out.split("\n")[:3], ["web", "example.org", "web"])
        self.assertIn("web.example.org web", out)

    def test_sysctls(self):
        out = self.run_box("--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=4096", "--sysctl",
                           "fs.mqueue.msg_max=20", "--", "sh", "-c", "cd /proc/sys; cat net/ipv4/ip_forward "
                           "kernel/msgmax fs/mqueue/msg_max net/ipv4/ip_unprivileged_port_start")
        self.assertEqual(out.split("\n"), ["1", "4096", "20", "0"])
        err = self.fails(125, "run", "--rm", "--network", "host", "--sysctl", "net.ipv4.ip_forward=1",
                         "busybox", "true")
        self.assertIn("sysctl 'net.ipv4.ip_forward' not allowed in host network namespace", err)
        err = self.fails(125, "run", "--rm", "--ipc", "host", "--sysctl", "kernel.msgmax=1", "busybox", "true")
        self.assertIn("sysctl 'kernel.msgmax' not allowed in host ipc namespace", err)
        status, _, body = self.daemon.request("POST", "/containers/create", {
            "Image": "busybox", "HostConfig": {"Sysctls": {"kernel.panic": "1"}}})
        self.assertEqual((status, body["message"]),
                         (400, "sysctl 'kernel.panic' is not in a separate kernel namespace"))
        # The CLI makes 127 of "no such file or directory", as it does with dockerd.
        err = self.fails(127, "run", "--rm", "--sysctl", "net.ipv4.no_such=1", "busybox", "true")
        self.assertIn("sysctl net.ipv4.no_such: this kernel does not have it", err)

    def test_groups(self):
        out = self.run_box("--group-add", "extra", "--group-add", "777", "-u", "33:33", "--", "id", "-G")
        self.assertEqual(sorted(out.split()), ["33", "44", "777"])
        err = self.fails(125, "run", "--rm", "--group-add", "nosuch", "busybox", "true")
        self.assertIn("Unable to find group nosuch", err)
        self.ok("run", "-d", "--name", "c1", "--group-add", "extra", "busybox", "sleep", "100")
        self.assertIn("44", self.ok("exec", "-u", "33", "c1", "id", "-G").split())

    def test_keep_groups(self):
        mine = [g for g in os.getgroups() if g != os.getgid()]
        out = self.run_box("--group-add", "keep-groups", "--", "grep", "Groups", "/proc/self/status")
        if not mine:
            # None to keep; that none is taken from the image shows that they were left alone.
            self.assertNotIn("44", out.split())
            self.skipTest("this user has no supplementary group of its own")
        # They are not mapped, and so shown as nobody's; but they count.
        self.assertIn("65534", out.split())
        err = self.fails(125, "run", "--rm", "--group-add", "keep-groups", "--group-add", "44", "busybox", "true")
        self.assertIn("conflicting options: group-add keep-groups", err)

    def test_links(self):
        self.ok("run", "-d", "--name", "db", "--expose", "5432", "-e", "SECRET=x", "busybox", "sleep", "1000")
        address = self.inspect("db", "NetworkSettings.IPAddress")
        self.ok("run", "-d", "--name", "web", "--link", "db:the-db", "busybox", "sleep", "1000")
        hosts = self.ok("exec", "web", "cat", "/etc/hosts")
        self.assertRegex(hosts, rf"(?m)^{re.escape(address)}\s+the-db [0-9a-f]{{12}} db$")
        self.ok("exec", "web", "ping", "-c1", "-W60", "the-db")
        env = self.ok("exec", "web", "env").split("\n")
        for wanted in (f"THE_DB_PORT=tcp://{address}:5432", f"THE_DB_PORT_5432_TCP_ADDR={address}",
                       "THE_DB_PORT_5432_TCP_PORT=5432", "THE_DB_PORT_5432_TCP_PROTO=tcp",
                       "THE_DB_NAME=/web/the-db", "THE_DB_ENV_SECRET=x"):
            self.assertIn(wanted, env)
        self.assertEqual(self.inspect("web", "HostConfig.Links"), ["/db:/web/the-db"])
        self.assertEqual(self.inspect("web/the-db", "Id"), self.inspect("db", "Id"))
        self.assertEqual(self.ok("exec", "web/the-db", "echo", "here"), "here")
        for name in ("web/db", "db/the-db", "web/the-db/x", "web/"):
            self.assertEqual(self.daemon.request("GET", f"/containers/{name}/json")[0], 404, name)
        self.assertIn("db,web/the-db", self.ok("ps", "--no-trunc", "--format", "{{.Names}}").split("\n"))
        # What inspect shows is taken again.
        status, _, body = self.daemon.request("POST", "/containers/create?name=again", {
            "Image": "busybox", "HostConfig": {"Links": ["/db:/web/the-db"]}})
        self.assertEqual(status, 201, body)
        self.assertEqual(self.inspect("again", "HostConfig.Links"), ["/db:/again/the-db"])
        self.ok("rm", "--link", "web/the-db")
        self.assertNotIn("web/the-db", self.ok("ps", "--no-trunc", "--format", "{{.Names}}"))
        self.assertEqual(self.inspect("web", "HostConfig.Links"), None)
        self.ok("stop", "-t", "0", "db")
        err = self.fails(1, "start", "again")
        self.assertIn("Cannot link to a non running container: /db AS /again/the-db", err)

    def test_a_link_follows_an_address_that_changes(self):
        self.ok("run", "-d", "--name", "db", "busybox", "sleep", "1000")
        self.ok("run", "-d", "--name", "web", "--link", "db:store", "busybox", "sleep", "1000")
        self.ok("exec", "web", "sh", "-c", "echo 10.1.1.1 own >> /etc/hosts")
        before = self.inspect("db", "NetworkSettings.IPAddress")
        self.ok("stop", "-t", "0", "db")
        self.ok("run", "-d", "--name", "between", "busybox", "sleep", "1000")  # takes the address, or not
        self.ok("start", "db")
        now = self.inspect("db", "NetworkSettings.IPAddress")
        wait_until(lambda: f"{now}\tstore " in self.ok("exec", "web", "cat", "/etc/hosts"), what="told")
        hosts = self.ok("exec", "web", "cat", "/etc/hosts")
        self.assertEqual(hosts.count("store"), 1, hosts)
        self.assertTrue(hosts.endswith("10.1.1.1 own"), hosts)
        if now != before:
            self.assertNotIn(before + "\t", hosts)

    def test_errors_of_links(self):
        err = self.fails(1, "create", "--link", "nosuch:x", "busybox")
        self.assertIn("could not get container for nosuch: No such container: nosuch", err)
        self.ok("create", "--name", "db", "busybox")
        err = self.fails(1, "create", "--network", "host", "--link", "db", "busybox")
        self.assertIn("host type networking can't be used with links", err)
        self.fails(1, "rm", "--link", "db")
        self.fails(1, "rm", "--link", "db/x")

    def test_annotations_reach_the_runtime(self):
        self.ok("create", "--name", "c1", "--annotation", "org.example=yes", "busybox")
        self.assertEqual(self.inspect("c1", "HostConfig.Annotations"), {"org.example": "yes"})
        self.ok("start", "c1")
        with open(f"{self.daemon.data}/containers/{self.inspect('c1', 'Id')}/bundle/config.json") as f:
            self.assertIn('"annotations":{"org.example":"yes"}', f.read())

    def test_process_settings(self):
        self.assertEqual(self.run_box("--oom-score-adj", "500", "--", "cat", "/proc/self/oom_score_adj"), "500")
        r = self.docker("run", "--rm", "--oom-score-adj", "-500", "busybox", "true")
        self.assertEqual(r.code, 0, r)
        self.assertIn("needs root", r.err)
        err = self.fails(125, "run", "--rm", "--oom-score-adj", "2000", "busybox", "true")
        self.assertIn("Invalid value 2000, range for oom score adj is [-1000, 1000]", err)
        err = self.fails(125, "run", "--rm", "--runtime", "kata", "busybox", "true")
        self.assertIn("unknown or invalid runtime name: kata", err)
        err = self.fails(125, "run", "--rm", "--storage-opt", "size=1G", "busybox", "true")
        self.assertIn("--storage-opt is supported only for overlay over xfs with 'pquota' mount option", err)
        err = self.fails(125, "run", "--rm", "--cap-add", "NOSUCH", "busybox", "true")
        self.assertIn('invalid CapAdd: unknown capability: "CAP_NOSUCH"', err)
        err = self.fails(125, "run", "--rm", "--security-opt", "nosuch=1", "busybox", "true")
        self.assertIn('invalid --security-opt 2: "nosuch=1"', err)
        err = self.fails(125, "run", "--rm", "--ip", "172.17.0.9", "busybox", "true")
        self.assertIn("user specified IP address is supported on user defined networks only", err)
        out = self.run_box("--mac-address", "02:42:ac:11:00:77", "--add-host", "here:host-gateway", "--add-host",
                           "x:1.2.3.4", "--dns", "9.9.9.9", "--dns-search", "example.org", "--dns-option",
                           "ndots:3", "--", "sh", "-c",
                           "cat /sys/class/net/eth0/address /etc/hosts /etc/resolv.conf; ip route")
        self.assertIn("02:42:ac:11:00:77", out)
        gateway = re.search(r"default via (\S+)", out).group(1)
        for line in (f"{gateway}\there", "1.2.3.4\tx", "nameserver 9.9.9.9", "search example.org", "options ndots:3"):
            self.assertIn(line, out)
        out = self.run_box("--ulimit", "nofile=99:100", "--", "sh", "-c", "ulimit -n; ulimit -Hn")
        self.assertEqual(out, "99\n100")
        r = self.docker("create", "--ulimit", "nofile=9999999999:9999999999", "busybox")
        self.assertIn("is above this user's own", r.err)

    def test_stop_signal_and_timeout(self):
        script = "trap 'echo usr1; exit 7' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done"
        self.ok("run", "-d", "--name", "c1", "--stop-signal", "USR1", "busybox", "sh", "-c", script)
        self.says("c1", "ready")
        self.ok("stop", "-t", "60", "c1")
        self.assertEqual(self.inspect("c1", "State.ExitCode"), 7)
        self.ok("run", "-d", "--name", "c2", "--stop-timeout", "0", "busybox", "sh", "-c", script)
        self.says("c2", "ready")
        self.ok("stop", "c2")
        self.assertEqual(self.inspect("c2", "State.ExitCode"), 137)

    def test_init_and_cidfile(self):
        file = f"{self.daemon.scratch}/cid"
        out = self.run_box("--init", "--cidfile", file, "--", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$")
        self.assertIn("/sbin/docker-init -- sh", out)
        self.assertNotEqual(out.split("\n")[1], "1")
        self.assertEqual(os.path.getsize(file), 64)
        os.unlink(file)


if __name__ == "__main__":
    main()
