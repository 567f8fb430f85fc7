"""Health checks: run, judged, told; their timeouts, their pauses, the daemon's restart."""
import datetime
import json
import time

from harness import Case, main, wait_until

# A probe that is not quick is no failure here: on a loaded machine it may take seconds.
SOON = ("--health-interval", "100ms", "--health-timeout", "60s")


class Health(Case):
    def start(self, name, *flags, command=("sleep", "1000"), check="test -e /well"):
        self.ok("run", "-d", "--name", name, *SOON, "--health-cmd", check, *flags, "busybox",
                *command)

    def health(self, name):
        return self.inspect(name, "State.Health")

    def becomes(self, name, status, seconds=8):
        wait_until(lambda: self.health(name)["Status"] == status, seconds, f"{name} is {status}")

    def events(self, since, *filters):
        args = []
        for f in filters:
            args += ["--filter", f]
        out = self.ok("events", "--since", since, "--until", f"{time.time():.6f}", *args,
                      "--format", "{{json .}}")
        return [json.loads(line) for line in out.split("\n") if line]

    def test_starting_unhealthy_healthy(self):
        begin = f"{time.time():.6f}"
        self.ok("run", "-d", "--name", "h0", "--health-cmd", "true", "--health-interval", "1h",
                "busybox", "sleep", "1000")
        self.assertEqual(self.inspect("h0", "State.Health.Status"), "starting")
        self.ok("rm", "-f", "h0")
        self.start("h1", "--health-retries", "2", check="echo looked; test -e /well")
        self.becomes("h1", "unhealthy")
        health = self.health("h1")
        self.assertGreaterEqual(health["FailingStreak"], 2)
        self.assertEqual((health["Log"][-1]["ExitCode"], health["Log"][-1]["Output"]),
                         (1, "looked\n"))
        self.assertLess(health["Log"][-1]["Start"], health["Log"][-1]["End"])
        self.assertRegex(self.ok("ps", "--format", "{{.Status}}"), r"^Up .* \(unhealthy\)$")
        self.ok("exec", "h1", "touch", "/well")
        self.becomes("h1", "healthy")
        self.assertEqual(self.health("h1")["FailingStreak"], 0)
        self.assertRegex(self.ok("ps", "--format", "{{.Status}}"), r"^Up .* \(healthy\)$")
        self.assertEqual(self.ok("ps", "--filter", "health=healthy", "--format", "{{.Names}}"),
                         "h1")
        self.assertEqual(self.ok("ps", "-q", "--filter", "health=unhealthy"), "")
        wait_until(lambda: len(self.health("h1")["Log"]) == 5, 5, "five entries are kept")
        told = [e["Action"] for e in self.events(begin, "event=health_status")]
        self.assertEqual(told, ["health_status: unhealthy", "health_status: healthy"])
        probes = self.events(begin, "event=exec_create", "event=exec_start", "event=exec_die")
        self.assertEqual([e["Action"] for e in probes[:3]],
                         ["exec_create: /bin/sh -c echo looked; test -e /well",
                          "exec_start: /bin/sh -c echo looked; test -e /well", "exec_die"])
        self.assertEqual(len({e["Actor"]["Attributes"]["execID"] for e in probes[:3]}), 1)
        self.assertEqual(probes[2]["Actor"]["Attributes"]["exitCode"], "1")
        # What is over is not kept by the hundred.
        self.assertLessEqual(len(self.inspect("h1", "ExecIDs") or []), 2)
        self.ok("stop", "-t", "0", "h1")
        self.assertEqual(self.health("h1")["Status"], "unhealthy")

    def test_an_overdue_probe_is_killed(self):
        self.start("h2", "--health-timeout", "200ms", "--health-retries", "1",
                   check="echo before; exec sleep 77")
        self.becomes("h2", "unhealthy")
        # In 200 ms a probe may not have come to say anything, on a loaded machine: one of them does.
        def spoke():
            for entry in self.health("h2")["Log"]:
                self.assertEqual(entry["ExitCode"], -1)
                self.assertIn("Health check exceeded timeout (200ms)", entry["Output"])
                if entry["Output"] == "Health check exceeded timeout (200ms): before\n":
                    return True
            return False
        wait_until(spoke, 120, "a probe's output is kept")
        self.ok("exec", "h2", "true")
        self.assertLessEqual(self.ok("exec", "h2", "ps").count("sleep 77"), 1)

    def test_a_probe_that_cannot_run(self):
        self.ok("create", "--name", "h3", "busybox", "true")
        status, _, body = self.daemon.request("POST", "/containers/create?name=h4", {
            "Image": "busybox", "Cmd": ["sleep", "1000"],
            "Healthcheck": {"Test": ["CMD", "/nothing"], "Interval": 100_000_000, "Retries": 1}})
        self.assertEqual((status, body["Warnings"]), (201, []))
        self.ok("start", "h4")
        self.becomes("h4", "unhealthy")
        entry = self.health("h4")["Log"][0]
        self.assertEqual(entry["ExitCode"], -1)
        self.assertIn("/nothing", entry["Output"])

    def test_the_start_period_excuses_failures(self):
        self.start("h5", "--health-retries", "1", "--health-start-period", "1h",
                   "--health-start-interval", "100ms", "--health-interval", "1h")
        wait_until(lambda: len(self.health("h5")["Log"]) >= 3, 8, "three probes")
        health = self.health("h5")
        self.assertEqual((health["Status"], health["FailingStreak"]), ("starting", 0))
        self.assertRegex(self.ok("ps", "--format", "{{.Status}}"), r"\(health: starting\)$")
        self.ok("exec", "h5", "touch", "/well")
        self.becomes("h5", "healthy")

    def test_long_output_is_cut(self):
        self.start("h6", check="head -c 9000 /dev/zero | tr '\\0' x")
        self.becomes("h6", "healthy")
        self.assertEqual(self.health("h6")["Log"][0]["Output"], "x" * 4096 + "...")

    def test_long_output_is_cut_between_characters(self):
        self.start("h9", check="i=0; printf xx; while [ $i -lt 2000 ]; do printf '\\342\\202\\254'; i=$((i+1)); done")
        self.becomes("h9", "healthy", 20)
        self.assertEqual(self.health("h9")["Log"][0]["Output"], "xx" + "\u20ac" * 1364 + "...")

    def test_output_that_is_no_text_is_read_again_after_a_kill_of_the_daemon(self):
        """As its file could not be read, the container was shown as dead, and lost, while it ran."""
        self.start("h10", check="printf 'caf\\351 \\377\\000\\200'")
        self.becomes("h10", "healthy")
        self.assertEqual(self.health("h10")["Log"][0]["Output"], "caf\ufffd \ufffd\0\ufffd")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.inspect("h10", "State.Status"), "running")
        self.assertEqual(self.health("h10")["Log"][0]["Output"], "caf\ufffd \ufffd\0\ufffd")
        self.ok("exec", "h10", "true")

    def test_paused_is_not_probed(self):
        self.start("h7")
        self.start("beside")
        wait_until(lambda: self.health("h7")["Log"], what="a probe")
        self.ok("pause", "h7")
        paused = datetime.datetime.now(datetime.UTC).isoformat()
        since = lambda name: [e for e in self.health(name)["Log"] if e["Start"] > paused]
        # Another one's probes, as often, have begun since then, and again behind those: nothing of this one has.
        wait_until(lambda: len(since("beside")) == 5, what="five probes beside it")
        self.assertEqual(since("h7"), [])
        self.ok("unpause", "h7")
        wait_until(lambda: since("h7"), what="probes go on")

    def test_it_goes_on_over_a_restart_of_the_daemon(self):
        self.start("h8")
        self.ok("exec", "h8", "touch", "/well")
        self.becomes("h8", "healthy")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.health("h8")["Status"], "healthy")
        self.ok("exec", "h8", "rm", "/well")
        self.becomes("h8", "unhealthy")

    def test_inherited_from_the_image_with_overrides_and_none(self):
        self.ok("import", "-c", "HEALTHCHECK --interval=100ms CMD test -e /well", "-c",
                'CMD ["sleep","1000"]', "-c", "ENV PATH=/bin",
                __import__("harness").busybox_tar(), "checked:latest")
        self.assertIn("Healthcheck", self.inspect("checked:latest", "Config"))
        self.ok("run", "-d", "--name", "i1", "--health-retries", "1", "checked")
        config = self.inspect("i1", "Config.Healthcheck")
        self.assertEqual((config["Test"], config["Retries"], config["Interval"]),
                         (["CMD-SHELL", "test -e /well"], 1, 100_000_000))
        self.becomes("i1", "unhealthy")
        self.ok("run", "-d", "--name", "i2", "--no-healthcheck", "checked")
        self.assertNotIn("Health", self.inspect("i2", "State"))
        self.assertEqual(self.ok("ps", "--filter", "health=none", "--format", "{{.Names}}"), "i2")

    def test_bad_settings(self):
        for bad, text in (({"Interval": 1000}, "Interval in Healthcheck cannot be less than 1ms"),
                          ({"Timeout": 5}, "Timeout in Healthcheck cannot be less than 1ms"),
                          ({"Retries": -1}, "Retries in Healthcheck cannot be negative"),
                          ({"StartPeriod": 5}, "StartPeriod in Healthcheck cannot be less than"),
                          ({"StartInterval": 5}, "StartInterval in Healthcheck cannot be less")):
            status, _, body = self.daemon.request("POST", "/containers/create", {
                "Image": "busybox", "Healthcheck": {"Test": ["CMD", "true"], **bad}})
            self.assertEqual(status, 400)
            self.assertIn(text, body["message"])

    def test_many_at_once(self):
        for i in range(8):
            self.start(f"m{i}", check="true")
        for i in range(8):
            self.becomes(f"m{i}", "healthy", 20)
        self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)


if __name__ == "__main__":
    main()
