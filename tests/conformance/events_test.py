"""GET /events: what is told, in which order, with what; filters; replay over a restart."""
import http.client
import json
import signal
import socket
import tempfile
import time

from harness import Case, main, wait_until


class Events(Case):
    def setUp(self):
        super().setUp()
        self.begin = f"{time.time():.6f}"

    def told(self, *filters, since=None, until=None):
        args = []
        for f in filters:
            args += ["--filter", f]
        out = self.ok("events", "--since", since or self.begin, "--until",
                      until or f"{time.time():.6f}", *args, "--format", "{{json .}}")
        return [json.loads(line) for line in out.split("\n") if line]

    def actions(self, *filters, **kw):
        return [e["Action"] for e in self.told(*filters, **kw)]

    def of(self, name):
        """The container's own actions, in order."""
        return self.actions("type=container", f"container={name}")

    def come_to(self, name, expected):
        """Its actions, once there are as many: some are told behind the answer to the client."""
        wait_until(lambda: len(self.of(name)) >= len(expected), what=f"{expected} of {name}")
        self.assertEqual(self.of(name), expected)

    def run_d(self, name, *command, flags=()):
        return self.ok("run", "-d", "--name", name, *flags, "busybox",
                       *(command or ("sleep", "1000")))

    # -- the order that compose's monitor relies on

    def test_order_of_an_exit(self):
        self.ok("run", "--name", "o1", "busybox", "true")
        self.come_to("o1", ["create", "attach", "start", "die"])

    def test_order_of_a_stop(self):
        self.run_d("o2", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")
        self.says("o2", "ready")
        self.ok("stop", "-t", "60", "o2")
        self.come_to("o2", ["create", "start", "kill", "die", "stop"])
        self.ok("start", "o2")
        self.run_d("o3")
        self.ok("stop", "-t", "0", "o3")
        self.come_to("o3", ["create", "start", "kill", "kill", "die", "stop"])
        signals = [e["Actor"]["Attributes"]["signal"] for e in self.told("event=kill",
                                                                         "container=o3")]
        self.assertEqual(signals, ["15", "9"])

    def test_order_of_a_restart_a_kill_and_a_removal(self):
        self.run_d("o4", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")
        self.says("o4", "ready")
        self.ok("restart", "-t", "60", "o4")
        self.come_to("o4", ["create", "start", "kill", "die", "stop", "start", "restart"])
        self.begin = f"{time.time():.6f}"
        self.ok("kill", "o4")
        self.come_to("o4", ["kill", "die"])
        self.ok("start", "o4")
        self.begin = f"{time.time():.6f}"
        self.ok("rm", "-f", "o4")
        self.come_to("o4", ["kill", "die", "destroy"])

    def test_order_of_a_policys_restart(self):
        self.run_d("o5", "sh", "-c", "sleep 0.3; exit 1", flags=("--restart", "on-failure:1"))
        self.come_to("o5", ["create", "start", "die", "start", "die"])
        wait_until(lambda: self.inspect("o5", "State.Status") == "exited", what="it has ended")
        self.assertEqual(len(self.of("o5")), 5)

    def test_die_is_told_when_inspect_shows_it(self):
        """Between die and start Restarting is true."""
        listener = self.daemon.popen("events", "--filter", "event=die", "--format", "{{.ID}}")
        wait_until(lambda: self.daemon.request("GET", "/info")[2]["NEventsListener"] > 0, 5,
                   "it listens")
        self.run_d("o6", "sh", "-c", "exit 4", flags=("--restart", "on-failure:5"))
        self.assertNotEqual(listener.stdout.readline(), b"")
        state = self.inspect("o6", "State")
        self.assertTrue(state["Restarting"] or state["ExitCode"] == 4 or state["Running"])
        self.ok("rm", "-f", "o6")
        listener.kill()
        listener.communicate()

    def test_order_of_autoremove(self):
        self.run_d("o7", "true", flags=("--rm",))
        wait_until(lambda: "destroy" in self.of("o7"), 5, "it is gone")
        self.assertEqual(self.of("o7"), ["create", "start", "die", "destroy"])

    # -- what is told

    def test_attributes(self):
        whole = self.run_d("t1", "sh", "-c", "sleep 0.2; exit 3",
                           flags=("--label", "k=v", "--label", "l="))
        self.ok("wait", "t1")
        wait_until(lambda: "die" in self.of("t1"), what="its end")
        create, start, die = self.told("type=container", "container=t1")
        for e in (create, start, die):
            attributes = e["Actor"]["Attributes"]
            self.assertEqual((attributes["name"], attributes["image"], attributes["k"],
                              attributes["l"]), ("t1", "busybox", "v", ""))
            self.assertEqual((e["Actor"]["ID"], e["id"], e["scope"], e["from"], e["status"]),
                             (whole, whole, "local", "busybox", e["Action"]))
            self.assertEqual(e["timeNano"] // 10**9, e["time"])
        self.assertEqual(die["Actor"]["Attributes"]["exitCode"], "3")
        lasted = (die["timeNano"] - start["timeNano"]) / 1e9  # on a slow machine more than what it slept
        self.assertAlmostEqual(int(die["Actor"]["Attributes"]["execDuration"]), lasted, delta=1)
        self.ok("rename", "t1", "t2")
        [rename] = self.told("event=rename")
        self.assertEqual((rename["Actor"]["Attributes"]["oldName"],
                          rename["Actor"]["Attributes"]["name"]), ("/t1", "t2"))

    def test_networks_and_volumes_come_and_go_with_the_run(self):
        whole = self.run_d("n1", flags=("-v", "vol1:/data", "-v", "vol1:/ro:ro"))
        self.ok("rm", "-f", "n1")
        wait_until(lambda: "disconnect" in self.actions("type=network"), 5, "disconnected")
        connect, disconnect = self.told("type=network", "container=n1") or \
            self.told("type=network")
        self.assertEqual((connect["Action"], disconnect["Action"]), ("connect", "disconnect"))
        self.assertEqual(connect["Actor"]["Attributes"],
                         {"container": whole, "name": "bridge", "type": "bridge"})
        self.assertEqual(connect["Actor"]["ID"],
                         json.loads(self.ok("network", "inspect", "bridge"))[0]["Id"])
        wait_until(lambda: len(self.told("type=volume", "volume=vol1")) >= 5, what="the volume's events")
        volume = self.told("type=volume", "volume=vol1")
        self.assertEqual([e["Action"] for e in volume],
                         ["create", "mount", "mount", "unmount", "unmount"])
        mounts = {e["Actor"]["Attributes"]["destination"]: e["Actor"]["Attributes"]
                  for e in volume[1:3]}
        self.assertEqual((mounts["/data"]["read/write"], mounts["/ro"]["read/write"]),
                         ("true", "false"))
        self.assertEqual(mounts["/data"]["container"], whole)
        order = [e["Type"] + " " + e["Action"] for e in self.told()]
        self.assertLess(order.index("network connect"), order.index("container start"))
        self.assertLess(order.index("volume mount"), order.index("container start"))
        self.ok("volume", "rm", "vol1")
        self.assertEqual(self.actions("type=volume", "volume=vol1")[-1], "destroy")
        self.run_d("n2", flags=("--network", "none"))
        [none] = self.told("type=network", "network=none")
        self.assertEqual(none["Actor"]["Attributes"]["type"], "null")

    def test_exec(self):
        self.run_d("e1")
        self.docker("exec", "e1", "sh", "-c", "exit 5")
        wait_until(lambda: "exec_die" in self.of("e1"), 5, "the exec's end")
        create, start, die = self.told("container=e1", "event=exec_create", "event=exec_start",
                                       "event=exec_die")
        self.assertEqual((create["Action"], start["Action"], die["Action"]),
                         ("exec_create: sh -c exit 5", "exec_start: sh -c exit 5", "exec_die"))
        self.assertEqual(die["Actor"]["Attributes"]["exitCode"], "5")
        self.assertEqual(die["Actor"]["Attributes"]["execID"],
                         create["Actor"]["Attributes"]["execID"])

    def test_images(self):
        self.ok("tag", "busybox", "other:1")
        self.ok("rmi", "other:1")
        tag, untag = self.told("type=image")
        self.assertEqual((tag["Action"], untag["Action"]), ("tag", "untag"))
        self.assertEqual(tag["Actor"]["Attributes"]["name"], "other:1")
        self.assertTrue(tag["Actor"]["ID"].startswith("sha256:"))
        self.assertEqual(self.actions("image=other"), ["tag", "untag"])

    def test_reload(self):
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.actions("type=daemon") == ["reload"], 5, "reload is told")
        [e] = self.told("event=reload")
        self.assertEqual(e["Actor"]["Attributes"]["debug"], "false")
        self.assertEqual(self.ok("version", "--format", "{{.Server.Os}}"), "linux")

    # -- filters

    def test_filters(self):
        whole = self.run_d("f1", flags=("--label", "a=1", "--label", "b"))
        self.run_d("f2", flags=("--label", "a=2"))
        self.ok("rm", "-f", "f1", "f2")
        starts = lambda *f: sorted(e["Actor"]["Attributes"]["name"]
                                   for e in self.told("event=start", *f))
        self.assertEqual(starts(), ["f1", "f2"])
        self.assertEqual(starts("label=a=1"), ["f1"])
        self.assertEqual(starts("label=a"), ["f1", "f2"])
        self.assertEqual(starts("label=a", "label=b"), ["f1"])
        for name in ("f1", whole, whole[:12], whole[:7]):
            self.assertEqual(starts(f"container={name}"), ["f1"], name)
        self.assertEqual(starts("container=f1", "container=f2"), ["f1", "f2"])
        self.assertEqual(starts("image=busybox"), ["f1", "f2"])
        self.assertEqual(starts("image=busybox:latest"), ["f1", "f2"])
        self.assertEqual(starts("image=other"), [])
        self.assertEqual(starts("type=network"), [])
        self.assertEqual(starts("scope=local"), ["f1", "f2"])
        self.assertEqual(starts("scope=swarm"), [])
        self.assertEqual(self.actions("type=container", "event=kill", "event=die",
                                      "container=f1"), ["kill", "die"])
        self.assertIn("invalid filter 'odd'", self.fails(1, "events", "--until", "0s", "--filter",
                                                         "odd=1"))

    # -- the stream

    def test_replay_over_a_restart(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(how=how.name):
                self.begin = f"{time.time():.6f}"
                folder = tempfile.mkdtemp(dir=self.daemon.scratch)
                whole = self.run_d("r1", "sh", "-c", "while [ ! -e /ctl/go ]; do sleep 0.02; done; exit 9",
                                   flags=("-v", f"{folder}:/ctl"))
                self.daemon.stop(how)
                open(f"{folder}/go", "w").close()
                self.daemon.wait_exit_written(whole)
                away = time.time()
                self.daemon.start()
                wait_until(lambda: "die" in self.of("r1"), what="its end is told")
                events = self.told("container=r1", "type=container")
                self.assertEqual([e["Action"] for e in events], ["create", "start", "die"])
                self.assertLess(events[-1]["timeNano"] / 1e9, away)  # when it was, not when heard
                self.assertEqual(events[-1]["Actor"]["Attributes"]["exitCode"], "9")
                self.ok("rm", "r1")

    def test_live_and_until(self):
        for seconds in (4, 15, 50):  # the least in which this machine listens and creates
            until = time.time() + seconds
            p = self.daemon.popen("events", "--until", f"{until:.6f}", "--filter", "container=l1",
                                  "--format", "{{.Action}}")
            wait_until(lambda: p.poll() is not None
                       or self.daemon.request("GET", "/info")[2]["NEventsListener"] > 0, what="it listens")
            self.ok("create", "--name", "l1", "busybox", "true")
            in_time = time.time() < until
            out, _ = p.communicate(timeout=120)
            self.assertGreaterEqual(time.time(), until)
            if in_time:
                break
            self.ok("rm", "l1")
        self.assertEqual(out, b"create\n")

    def test_the_head_comes_before_the_first_event(self):
        c = http.client.HTTPConnection("localhost")
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(60)
        c.sock.connect(self.daemon.socket)
        c.request("GET", "/v1.41/events")
        r = c.getresponse()  # before anything has happened
        self.assertEqual((r.status, r.getheader("Content-Type")), (200, "application/json"))
        self.ok("create", "--name", "h1", "busybox", "true")
        event = json.loads(r.readline())
        self.assertEqual((event["status"], event["Action"], event["from"]),
                         ("create", "create", "busybox"))
        c.close()

    def test_bad_times(self):
        status, _, body = self.daemon.request("GET", "/events?since=5&until=2")
        self.assertEqual(status, 400)
        self.assertIn("cannot be after", body["message"])
        self.assertEqual(self.daemon.request("GET", "/events?since=never")[0], 400)


if __name__ == "__main__":
    main()
