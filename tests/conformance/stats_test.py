"""docker stats and docker top: figures that are true, streams that end, Docker's refusals."""
import json
import socket
import subprocess
import time

from harness import Case, main, wait_until

BUSY = "while :; do :; done"


class Stats(Case):
    def stats(self, name, query="stream=0"):
        status, _, body = self.daemon.request("GET", f"/containers/{name}/stats?{query}")
        self.assertEqual(status, 200, body)
        return body

    def test_busy_container_uses_a_cpu(self):
        self.ok("run", "-d", "--name", "busy", "busybox", "sh", "-c", BUSY)
        def sample():
            s = self.stats("busy")
            cpu, pre = s["cpu_stats"], s["precpu_stats"]
            used = cpu["cpu_usage"]["total_usage"] - pre["cpu_usage"]["total_usage"]
            of = cpu["system_cpu_usage"] - pre["system_cpu_usage"]
            self.assertLessEqual(used, of * 1.1, s)
            return s if used > 50e6 else None
        s = wait_until(sample, what="it gets a part of a second")  # not of each one, where many want a processor
        cpu = s["cpu_stats"]
        self.assertGreaterEqual(cpu["online_cpus"], 1)
        self.assertEqual(s["name"], "/busy")
        self.assertRegex(s["id"], "^[0-9a-f]{64}$")
        self.assertGreater(s["read"], s["preread"])

    def test_used_time_of_ended_processes_stays(self):
        """Children and execs that have ended count."""
        self.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
        before = self.stats("c1", "stream=0&one-shot=1")["cpu_stats"]["cpu_usage"]["total_usage"]
        self.ok("exec", "c1", "sh", "-c",
                "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
        after = self.stats("c1", "stream=0&one-shot=1")["cpu_stats"]["cpu_usage"]["total_usage"]
        self.assertGreater(after, before)

    def test_memory_pids_block_and_network(self):
        # A file of 20 MB in a shell's variable would be slow: tmpfs counts nowhere, dd's buffer does.
        self.ok("run", "-d", "--name", "m1", "busybox", "sh", "-c",
                "dd if=/dev/zero of=/dev/null bs=30M count=1000000 & sleep 1000 & wait")

        def grown():
            s = self.stats("m1", "stream=0&one-shot=1")
            return s if s["memory_stats"]["usage"] > 30 << 20 and s["pids_stats"]["current"] == 3 else None
        s = wait_until(grown, what="30 MB are used, by three processes")
        self.assertLess(s["memory_stats"]["usage"], 60 << 20)
        self.assertGreater(s["memory_stats"]["limit"], 100 << 20)
        self.assertEqual(s["pids_stats"]["current"], 3)
        self.assertIn("eth0", s["networks"])
        self.assertIn("rx_bytes", s["networks"]["eth0"])
        self.assertEqual(s["precpu_stats"]["cpu_usage"]["total_usage"], 0)
        self.ok("run", "-d", "--name", "n1", "--network", "none", "busybox", "sleep", "1000")
        self.assertNotIn("networks", self.stats("n1", "stream=0&one-shot=1"))
        self.ok("exec", "m1", "sh", "-c", "dd if=/dev/zero of=/f bs=1M count=4; sync")
        io = self.stats("m1", "stream=0&one-shot=1")["blkio_stats"]["io_service_bytes_recursive"]
        self.assertEqual([e["op"] for e in io], ["read", "write"])

    def test_stopped_container_has_zeros(self):
        self.ok("create", "--name", "s1", "busybox", "true")
        s = self.stats("s1")
        self.assertEqual((s["name"], s["memory_stats"], s["pids_stats"]), ("/s1", {}, {}))
        self.assertEqual(s["cpu_stats"]["cpu_usage"]["total_usage"], 0)
        self.assertEqual(self.daemon.request("GET", "/containers/nope/stats?stream=0")[0], 404)
        status, _, body = self.daemon.request("GET", "/containers/s1/stats?stream=1&one-shot=1")
        self.assertEqual((status, body["message"]),
                         (400, "cannot have stream=true and one-shot=true"))

    def test_stream_has_the_sample_before_and_ends_with_the_container(self):
        self.ok("run", "-d", "--name", "x1", "busybox", "sh", "-c", BUSY)
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(60)
        c.connect(self.daemon.socket)
        c.sendall(b"GET /v1.41/containers/x1/stats HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while data.count(b'"preread"') < 3:
            data += c.recv(65536)
        self.ok("rm", "-f", "x1")
        while piece := c.recv(65536):
            data += piece
            if data.endswith(b"0\r\n\r\n"):
                break
        c.close()
        objects = [json.loads(line) for line in data.split(b"\r\n") if line.startswith(b"{")]
        self.assertEqual(objects[0]["preread"], "0001-01-01T00:00:00Z")
        self.assertEqual(objects[1]["preread"], objects[0]["read"])
        self.assertEqual(objects[2]["precpu_stats"], {**objects[1]["cpu_stats"]})
        totals = [o["cpu_stats"]["cpu_usage"]["total_usage"] for o in objects[:3]]
        self.assertEqual(totals, sorted(totals))

    def test_reader_that_does_not_read_holds_nobody_up(self):
        self.ok("run", "-d", "--name", "x1", "busybox", "sleep", "1000")
        stalled = []
        for _ in range(20):
            c = socket.socket(socket.AF_UNIX)
            c.connect(self.daemon.socket)
            c.sendall(b"GET /containers/x1/stats HTTP/1.1\r\nHost: x\r\n\r\n")
            stalled.append(c)
        self.stats("x1", "stream=0")  # two samples, a second apart: theirs are due as well
        self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)
        self.stats("x1", "stream=0&one-shot=1")
        for c in stalled:
            c.close()

    def test_docker_stats(self):
        self.ok("run", "-d", "--name", "a1", "busybox", "sh", "-c", BUSY)
        self.ok("create", "--name", "b1", "busybox", "true")
        def busy():
            line = self.ok("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "a1")
            return line if float(line.split()[1].rstrip("%")) > 1 else None
        line = wait_until(busy, what="it gets a processor")
        name, _, usage = line.split()[:3]
        self.assertEqual(name, "a1")
        self.assertNotEqual(usage, "0B")
        self.assertEqual(line.split()[-1], "1")
        rows = self.ok("stats", "--no-stream", "-a", "--format", "{{.Name}}").split()
        self.assertEqual(sorted(rows), ["a1", "b1"])
        p = self.daemon.popen("stats", "--format", "{{.Name}}")
        try:
            # The first lines may come before the first sample, without a name.
            self.assertTrue(any(b"a1" in p.stdout.readline() for _ in range(200)))
        finally:
            p.kill()
            p.communicate()


class Top(Case):
    def test_default_columns(self):
        self.ok("run", "-d", "--name", "t1", "busybox", "sh", "-c", "sleep 1001 & sleep 1002; wait")
        out = self.ok("top", "t1").splitlines()
        self.assertEqual(out[0].split(), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
        commands = wait_until(lambda: (lambda c: c if len(c) == 3 else None)(
            [line.split(None, 7)[7] for line in self.ok("top", "t1").splitlines()[1:]]), 5, "3 rows")
        self.assertIn("sleep 1001", commands)
        self.assertIn("sleep 1002", commands)

    def test_chosen_columns_and_execs(self):
        self.ok("run", "-d", "--name", "t1", "busybox", "sleep", "1000")
        self.ok("exec", "-d", "t1", "sleep", "1003")
        rows = wait_until(lambda: (lambda r: r if len(r) == 3 else None)(
            self.ok("top", "t1", "-o", "pid,args").splitlines()), 5, "two processes")
        self.assertEqual(rows[0].split(), ["PID", "COMMAND"])
        pid = self.inspect("t1", "State.Pid")
        self.assertIn(str(pid), [row.split()[0] for row in rows[1:]])
        self.assertIn("sleep 1003", rows[2] + rows[1])

    def test_pid_of_the_host(self):
        self.ok("run", "-d", "--name", "t1", "--pid", "host", "busybox", "sleep", "1000")
        rows = self.ok("top", "t1", "-o", "pid,comm").splitlines()
        self.assertEqual([r.split()[1] for r in rows[1:]], ["sleep"])

    def test_refusals(self):
        self.ok("run", "-d", "--name", "t1", "busybox", "sleep", "1000")
        self.assertIn("Couldn't find PID field in ps output", self.fails(1, "top", "t1", "-o", "comm"))
        self.assertIn("is not allowed", self.fails(1, "top", "t1", "-o", "comm=PID"))
        self.assertIn("ps: ", self.fails(1, "top", "t1", "--nonsense"))
        self.ok("create", "--name", "s1", "busybox", "true")
        status, _, body = self.daemon.request("GET", "/containers/s1/top")
        self.assertEqual(status, 409)
        self.assertIn("is not running", body["message"])
        self.assertIn("No such container", self.fails(1, "top", "nope"))

    def test_event(self):
        self.ok("run", "-d", "--name", "t1", "busybox", "sleep", "1000")
        since = f"{time.time():.9f}"
        self.ok("top", "t1")
        out = self.ok("events", "--since", since, "--until", f"{time.time() + 0.01:.9f}", "--filter",
                      "event=top", "--format", "{{.Actor.Attributes.name}}")
        self.assertEqual(out, "t1")


if __name__ == "__main__":
    main()
