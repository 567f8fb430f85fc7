"""docker exec: its flags, its exit codes, and what is known of an exec after its end."""
import tempfile
import time

from harness import Case, alive, main, wait_until
from streams import Stream


class Exec(Case):
    def setUp(self):
        super().setUp()
        self.shared = tempfile.mkdtemp(dir=self.daemon.scratch)
        self.ok("run", "-d", "--name", "c1", "-e", "A=image", "-v", f"{self.shared}:/ctl", "busybox", "sleep", "1000")

    def touch(self, name):
        open(f"{self.shared}/{name}", "w").close()

    def api_exec(self, *command, **body):
        """Makes one: its id."""
        status, _, answer = self.daemon.request(
            "POST", "/containers/c1/exec", {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **body})
        self.assertEqual(status, 201, answer)
        return answer["Id"]

    def seen(self, eid):
        return self.daemon.request("GET", f"/exec/{eid}/json")

    def test_users(self):
        for user, expected in (("web", "uid=33(web) gid=33(web) groups=33(web),44(extra)"),
                               ("33", "uid=33(web) gid=33(web) groups=33(web),44(extra)"),
                               ("33:44", "uid=33(web) gid=44(extra)"),
                               ("web:extra", "uid=33(web) gid=44(extra)"),
                               ("0", "uid=0(root) gid=0(root)"),
                               ("1234", "uid=1234 gid=0(root)")):
            self.assertTrue(self.ok("exec", "-u", user, "c1", "id").startswith(expected), user)
        r = self.docker("exec", "-u", "nobody-here", "c1", "id")
        self.assertEqual(r.code, 126)
        self.assertIn("unable to find user nobody-here", r.out)

    def test_environment_directory_detach(self):
        self.assertEqual(self.ok("exec", "-e", "A=own", "-e", "B=2", "c1", "sh", "-c", "echo $A $B"), "own 2")
        self.assertEqual(self.ok("exec", "c1", "sh", "-c", "echo $A"), "image")
        self.assertEqual(self.ok("exec", "-w", "/var", "c1", "pwd"), "/var")
        self.assertEqual(self.ok("exec", "-d", "c1", "sh", "-c", "echo yes > /made"), "")
        wait_until(lambda: self.docker("exec", "c1", "cat", "/made").out == "yes\n", 5, "the detached exec")
        self.assertEqual(self.docker("exec", "-i", "c1", "cat", input="through\n").out, "through\n")

    def test_privileged_has_all_capabilities(self):
        def bits(*flags):
            text = self.ok("exec", *flags, "c1", "grep", "CapEff", "/proc/self/status")
            return bin(int(text.split()[1], 16)).count("1")
        self.assertEqual(bits(), 14)
        self.assertGreater(bits("--privileged"), 35)

    def test_exit_codes(self):
        self.fails(7, "exec", "c1", "sh", "-c", "exit 7")
        self.fails(143, "exec", "c1", "sh", "-c", "kill -TERM $$")
        self.assertIn("executable file not found", self.docker("exec", "c1", "nothing-here").out)
        self.fails(127, "exec", "c1", "nothing-here")
        self.fails(126, "exec", "c1", "/etc/passwd")
        self.assertIn("is not running", self.fails(1, "exec", self.ok("create", "busybox"), "true"))
        self.assertIn("No such container", self.fails(1, "exec", "nobody", "true"))

    def test_the_code_is_there_when_the_stream_ends(self):
        for n in range(20):
            eid = self.api_exec("sh", "-c", f"echo {n}; exit {n}")
            s = Stream(self.daemon, "POST", f"/exec/{eid}/start", {"Detach": False, "Tty": False})
            self.assertEqual(s.status, 101)
            self.assertEqual(s.payload(), b"%d\n" % n)
            s.close()
            _, _, view = self.seen(eid)
            self.assertEqual((view["Running"], view["ExitCode"]), (False, n))
        status, _, body = self.daemon.request("POST", f"/exec/{eid}/start", {"Detach": True})
        self.assertEqual(status, 409)
        self.assertIn("has already run", body["message"])

    def test_framed_as_the_start_asks(self):
        """docker-py makes an exec with a terminal and starts it without one, and the other way round."""
        for made, started, said in ((True, False, b"\x01\0\0\0\0\0\0\x05out\r\n"), (False, True, b"out\n"),
                                    (True, True, b"out\r\n"),
                                    (False, False, b"\x01\0\0\0\0\0\0\x04out\n")):
            eid = self.api_exec("echo", "out", Tty=made)
            s = Stream(self.daemon, "POST", f"/exec/{eid}/start", {"Tty": started})
            kind = "raw" if started else "multiplexed"
            self.assertIn(f"application/vnd.docker.{kind}-stream", s.head)
            self.assertEqual(s.read_all(), said, (made, started))
            s.close()
        eid = self.api_exec("nothing-here", Tty=True)
        s = Stream(self.daemon, "POST", f"/exec/{eid}/start", {"Tty": False})
        self.assertIn(b"executable file not found", b"".join(payload for _, payload in s.frames()))
        s.close()

    def test_known_after_a_restart_of_the_daemon(self):
        """One that ended before it, one that ends while no daemon is there, one that goes on."""
        before = self.api_exec("sh", "-c", "exit 5", Env=["X=1"])
        meanwhile = self.api_exec("sh", "-c", "while [ ! -e /ctl/go ]; do sleep 0.02; done; exit 6")
        after = self.api_exec("sh", "-c", "while [ ! -e /ctl/go2 ]; do sleep 0.05; done; exit 7")
        for eid in (before, meanwhile, after):
            self.assertEqual(self.daemon.request("POST", f"/exec/{eid}/start", {"Detach": True})[0], 200)
        wait_until(lambda: not self.seen(before)[2]["Running"], 5, "the first ends")
        pid = self.seen(meanwhile)[2]["Pid"]
        self.daemon.kill()
        self.touch("go")
        wait_until(lambda: not alive(pid), 5, "the second ends")
        self.daemon.start()
        for eid, code in ((before, 5), (meanwhile, 6)):
            wait_until(lambda eid=eid: not self.seen(eid)[2]["Running"], what="its monitor has told of its end")
            status, _, view = self.seen(eid)
            self.assertEqual((status, view["Running"], view["ExitCode"]), (200, False, code))
            self.assertEqual(view["ProcessConfig"]["entrypoint"], "sh")
        self.assertTrue(self.seen(after)[2]["Running"])
        self.assertEqual(self.daemon.request("POST", f"/exec/{before}/start", {"Detach": True})[0], 409)
        self.touch("go2")
        wait_until(lambda: not self.seen(after)[2]["Running"], 5, "the third ends")
        self.assertEqual(self.seen(after)[2]["ExitCode"], 7)

    def test_events(self):
        since = f"{time.time():.6f}"
        eid = self.api_exec("true")
        s = Stream(self.daemon, "POST", f"/exec/{eid}/start", {"Detach": False})
        s.read_all()
        s.close()
        def told():
            text = self.ok("events", "--since", since, "--until", f"{time.time() + 0.01:.6f}", "--format",
                           "{{.Action}}|{{.Actor.Attributes.execID}}|{{.Actor.Attributes.exitCode}}")
            return text if "exec_die" in text else None
        text = wait_until(told, what="its end is told")
        self.assertEqual(text.splitlines(), [f"exec_create: true|{eid}|<no value>",
                                             f"exec_start: true|{eid}|<no value>", f"exec_die|{eid}|0"])

    def test_nothing_of_a_paused_container(self):
        self.ok("pause", "c1")
        self.assertIn("is paused, unpause the container before exec", self.fails(1, "exec", "c1", "true"))
        self.ok("unpause", "c1")
        self.ok("exec", "c1", "true")


if __name__ == "__main__":
    main()
