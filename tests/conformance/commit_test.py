"""docker commit: the layer, the configuration, the history; what later layers, save and push make of it."""
import io
import json
import os
import tarfile
import tempfile
import threading
import time

from harness import Case, busybox_tar, main, wait_until


class Commit(Case):
    def tearDown(self):
        super().tearDown()
        ids = [i for i in self.ok("images", "-q", "--no-trunc").split() if i != self.busybox()]
        if ids:
            self.docker("rmi", "-f", *dict.fromkeys(ids))

    def busybox(self):
        return self.inspect("busybox", "Id")

    def changed(self, name="c1", *flags):
        self.ok("run", "--name", name, *flags, "busybox", "sh", "-c",
                "echo new > /root/new; rm /etc/group; rm -r /home; chown 33:44 /root/new; "
                "chmod 4750 /root/new; ln /root/new /root/hard; ln -s new /root/soft; "
                "rm -r /var; mkdir /var; touch /var/only; mkfifo /root/pipe")
        return name

    def test_changes_become_a_layer(self):
        self.changed()
        image = self.ok("commit", "-m", "hello", "-a", "me <me@x>", "c1", "committed:1")
        i = self.inspect("committed:1")
        self.assertEqual((i["Id"], i["Comment"], i["Author"]), (image, "hello", "me <me@x>"))
        self.assertEqual(i["Parent"], self.busybox())
        base = self.inspect("busybox")
        self.assertEqual(i["RootFS"]["Layers"][:-1], base["RootFS"]["Layers"])
        self.assertEqual(len(i["RootFS"]["Layers"]), len(base["RootFS"]["Layers"]) + 1)
        out = self.ok("run", "--rm", "committed:1", "sh", "-c",
                      "cat /root/soft; stat -c '%u:%g %a %h' /root/new; ls /etc /home /var 2>/dev/null; "
                      "[ -p /root/pipe ] && echo pipe; [ -e /home ] || echo gone")
        self.assertEqual(out.split("\n")[:2], ["new", "33:44 4750 2"])
        self.assertNotIn("group", out)
        self.assertTrue(out.endswith("pipe\ngone"), out)
        self.assertIn("only", out)
        history = self.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "committed:1")
        self.assertIn("echo new > /root/new", history.splitlines()[0])
        self.assertTrue(history.splitlines()[0].endswith("|hello"))

    def test_the_saved_layer_is_as_oci_says(self):
        self.changed()
        self.ok("commit", "c1", "committed:2")
        r = self.docker("save", "committed:2")
        with tarfile.open(fileobj=io.BytesIO(r.out_bytes)) as t:
            manifest = json.load(t.extractfile("manifest.json"))[0]
            with tarfile.open(fileobj=io.BytesIO(t.extractfile(manifest["Layers"][-1]).read())) as l:
                members = {m.name: m for m in l.getmembers()}
        for name in ("etc/.wh.group", ".wh.home", "root/new", "root/soft", "var/only"):
            self.assertIn(name, members)
        for name in ("etc/hosts", "etc/resolv.conf", "dev", "proc", "home"):
            self.assertNotIn(name, members)
        if self.ok("info", "-f", "{{.Driver}}") == "overlay":
            self.assertIn("var/.wh..wh..opq", members)
        self.assertTrue(members["root/hard"].islnk() or members["root/new"].islnk())
        # And it comes back.
        self.ok("rmi", "-f", "committed:2")
        self.ok("load", input=r.out_bytes)
        self.assertEqual(self.ok("run", "--rm", "committed:2", "cat", "/var/../root/new"), "new")

    def test_changes_of_the_configuration(self):
        self.ok("create", "--name", "k1", "-e", "FROM_RUN=1", "-l", "own=yes", "-w", "/tmp", "busybox", "sh")
        self.ok("commit", "-c", 'CMD ["echo","hi"]', "-c", "ENTRYPOINT [\"env\"]", "-c", "ENV A=1 B=two",
                "-c", "EXPOSE 80 53/udp", "-c", "LABEL l=1", "-c", "USER web", "-c", "VOLUME /v",
                "-c", "WORKDIR /var", "-c", "ONBUILD RUN true", "-c", "STOPSIGNAL SIGINT",
                "-c", "HEALTHCHECK --interval=5s CMD true", "k1", "cfg:1")
        c = self.inspect("cfg:1", "Config")
        self.assertEqual((c["Cmd"], c["Entrypoint"]), (["echo", "hi"], ["env"]))
        for variable in ("FROM_RUN=1", "A=1", "B=two"):
            self.assertIn(variable, c["Env"])
        self.assertEqual(set(c["ExposedPorts"]), {"80/tcp", "53/udp"})
        self.assertEqual((c["Labels"], c["User"], c["WorkingDir"]), ({"l": "1", "own": "yes"}, "web", "/var"))
        self.assertEqual((list(c["Volumes"]), c["OnBuild"]), (["/v"], ["RUN true"]))
        self.assertEqual((c["StopSignal"], c["Healthcheck"]["Interval"]), ("SIGINT", 5000000000))

    def test_changes_are_lines_of_a_dockerfile(self):
        self.ok("create", "--name", "l1", "-e", "FROM_RUN=1", "busybox", "sh")
        self.ok("commit", "-c", "ENV A=$PATH B=${FROM_RUN:-no}", "-c", "ENV C=$A:/more\nLABEL l=$B\n# none\nUSER web",
                "l1", "lines:1")
        c = self.inspect("lines:1", "Config")
        path = "/bin:/usr/bin:/sbin"
        for variable in (f"A={path}", "B=1", f"C={path}:/more"):
            self.assertIn(variable, c["Env"])
        self.assertEqual((c["Labels"], c["User"]), ({"l": "1"}, "web"))
        self.assertIn("RUN is not a valid change command", self.fails(1, "commit", "-c", "ENV X=1\nRUN true", "l1"))

    def test_the_body_is_a_configuration(self):
        self.ok("create", "--name", "b1", "-e", "X=1", "busybox", "sh")
        status, _, answer = self.daemon.request("POST", "/commit?container=b1&repo=body&tag=1",
                                                {"Cmd": ["true"], "Env": ["X=2", "Y=3"]})
        self.assertEqual(status, 201, answer)
        c = self.inspect("body:1", "Config")
        self.assertEqual((c["Cmd"], c["Env"][:2]), (["true"], ["X=2", "Y=3"]))
        self.assertIn("PATH=/bin:/usr/bin:/sbin", c["Env"])

    def test_the_root_directory(self):
        """An image's tar may say what it likes of "/"; what a container made of its own is kept."""
        for mode in (0o700, 0o555, 0o777):
            with tempfile.TemporaryFile() as f:
                with tarfile.open(busybox_tar()) as old, tarfile.open(fileobj=f, mode="w") as new:
                    for m in old:
                        if m.name in (".", "./"):
                            m.mode, m.uid, m.gid = mode, 1000, 1000
                        new.addfile(m, old.extractfile(m) if m.isreg() else None)
                f.seek(0)
                self.ok("import", "-c", "ENV PATH=/bin", "-", "root:1", input=f.read())
            self.assertEqual(self.ok("run", "--rm", "-u", "1000", "root:1", "stat", "-c", "%a %u:%g", "/"), "755 0:0")
        layers = len(self.inspect("root:1", "RootFS.Layers"))
        self.ok("run", "--name", "root1", "root:1", "chmod", "1711", "/")
        self.ok("commit", "root1", "root:2")
        self.assertEqual(len(self.inspect("root:2", "RootFS.Layers")), layers + 1)
        saved = self.docker("save", "root:2").out_bytes
        self.ok("rmi", "-f", "root:2")
        self.ok("load", input=saved)
        self.assertEqual(self.ok("run", "--name", "root2", "root:2", "stat", "-c", "%a", "/"), "1711")
        self.ok("commit", "root2", "root:3")
        self.assertEqual(self.inspect("root:3", "RootFS"), self.inspect("root:2", "RootFS"))

    def test_no_changes_is_no_layer(self):
        self.ok("create", "--name", "n1", "busybox", "sh")
        self.ok("commit", "n1", "same:1")
        self.assertEqual(self.inspect("same:1", "RootFS"), self.inspect("busybox", "RootFS"))
        self.assertNotEqual(self.inspect("same:1", "Id"), self.busybox())

    def test_the_same_changes_are_the_same_layer(self):
        self.ok("run", "--name", "s1", "busybox", "sh", "-c", "echo x > /root/x; ln /root/x /root/y")
        self.ok("commit", "s1", "one:1")
        self.ok("commit", "-m", "other", "s1", "two:1")
        self.assertEqual(self.inspect("one:1", "RootFS"), self.inspect("two:1", "RootFS"))

    def test_a_running_container_and_a_commit_of_a_commit(self):
        self.ok("run", "-d", "--name", "r1", "busybox", "sh", "-c", "echo 1 > /root/f; sleep 1000")
        wait_until(lambda: self.docker("exec", "r1", "test", "-s", "/root/f").code == 0, what="its own file")
        self.ok("exec", "r1", "sh", "-c", "echo 2 > /root/g")
        self.ok("commit", "r1", "live:1")
        self.assertEqual(self.inspect("r1", "State.Status"), "running")
        self.ok("run", "--name", "again", "live:1", "sh", "-c", "rm /root/f; echo 3 > /root/h")
        self.ok("commit", "again", "live:2")
        self.assertEqual(self.ok("run", "--rm", "live:2", "sh", "-c", "cat /root/*"), "2\n3")
        self.ok("rm", "-f", "r1", "again")
        self.ok("rmi", "live:1")
        self.assertEqual(self.ok("run", "--rm", "live:2", "sh", "-c", "cat /root/*"), "2\n3")

    def test_a_container_that_is_just_ending(self):
        # What it runs ends somewhere between start's answer and the pause of the commit.
        for i in range(25):
            status, _, made = self.daemon.request("POST", "/containers/create",
                                                  {"Image": "busybox", "Cmd": ["touch", "/root/new"]})
            self.assertEqual(status, 201, made)
            self.assertEqual(self.daemon.request("POST", f"/containers/{made['Id']}/start")[0], 204)
            status, _, answer = self.daemon.request("POST", f"/commit?container={made['Id']}&repo=ending&tag={i}")
            self.assertEqual(status, 201, answer)
            self.assertIn(self.inspect(made["Id"], "State.Status"), ("running", "exited"))

    def test_a_daemon_that_ends_meanwhile_leaves_no_container_paused(self):
        self.daemon.stop()
        self.daemon.start(env={"CORACLE_FAIL": "commit.staged:kill"})
        self.ok("run", "-d", "--name", "c9", "busybox", "sleep", "1000")
        self.ok("exec", "c9", "touch", "/root/changed")
        if self.docker("commit", "c9", "cut:1").code == 0:
            self.daemon.stop()
            self.daemon.start()
            self.skipTest("this build has no failpoints")
        self.daemon.process.wait(timeout=60)
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.inspect("c9", "State.Status"), "running")
        self.ok("exec", "c9", "true")
        self.ok("commit", "c9", "whole:1")

    def test_many_at_once(self):
        self.changed("m1")
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(
            self.docker("commit", "m1", f"many:{i}"))) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([r.code for r in results], [0] * 6, results)
        self.assertEqual(len({json.dumps(self.inspect(f"many:{i}", "RootFS")) for i in range(6)}), 1)

    def test_events_and_errors(self):
        self.changed("e1")
        image = self.ok("commit", "-m", "why", "e1", "event:1")
        line = self.ok("events", "--since", "1m", "--until", str(int(time.time()) + 2), "--filter", "event=commit",
                       "--format", "{{json .Actor.Attributes}}").splitlines()[-1]
        got = json.loads(line)
        self.assertEqual((got["comment"], got["imageID"], got["imageRef"]), ("why", image, "event:1"))
        for query, status, text in (
                ("container=e1&repo=BAD", 400, "must be lowercase"),
                ("container=nope", 404, "No such container: nope"),
                ("", 400, 'invalid name or ID supplied: ""'),
                ("container=e1&changes=FROM+x", 400, "FROM is not a valid change command")):
            got, _, answer = self.daemon.request("POST", f"/commit?{query}")
            self.assertEqual(got, status, answer)
            self.assertIn(text, answer["message"])

    def test_sizes_and_nothing_left(self):
        self.ok("run", "--name", "z1", "busybox", "sh", "-c", "head -c 1000000 /dev/zero > /root/zero")
        self.ok("commit", "z1", "size:1")
        grown = self.inspect("size:1", "Size") - self.inspect("busybox", "Size")
        self.assertEqual(grown, 1000000)
        # The layer is unpacked behind the answer.
        wait_until(lambda: os.listdir(f"{self.daemon.data}/storage/tmp") == [], 60, "nothing is left in tmp")


if __name__ == "__main__":
    main()
