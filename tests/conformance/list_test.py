"""docker ps: every filter, order, limits, sizes, its errors; with many containers beside it."""
import json
import multiprocessing
import os
import threading
import time

from harness import Case, main, wait_until
from load_test import ask_meanwhile, scheduled, share_of


def cpu_seconds(pid):
    """(in its own code, in the kernel)"""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return [int(x) / os.sysconf("SC_CLK_TCK") for x in fields[11:13]]


class Filters(Case):
    def names(self, *filters, all=True):
        """Names, newest first."""
        args = []
        for f in filters:
            args += ["--filter", f]
        flags = ["-a"] if all else []
        return self.ok("ps", *flags, *args, "--format", "{{.Names}}").split()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        d = cls.daemon

        def ok(*args, code=0):
            r = d.docker(*args)
            assert r.code == code, r
            return r.out.strip()
        ok("tag", "busybox", "other:1")
        cls.first = ok("create", "--name", "first", "--label", "a=1", "--label", "b", "busybox",
                       "true")
        ok("run", "--name", "done", "-v", "vol:/data", "busybox", "sh", "-c", "exit 3",
           code=3)
        cls.web = ok("run", "-d", "--name", "web-1", "-p", "127.0.0.1::80", "--expose", "90",
                     "--label", "a=2", "-v", "/tmp:/host", "other:1", "sleep", "1000")
        cls.port = ok("port", "web-1", "80").rsplit(":", 1)[1]
        ok("run", "-d", "--name", "web-2", "--network", "none", "busybox", "sleep", "1000")

    def tearDown(self):
        pass  # the containers serve all tests

    def test_plain(self):
        self.assertEqual(self.names(), ["web-2", "web-1", "done", "first"])
        self.assertEqual(self.names(all=False), ["web-2", "web-1"])
        self.assertEqual(self.ok("ps", "-n", "3", "--format", "{{.Names}}").split(),
                         ["web-2", "web-1", "done"])
        self.assertEqual(self.ok("ps", "-l", "--format", "{{.Names}}"), "web-2")

    def test_id(self):
        self.assertEqual(self.names(f"id={self.first[:8]}"), ["first"])
        self.assertEqual(self.names(f"id={self.first}"), ["first"])
        self.assertEqual(self.names("id=zzz"), [])

    def test_name(self):
        for text, expected in (("web", ["web-2", "web-1"]), ("^/web-1$", ["web-1"]),
                               ("^web-[2-9]$", ["web-2"]), ("^eb", []), (r"web-\d", ["web-2", "web-1"]),
                               ("irs", ["first"])):
            self.assertEqual(self.names(f"name={text}"), expected, text)
        self.assertEqual(self.names("name=first", "name=done"), ["done", "first"])

    def test_label(self):
        self.assertEqual(self.names("label=a"), ["web-1", "first"])
        self.assertEqual(self.names("label=a=1"), ["first"])
        self.assertEqual(self.names("label=a", "label=b"), ["first"])
        self.assertEqual(self.names("label=a=1", "label=a=2"), [])

    def test_status(self):
        self.assertEqual(self.names("status=exited", all=False), ["done"])
        self.assertEqual(self.names("status=created", "status=running", all=False),
                         ["web-2", "web-1", "first"])

    def test_exited(self):
        self.assertEqual(self.names("exited=3"), ["done"])
        self.assertEqual(self.names("exited=0"), [])

    def test_ancestor(self):
        image = self.inspect("busybox", "Id")
        self.assertEqual(self.names("ancestor=busybox"), ["web-2", "web-1", "done", "first"])
        self.assertEqual(self.names("ancestor=other:1"), ["web-2", "web-1", "done", "first"])
        self.assertEqual(self.names(f"ancestor={image}"), ["web-2", "web-1", "done", "first"])
        self.assertEqual(self.names("ancestor=nope"), [])

    def test_before_and_since(self):
        self.assertEqual(self.names("before=web-1"), ["done", "first"])
        self.assertEqual(self.names("since=done"), ["web-2", "web-1"])
        self.assertEqual(self.names("since=first", "before=web-1"), ["done"])
        self.assertIn("No such container: nope", self.fails(1, "ps", "-f", "before=nope"))

    def test_publish_and_expose(self):
        self.assertEqual(self.names(f"publish={self.port}"), ["web-1"])
        self.assertEqual(self.names(f"publish={self.port}/udp"), [])
        self.assertEqual(self.names("publish=1024-65535/tcp"), ["web-1"])
        self.assertEqual(self.names("expose=80"), ["web-1"])
        self.assertEqual(self.names("expose=85-95"), ["web-1"])
        self.assertEqual(self.names("expose=91"), [])

    def test_network(self):
        self.assertEqual(self.names("network=none"), ["web-2"])
        net = self.ok("network", "inspect", "-f", "{{.Id}}", "bridge")
        self.assertEqual(self.names(f"network={net}", all=False), ["web-1"])
        self.assertEqual(self.names("network=nope"), [])

    def test_volume(self):
        self.assertEqual(self.names("volume=vol"), ["done"])
        self.assertEqual(self.names("volume=/data"), ["done"])
        self.assertEqual(self.names("volume=/host"), ["web-1"])
        self.assertEqual(self.names("volume=/tmp"), ["web-1"])

    def test_health_is_task_isolation(self):
        self.assertEqual(len(self.names("health=none")), 4)
        self.assertEqual(self.names("health=healthy"), [])
        self.assertEqual(len(self.names("is-task=false")), 4)
        self.assertEqual(self.names("is-task=true"), [])
        self.assertEqual(len(self.names("isolation=default")), 4)

    def test_bad_filters(self):
        for text, message in (("odd=1", "invalid filter 'odd'"),
                              ("status=odd", "invalid filter 'status=odd'"),
                              ("exited=x", "invalid filter 'exited=x'"),
                              ("is-task=x", "invalid filter 'is-task=x'"),
                              ("health=x", "Unrecognised filter value for health: x"),
                              ("publish=x", "invalid filter 'publish=x'")):
            self.assertIn(message, self.fails(1, "ps", "-f", text))
        for filters in ("{", "[1]", '{"name":1}', '{"name":[1]}'):
            status, _, body = self.daemon.request(
                "GET", f"/containers/json?filters={filters.replace('{', '%7B').replace('[', '%5B')}")
            self.assertEqual(status, 400, (filters, body))

    def test_both_shapes(self):
        for filters in ('{"name":["first"]}', '{"name":{"first":true}}'):
            quoted = "".join(f"%{ord(c):02x}" for c in filters)
            _, _, body = self.daemon.request("GET", f"/containers/json?all=1&filters={quoted}")
            self.assertEqual([c["Names"] for c in body], [["/first"]])

    def test_size(self):
        self.ok("exec", "web-2", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null")
        _, _, body = self.daemon.request("GET", "/containers/json?size=1")
        web2 = next(c for c in body if c["Names"] == ["/web-2"])
        self.assertGreaterEqual(web2["SizeRw"], 3 << 20)
        self.assertLess(web2["SizeRw"], 4 << 20)
        self.assertGreater(web2["SizeRootFs"], web2["SizeRw"])
        _, _, body = self.daemon.request("GET", "/containers/json")
        self.assertNotIn("SizeRw", body[0])
        self.assertIn("3.15MB (virtual", self.ok("ps", "-s", "-f", "name=web-2"))
        one = json.loads(self.ok("inspect", "-s", "web-2"))[0]
        self.assertEqual(one["SizeRw"], web2["SizeRw"])
        self.assertEqual(one["SizeRootFs"], web2["SizeRootFs"])
        self.assertNotIn("SizeRw", self.inspect("web-2"))

    def test_fields(self):
        _, _, body = self.daemon.request("GET", "/containers/json?all=1")
        web1 = next(c for c in body if c["Names"] == ["/web-1"])
        self.assertEqual(web1["Image"], "other:1")
        self.assertEqual(web1["Command"], "sleep 1000")
        self.assertEqual(web1["HostConfig"]["NetworkMode"], "bridge")
        self.assertEqual(web1["State"], "running")
        self.assertRegex(web1["Status"], "^Up ")
        self.assertEqual(web1["Labels"], {"a": "2"})
        ports = {(p["PrivatePort"], p["Type"]): p for p in web1["Ports"]}
        self.assertEqual(ports[80, "tcp"]["PublicPort"], int(self.port))
        self.assertEqual(ports[80, "tcp"]["IP"], "127.0.0.1")
        self.assertNotIn("PublicPort", ports[90, "tcp"])
        self.assertTrue(web1["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])
        self.assertEqual([m["Destination"] for m in web1["Mounts"]], ["/host"])


class Many(Case):
    """A bounded form of tests/bench/many.py."""
    COUNT = 200

    def test_list_and_restart_with_many(self):
        d = self.daemon

        def create(n):
            for i in range(n):
                status, _, body = d.request("POST", "/containers/create",
                                            {"Image": "busybox", "Cmd": ["true"],
                                             "Labels": {"i": str(i)}})
                self.assertEqual(status, 201, body)
        makers = [threading.Thread(target=create, args=(self.COUNT // 4,)) for _ in range(4)]
        for t in makers:
            t.start()
        for t in makers:
            t.join()

        def quick():
            begin = time.monotonic()
            _, _, body = d.request("GET", "/containers/json?all=1")
            took = time.monotonic() - begin
            self.assertEqual(len(body), self.COUNT)
            return took < 0.1  # 4 ms on an idle machine, with Python's share
        wait_until(quick, what="a list in 0.1 s")
        d.kill()
        d.start()
        # Its processor time, which is the same beside others: 0.3 s, waiting included, on an idle machine.
        self.assertLess(sum(cpu_seconds(d.process.pid)), 3)
        self.assertEqual(len(d.request("GET", "/containers/json?all=1")[2]), self.COUNT)

    def test_list_stays_quick_while_containers_come_and_go(self):
        d = self.daemon
        stop = threading.Event()
        failed = []

        def churn(n):
            i = 0
            while not stop.is_set():
                i += 1
                name = f"c{n}-{i}"
                for r in (d.docker("run", "--network", "none", "--name", name, "busybox", "true"),
                          d.docker("rm", "-f", name)):
                    if r.code != 0:
                        failed.append(r)
        threads = [threading.Thread(target=churn, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        # A process of its own: the threads of this one would have it wait for the interpreter.
        done, results = multiprocessing.Event(), multiprocessing.Queue()
        asker = multiprocessing.Process(target=ask_meanwhile, args=(d.socket, done, results))
        asker.start()
        results.get()
        before = scheduled(d.process.pid)
        time.sleep(4)  # the more, the better; all that is said of them holds for each
        done.set()
        times = sorted(results.get())
        longer = share_of(before, scheduled(d.process.pid))
        asker.join()
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        self.assertLess(times[len(times) // 2], 100 * longer, times[-5:])


class ImageFilters(Case):
    def test_what_is_no_filter_of_images_is_refused(self):
        for flag, said in (("label!=a", "invalid filter 'label!'"), ("dangling=maybe", "invalid filter 'dangling=[maybe]'"),
                           ("since=none", "No such image: none:latest")):
            self.assertIn(said, self.fails(1, "images", "--filter", flag))

    def test_the_configuration_has_what_the_version_knows(self):
        for version, there in (("1.49", True), ("1.50", False), ("1.51", False)):
            config = self.daemon.request("GET", f"/v{version}/images/busybox/json")[2]["Config"]
            for name in ("Hostname", "AttachStdin", "Tty", "Image"):
                self.assertEqual(name in config, there, (version, name))
            self.assertEqual(config["Cmd"], ["sh"])


if __name__ == "__main__":
    main()
