"""python3-docker, as Debian packages it (5.0.3): containers, exec, streams, files, volumes, events, images, system."""
import http.client
import io
import json
import os
import socket
import struct
import tarfile
import threading
import time
from unittest import mock

try:
    import docker
except ImportError as e:
    raise SystemExit(f"{e}: packaging/install-deps installs python3-docker") from e

from docker.types import Healthcheck, LogConfig, Mount, Ulimit

from harness import Case, busybox_tar, main, wait_until


def tar_of(**files):
    """A tar of {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o640, 1_700_000_000
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def frames(sock):
    """What comes from a multiplexed stream: [(1 or 2, bytes)…] until its end."""
    raw = getattr(sock, "_sock", sock)
    raw.settimeout(60)
    buffer = b""
    while True:
        data = raw.recv(65536)
        if not data:
            break
        buffer += data
    out = []
    while buffer:
        kind, size = struct.unpack(">BxxxL", buffer[:8])
        out.append((kind, buffer[8:8 + size]))
        buffer = buffer[8 + size:]
    return out


def text_of(stream, kind):
    return b"".join(data for k, data in stream if k == kind)


class Python(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{cls.daemon.socket}"}):
            cls.client = docker.from_env(timeout=120, version="auto")
        cls.api = cls.client.api
        cls.addClassCleanup(cls.client.close)

    def setUp(self):
        super().setUp()
        self.containers = self.client.containers

    def tearDown(self):
        super().tearDown()
        for volume in self.client.volumes.list():
            volume.remove(force=True)

    def box(self, command=("sleep", "1000"), **kw):
        return self.containers.run("busybox", list(command), detach=True, **kw)

    # -- containers

    def test_run_answers_the_output(self):
        self.assertEqual(self.containers.run("busybox", ["echo", "hello"], remove=True), b"hello\n")
        out = self.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2"], stdout=False, stderr=True)
        self.assertEqual(out, b"err\n")
        parts = self.containers.run("busybox", ["sh", "-c", "echo 1; echo 2"], stream=True, remove=True)
        self.assertEqual(b"".join(parts), b"1\n2\n")
        with self.assertRaises(docker.errors.ContainerError) as raised:
            self.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 4"])
        self.assertEqual((raised.exception.exit_status, raised.exception.stderr), (4, b"why\n"))
        with self.assertRaises(docker.errors.APIError) as raised:
            self.containers.run("busybox", ["nothing-of-the-kind"])
        self.assertIn("executable file not found", raised.exception.explanation)

    def test_run_with_many_options(self):
        c = self.box(name="many", environment={"A": "1"}, labels={"l": "x"}, hostname="boat", user="web",
                     working_dir="/tmp", volumes={"v1": {"bind": "/v", "mode": "rw"}}, tmpfs={"/t": "size=1m"},
                     mounts=[Mount("/m", "v2", type="volume")], ports={"80/tcp": ("127.0.0.1", None)},
                     ulimits=[Ulimit(name="nofile", soft=100, hard=200)], cap_drop=["ALL"], init=True,
                     restart_policy={"Name": "on-failure", "MaximumRetryCount": 1},
                     healthcheck=Healthcheck(test=["CMD", "true"], interval=60_000_000_000),
                     log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
                     extra_hosts={"peer": "10.1.2.3"}, stop_signal="USR1", security_opt=["no-new-privileges"])
        c.reload()
        self.assertEqual((c.status, c.name, c.labels["l"]), ("running", "many", "x"))
        self.assertEqual(c.image.tags, ["busybox:latest"])
        self.assertRegex(c.ports["80/tcp"][0]["HostPort"], r"^\d+$")
        code, out = c.exec_run(["sh", "-c", "echo $A; hostname; id -u; pwd; ulimit -n; ls -d /v /t /m"])
        self.assertEqual((code, out.decode().split()), (0, ["1", "boat", "33", "/tmp", "100", "/m", "/t", "/v"]))
        host = c.attrs["HostConfig"]
        self.assertEqual(host["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 1})
        self.assertEqual(c.attrs["Config"]["Healthcheck"]["Test"], ["CMD", "true"])

    def test_life(self):
        c = self.containers.create("busybox", ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"])
        self.assertEqual(c.status, "created")
        c.start()
        wait_until(lambda: self.containers.get(c.id).status == "running", 5, "running")
        time.sleep(0.3)
        c.stop(timeout=5)
        self.assertEqual(c.wait(timeout=10)["StatusCode"], 3)
        c.restart(timeout=1)
        c.reload()
        self.assertEqual(c.status, "running")
        c.rename("renamed")
        self.assertEqual(self.containers.get("renamed").id, c.id)
        c.kill("KILL")
        self.assertEqual(c.wait(), {"StatusCode": 137})
        with self.assertRaises(docker.errors.APIError) as raised:
            c.kill()
        self.assertEqual(raised.exception.status_code, 409)
        c.remove(v=True)
        with self.assertRaises(docker.errors.NotFound):
            self.containers.get(c.id)

    def test_wait_for_the_next_exit_and_for_removal(self):
        c = self.containers.create("busybox", ["sh", "-c", "exit 6"])
        answer = {}

        def wait(condition):
            answer[condition] = c.wait(condition=condition, timeout=60)["StatusCode"]
        threads = [threading.Thread(target=wait, args=(x,)) for x in ("next-exit", "removed")]
        heads, begin = threading.Semaphore(0), http.client.HTTPResponse.begin

        def counted(response):
            begin(response)
            heads.release()
        # The head of the answer says that the daemon knows who waits.
        with mock.patch.object(http.client.HTTPResponse, "begin", counted):
            for t in threads:
                t.start()
            for _ in threads:
                self.assertTrue(heads.acquire(timeout=60))
        c.start()
        threads[0].join(60)
        c.remove(force=True)
        threads[1].join(60)
        self.assertEqual(answer, {"next-exit": 6, "removed": 6})

    def test_pause(self):
        c = self.box()
        c.pause()
        c.reload()
        self.assertEqual(c.status, "paused")
        with self.assertRaises(docker.errors.APIError) as raised:
            c.pause()
        self.assertEqual(raised.exception.status_code, 409)
        c.unpause()
        c.reload()
        self.assertEqual(c.status, "running")

    def test_update(self):
        c = self.box()
        answer = c.update(restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
        self.assertIn("Warnings", answer)
        c.reload()
        self.assertEqual(c.attrs["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 2)

    def test_list_and_filters(self):
        a = self.box(name="first", labels={"x": "1"})
        b = self.containers.create("busybox", name="second")
        self.assertEqual([c.name for c in self.containers.list()], ["first"])
        self.assertEqual([c.name for c in self.containers.list(all=True)], ["second", "first"])
        for filters in ({"label": "x=1"}, {"label": ["x"]}, {"status": "running"}, {"name": "first"},
                        {"ancestor": "busybox", "status": ["running"]}):
            self.assertEqual([c.id for c in self.containers.list(all=True, filters=filters)], [a.id], filters)
        self.assertEqual([c.id for c in self.containers.list(all=True, filters={"since": a.id})], [b.id])
        self.assertEqual([c.id for c in self.containers.list(limit=1)], [b.id])
        sized = self.api.containers(all=True, size=True)
        self.assertTrue(all("SizeRw" in c or c["State"] == "created" for c in sized), sized)

    def test_prune(self):
        gone = self.containers.create("busybox", labels={"gone": ""})
        kept = self.containers.create("busybox")
        answer = self.containers.prune(filters={"label": "gone"})
        self.assertEqual(answer["ContainersDeleted"], [gone.id])
        self.assertIsInstance(answer["SpaceReclaimed"], int)
        self.assertEqual([c.id for c in self.containers.list(all=True)], [kept.id])

    # -- streams

    def test_logs(self):
        c = self.box(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done; echo e >&2"])
        self.assertEqual(b"".join(c.logs(stream=True, follow=True, stderr=False)), b"1\n2\n3\n")
        c.wait()
        self.assertEqual(c.logs(stdout=False, stderr=True), b"e\n")
        self.assertEqual(c.logs(tail=1, stderr=False), b"3\n")
        self.assertRegex(c.logs(timestamps=True, tail=1, stderr=False).decode(), r"^\d{4}-\d\d-\d\dT.*Z 3\n$")
        self.assertEqual(c.logs(since=int(time.time()) + 1000), b"")
        self.assertEqual(c.logs(until=1), b"")

    def test_attach(self):
        c = self.containers.create("busybox", ["cat"], stdin_open=True)
        s = c.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        c.start()
        raw = getattr(s, "_sock", s)
        raw.sendall(b"in and out\n")
        raw.shutdown(socket.SHUT_WR)
        self.assertEqual(text_of(frames(s), 1), b"in and out\n")
        s.close()
        self.assertEqual(c.logs(), b"in and out\n")
        c = self.containers.create("busybox", ["sh", "-c", "echo 1; echo 2 >&2"])
        out = c.attach(stream=True, demux=True)
        c.start()
        out = list(out)
        self.assertEqual((b"".join(o for o, _ in out if o), b"".join(e for _, e in out if e)), (b"1\n", b"2\n"))
        c = self.box(["sh", "-c", "echo before; sleep 0.5"])
        c.wait()
        self.assertEqual(self.box(["true"]).attach(logs=True, stream=False), b"")
        self.assertEqual(c.attach(logs=True, stream=False), b"before\n")

    def test_exec(self):
        c = self.box()
        self.assertEqual(tuple(c.exec_run("echo hi")), (0, b"hi\n"))
        self.assertEqual(c.exec_run(["sh", "-c", "exit 7"]).exit_code, 7)
        out = c.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
        self.assertEqual(out.output, (b"out\n", b"err\n"))
        self.assertEqual(b"".join(c.exec_run(["sh", "-c", "echo 1; sleep 0.1; echo 2"], stream=True).output), b"1\n2\n")
        self.assertEqual(c.exec_run("id -u", user="web").output, b"33\n")
        self.assertEqual(c.exec_run(["sh", "-c", "pwd; echo $A"], workdir="/tmp", environment={"A": "b"}).output,
                         b"/tmp\nb\n")
        self.assertEqual(c.exec_run("tty", tty=True).output, b"/dev/pts/0\r\n")
        self.assertFalse(c.exec_run("true", detach=True).output)
        s = c.exec_run(["cat"], stdin=True, socket=True).output
        raw = getattr(s, "_sock", s)
        raw.sendall(b"through a socket\n")
        raw.shutdown(socket.SHUT_WR)
        self.assertEqual(text_of(frames(s), 1), b"through a socket\n")
        s.close()

    def test_exec_with_the_low_level_api(self):
        c = self.box()
        e = self.api.exec_create(c.id, ["sh", "-c", "stty size; exit 5"], tty=True, stdin=True)
        self.assertIsNone(self.api.exec_inspect(e)["ExitCode"])
        self.api.exec_start(e["Id"], tty=True)
        told = self.api.exec_inspect(e["Id"])
        self.assertEqual((told["Running"], told["ExitCode"], told["ContainerID"]), (False, 5, c.id))
        e = self.api.exec_create(c.id, ["sleep", "1000"], tty=True)
        self.api.exec_start(e, detach=True, tty=True)
        self.api.exec_resize(e, height=11, width=22)
        with self.assertRaises(docker.errors.NotFound):
            self.api.exec_inspect("0" * 64)
        c.kill()
        c.wait()
        with self.assertRaises(docker.errors.APIError) as raised:
            self.api.exec_create(c.id, "true")
        self.assertEqual(raised.exception.status_code, 409)

    def test_stats(self):
        c = self.box(["sh", "-c", "while :; do :; done"])
        one = c.stats(stream=False)
        self.assertEqual((one["id"], one["name"]), (c.id, "/" + c.name))
        self.assertGreater(one["cpu_stats"]["cpu_usage"]["total_usage"], 0)
        stream = c.stats(stream=True, decode=True)
        first = next(stream)
        # With others beside it, it may get no processor in one second.
        second = next(x for x in stream if x["cpu_stats"]["cpu_usage"]["total_usage"]
                      > first["cpu_stats"]["cpu_usage"]["total_usage"])
        self.assertGreater(second["memory_stats"]["usage"], 0)
        self.assertIn("eth0", second["networks"])
        stream.close()
        raw = c.stats(stream=True)
        self.assertEqual(json.loads(next(raw))["id"], c.id)

    def test_top(self):
        c = self.box(["sh", "-c", "sleep 1000; true"])
        top = c.top()
        self.assertIn("PID", top["Titles"])
        self.assertTrue(any("sleep 1000" in " ".join(p) for p in top["Processes"]), top)
        self.assertEqual(c.top(ps_args="-o pid,comm")["Titles"], ["PID", "COMMAND"])

    # -- files

    def test_archives(self):
        for state in ("created", "running", "stopped"):
            with self.subTest(state=state):
                c = self.containers.create("busybox", ["sleep", "1000"])
                if state != "created":
                    c.start()
                if state == "stopped":
                    c.kill()
                    c.wait()
                self.assertTrue(c.put_archive("/tmp", tar_of(put=b"put there")))
                chunks, stat = c.get_archive("/tmp/put")
                self.assertEqual((stat["name"], stat["size"], stat["mode"] & 0o777), ("put", 9, 0o640))
                with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as t:
                    self.assertEqual(t.extractfile("put").read(), b"put there")
                    self.assertEqual(t.getmember("put").mtime, 1_700_000_000)
                with self.assertRaises(docker.errors.NotFound) as raised:
                    c.get_archive("/nothing")
                self.assertIn("Could not find the file /nothing in container", raised.exception.explanation)
                with self.assertRaises(docker.errors.NotFound):
                    c.put_archive("/nothing", tar_of(x=b""))
                c.remove(force=True)

    def test_diff_commit_export(self):
        c = self.box(["sh", "-c", "echo made > /made; rm /etc/group"])
        c.wait()
        changes = {d["Path"]: d["Kind"] for d in c.diff()}
        self.assertEqual(changes, {"/made": 1, "/etc": 0, "/etc/group": 2})
        image = c.commit("committed", "1", message="said", author="us", changes=["ENV A=b"],
                         conf={"Labels": {"l": "x"}})
        self.addCleanup(self.client.images.remove, image.id, force=True)
        self.assertEqual((image.tags, image.attrs["Author"], image.attrs["Comment"]), (["committed:1"], "us", "said"))
        self.assertEqual(image.labels, {"l": "x"})
        self.assertEqual(self.containers.run("committed:1", ["cat", "/made"], remove=True), b"made\n")
        with tarfile.open(fileobj=io.BytesIO(b"".join(c.export()))) as t:
            names = {n.lstrip("./") for n in t.getnames()}
        self.assertIn("made", names)
        self.assertNotIn("etc/group", names)

    # -- volumes

    def test_volumes(self):
        v = self.client.volumes.create("vol", driver="local", labels={"a": "b"})
        self.assertEqual((v.name, v.attrs["Labels"], v.attrs["Scope"]), ("vol", {"a": "b"}, "local"))
        self.assertEqual(self.client.volumes.get("vol").id, "vol")
        self.assertEqual([x.id for x in self.client.volumes.list(filters={"label": "a=b"})], ["vol"])
        c = self.box(["sh", "-c", "echo kept > /v/f"], volumes=["vol:/v"])
        c.wait()
        with self.assertRaises(docker.errors.APIError) as raised:
            v.remove()
        self.assertEqual(raised.exception.status_code, 409)
        c.remove()
        self.assertEqual(self.containers.run("busybox", ["cat", "/v/f"], volumes=["vol:/v:ro"], remove=True), b"kept\n")
        v.remove()
        with self.assertRaises(docker.errors.NotFound):
            self.client.volumes.get("vol")

    def test_volume_prune(self):
        gone = self.client.volumes.create()
        answer = self.client.volumes.prune()
        self.assertEqual(answer["VolumesDeleted"], [gone.id])

    # -- events

    def test_events(self):
        begin = time.time()
        live, seen = self.client.events(decode=True, filters={"type": "container", "event": ["start", "die"]}), []

        def listen():
            for event in live:
                seen.append(event)
                if event["Action"] == "die":
                    return
        t = threading.Thread(target=listen)
        t.start()  # events() has had its head already: what follows is heard
        c = self.box(["true"])
        c.wait()
        t.join(60)
        live.close()
        self.assertEqual([(e["Action"], e["id"], e["status"]) for e in seen],
                         [("start", c.id, "start"), ("die", c.id, "die")])
        past = list(self.client.events(since=int(begin), until=int(time.time()) + 1, decode=True,
                                       filters={"container": c.id}))
        self.assertEqual([e["Action"] for e in past if e["Action"] in ("create", "start", "die")],
                         ["create", "start", "die"])

    # -- images

    def test_images(self):
        images = self.client.images
        busybox = images.get("busybox")
        self.assertEqual(busybox.tags, ["busybox:latest"])
        self.assertTrue(busybox.tag("other", "1"))
        self.assertEqual([i.id for i in images.list("other")], [busybox.id])
        data = b"".join(images.get("other:1").save(named="other:1"))
        images.remove("other:1")
        with self.assertRaises(docker.errors.ImageNotFound):
            images.get("other:1")
        self.assertEqual([i.tags for i in images.load(data)], [["busybox:latest", "other:1"]])
        self.assertEqual(len(busybox.history()), 1)
        images.remove("other:1")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.containers.create("missing:1")
        imported = self.api.import_image_from_file(busybox_tar(), repository="imported", tag="1")
        self.assertIn("sha256:", imported)
        self.assertEqual(images.get("imported:1").tags, ["imported:1"])
        images.remove("imported:1", force=True)
        self.assertIn("ImagesDeleted", images.prune())

    # -- system

    def test_system(self):
        self.assertTrue(self.client.ping())
        self.assertEqual(self.client.info()["OSType"], "linux")
        version = self.client.version()
        self.assertEqual(version["Os"], "linux")
        self.assertEqual(self.api._version, version["ApiVersion"])
        df = self.client.df()
        self.assertEqual([i["RepoTags"] for i in df["Images"]], [["busybox:latest"]])
        for kind in ("Containers", "Volumes", "BuildCache"):
            self.assertIn(kind, df)
        self.assertEqual(sorted(n.name for n in self.client.networks.list()), ["bridge", "host", "none"])
        self.assertEqual(self.client.networks.get("bridge").attrs["Driver"], "bridge")

    def test_a_client_with_its_own_fixed_version(self):
        """Without negotiation."""
        client = docker.DockerClient(base_url=f"unix://{self.daemon.socket}", version="1.41")
        self.addCleanup(client.close)
        self.assertEqual(client.api._version, "1.41")
        self.assertEqual(client.containers.run("busybox", ["echo", "1.41"], remove=True), b"1.41\n")

    def test_low_level_containers(self):
        host = self.api.create_host_config(binds=["lowvol:/v"], port_bindings={80: ("127.0.0.1",)})
        made = self.api.create_container("busybox", ["sh", "-c", "echo low > /v/f"], volumes=["/v"], ports=[80],
                                         host_config=host, name="low")
        self.assertEqual(made["Warnings"], [])
        self.api.start(made)
        self.assertEqual(self.api.wait(made), {"StatusCode": 0})
        told = self.api.inspect_container("low")
        self.assertEqual((told["State"]["Status"], told["Name"]), ("exited", "/low"))
        self.assertEqual(told["Mounts"][0]["Name"], "lowvol")
        self.api.remove_container("low", v=True)


if __name__ == "__main__":
    main()
