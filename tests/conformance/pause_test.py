"""pause, unpause and update."""
import json
import os
import signal
import time

from harness import Case, main, wait_until

TICK = "while :; do echo x >> /tick; sleep 0.02; done"


class Pause(Case):
    def start(self, name, *command, flags=()):
        return self.ok("run", "-d", "--name", name, *flags, "busybox",
                       *(command or ("sh", "-c", TICK)))

    def ticks(self, pid):
        try:
            return os.stat(f"/proc/{pid}/root/tick").st_size
        except OSError:
            return 0

    def process_state(self, pid):
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]

    def test_paused_stands_still_and_goes_on(self):
        whole = self.start("p1")
        pid = self.inspect("p1", "State.Pid")
        begin = f"{time.time():.6f}"
        self.assertEqual(self.ok("pause", "p1"), "p1")
        state = self.inspect("p1", "State")
        self.assertEqual((state["Status"], state["Running"], state["Paused"]),
                         ("paused", True, True))
        self.assertRegex(self.ok("ps", "--format", "{{.Status}}"), r"^Up .* \(Paused\)$")
        self.assertEqual(self.ok("ps", "-q", "--filter", "status=paused"), whole[:12])
        wait_until(lambda: self.process_state(pid) == "T", what="it is stopped")
        status, _, body = self.daemon.request("POST", "/containers/p1/pause")
        self.assertEqual((status, body["message"]), (409, f"Container {whole} is already paused"))
        self.assertIn("is paused, unpause the container before exec",
                      self.fails(1, "exec", "p1", "true"))
        self.assertIn("container is paused and must be unpaused first", self.fails(1, "rm", "p1"))
        self.assertIn("cannot start a paused container, try unpause instead",
                      self.fails(1, "start", "p1"))
        self.ok("unpause", "p1")
        self.assertEqual(self.inspect("p1", "State.Status"), "running")
        self.assertEqual(self.ok("exec", "p1", "echo", "on"), "on")
        status, _, body = self.daemon.request("POST", "/containers/p1/unpause")
        self.assertEqual((status, body["message"]), (409, f"Container {whole} is not paused"))
        out = self.ok("events", "--since", begin, "--until", f"{time.time():.6f}", "--filter",
                      "event=pause", "--filter", "event=unpause", "--format", "{{.Action}}")
        self.assertEqual(out.split(), ["pause", "unpause"])

    def test_what_does_not_run_cannot_be_paused(self):
        whole = self.ok("create", "--name", "p2", "busybox", "true")
        for what in ("pause", "unpause"):
            status, _, body = self.daemon.request("POST", f"/containers/p2/{what}")
            self.assertEqual((status, body["message"]), (409, f"Container {whole} is not running"))
        status, _, body = self.daemon.request("POST", "/containers/nothing/pause")
        self.assertEqual((status, body["message"]), (404, "No such container: nothing"))

    def test_stop_kill_and_rm_end_a_paused_one(self):
        self.start("p3", "sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done")
        self.says("p3", "ready")
        self.ok("pause", "p3")
        self.ok("stop", "-t", "60", "p3")
        self.assertEqual(self.inspect("p3", "State.ExitCode"), 4)
        self.ok("start", "p3")
        self.ok("pause", "p3")
        self.ok("kill", "p3")
        state = self.inspect("p3", "State")
        self.assertEqual((state["Status"], state["ExitCode"], state["Paused"]),
                         ("exited", 137, False))
        self.ok("start", "p3")
        self.ok("pause", "p3")
        self.ok("rm", "-f", "p3")
        self.assertIn("No such", self.fails(1, "inspect", "p3"))

    def test_a_signal_waits_until_unpause(self):
        self.start("p4", "sh", "-c",
                   "trap 'echo usr1; exit 6' USR1; echo ready; while :; do sleep 0.05; done")
        self.says("p4", "ready")
        self.ok("pause", "p4")
        self.ok("kill", "-s", "USR1", "p4")
        self.assertEqual(self.inspect("p4", "State.Status"), "paused")
        self.ok("unpause", "p4")
        self.assertEqual(self.ok("wait", "p4"), "6")

    def test_it_stays_paused_over_a_restart_of_the_daemon(self):
        self.start("p5")
        pid = self.inspect("p5", "State.Pid")
        self.ok("pause", "p5")
        for how in (signal.SIGKILL, signal.SIGTERM):
            self.daemon.stop(how)
            self.daemon.start()
            self.assertEqual(self.inspect("p5", "State.Status"), "paused")
            wait_until(lambda: self.process_state(pid) == "T", what="it is stopped")
        self.ok("unpause", "p5")
        before = self.ticks(pid)
        if before:
            wait_until(lambda: self.ticks(pid) > before, 5, "it goes on")
        self.assertEqual(self.ok("exec", "p5", "echo", "on"), "on")

    def test_info_says_how_it_pauses(self):
        info = json.loads(self.ok("info", "--format", "{{json .}}"))
        if info["CgroupDriver"] == "none":
            self.assertTrue([w for w in info["Warnings"] if "SIGSTOP" in w], info["Warnings"])


class Update(Case):
    def test_the_restart_policy_of_one_that_runs(self):
        whole = self.ok("run", "-d", "--name", "u1", "busybox", "sh", "-c",
                        "while ! test -e /go; do sleep 0.05; done; rm /go; exit 3")
        begin = f"{time.time():.6f}"
        self.assertEqual(self.ok("update", "--restart", "on-failure:1", "u1"), "u1")
        self.assertEqual(self.inspect("u1", "HostConfig.RestartPolicy"),
                         {"Name": "on-failure", "MaximumRetryCount": 1})
        with open(f"{self.daemon.data}/containers/{whole}/config.json") as f:
            self.assertIn("on-failure", f.read())
        first = self.inspect("u1", "State.StartedAt")
        self.docker("exec", "u1", "touch", "/go")  # its code: the container may end before the exec has
        wait_until(lambda: self.inspect("u1", "State.Running")
                   and self.inspect("u1", "State.StartedAt") != first, 5, "it was started again")
        self.ok("update", "--restart", "no", "u1")
        self.docker("exec", "u1", "touch", "/go")
        self.assertEqual(self.ok("wait", "u1"), "3")
        self.assertEqual(self.inspect("u1", "State.Status"), "exited")
        out = self.ok("events", "--since", begin, "--until", f"{time.time():.6f}", "--filter",
                      "event=update", "--format", "{{.Action}}")
        self.assertEqual(out.split(), ["update", "update"])

    def test_limits_that_cannot_be_kept_are_told_and_not_stored(self):
        self.ok("create", "--name", "u2", "busybox", "true")
        status, _, body = self.daemon.request("POST", "/containers/u2/update",
                                              {"Memory": 64 << 20, "PidsLimit": 10})
        self.assertEqual(status, 200)
        if json.loads(self.ok("info", "--format", "{{json .}}"))["CgroupDriver"] == "none":
            self.assertEqual(len(body["Warnings"]), 2, body)
            self.assertEqual(self.inspect("u2", "HostConfig.Memory"), 0)
            self.assertIsNone(self.inspect("u2", "HostConfig.PidsLimit"))
        status, _, body = self.daemon.request("POST", "/containers/u2/update", {})
        self.assertEqual((status, body), (200, {"Warnings": []}))

    def test_what_cannot_be_updated(self):
        whole = self.ok("create", "--rm", "--name", "u3", "busybox", "true")
        status, _, body = self.daemon.request("POST", "/containers/u3/update",
                                              {"RestartPolicy": {"Name": "always"}})
        self.assertEqual((status, body["message"]), (
            409, f"Cannot update container {whole}: Restart policy cannot be updated because "
                 "AutoRemove is enabled for the container"))
        for bad in ({"Memory": 1}, {"RestartPolicy": {"Name": "sometimes"}},
                    {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}},
                    {"Memory": "much"}):
            status, _, body = self.daemon.request("POST", "/containers/u3/update", bad)
            self.assertEqual(status, 400, f"{bad}: {body}")
        self.assertEqual(self.inspect("u3", "HostConfig.RestartPolicy.Name"), "no")
        self.assertEqual(self.daemon.request("POST", "/containers/none/update", {})[0], 404)


if __name__ == "__main__":
    main()
