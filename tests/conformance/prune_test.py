"""docker container|image|volume|system prune and docker system df: what goes, what stays, how much."""
import json
import time

from harness import Case, busybox_tar, main


class Prune(Case):
    def post(self, path, filters=None, version=""):
        query = ""
        if filters is not None:
            query = "?filters=" + "".join(f"%{ord(c):02x}" for c in json.dumps(filters))
        return self.daemon.request("POST", version + path + query)

    def done(self, path, filters=None, version=""):
        status, _, body = self.post(path, filters, version)
        self.assertEqual(status, 200, body)
        return body

    def tearDown(self):
        super().tearDown()
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)
        for name in self.ok("images", "-q", "--no-trunc", "-f", "dangling=true").split():
            self.ok("rmi", name)
        for name in self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split():
            if name != "busybox:latest":
                self.ok("rmi", "-f", name)

    def second_image(self, *changes):
        """Another image, with a layer of its own: an empty archive."""
        changed = [x for c in changes for x in ("-c", c)]
        empty = b"\0" * 10240
        return self.ok("import", *changed, "-", input=empty)

    def test_containers(self):
        self.ok("run", "--name", "done", "busybox", "sh", "-c",
                "dd if=/dev/zero of=/f bs=1M count=2 2>/dev/null")
        made = self.ok("create", "--name", "made", "busybox")
        self.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000")
        since = f"{time.time():.9f}"
        body = self.done("/containers/prune")
        self.assertEqual(len(body["ContainersDeleted"]), 2)
        self.assertIn(made, body["ContainersDeleted"])
        self.assertGreaterEqual(body["SpaceReclaimed"], 2 << 20)
        self.assertLess(body["SpaceReclaimed"], 3 << 20)
        self.assertEqual(self.ok("ps", "-a", "--format", "{{.Names}}"), "runs")
        events = self.ok("events", "--since", since, "--until", f"{time.time() + 0.01:.9f}",
                         "--format", "{{json .}}").splitlines()
        events = [json.loads(e) for e in events]
        self.assertEqual([e["Action"] for e in events if e["Type"] == "container"],
                         ["destroy", "destroy", "prune"])
        self.assertEqual(events[-1]["Actor"]["Attributes"],
                         {"reclaimed": str(body["SpaceReclaimed"])})
        self.assertEqual(self.done("/containers/prune"),
                         {"ContainersDeleted": None, "SpaceReclaimed": 0})

    def test_container_filters(self):
        self.ok("create", "--name", "a1", "--label", "x=1", "busybox")
        self.ok("create", "--name", "b1", "--label", "keep", "busybox")
        self.ok("create", "--name", "c1", "busybox")
        self.ok("container", "prune", "-f", "--filter", "until=1h")
        self.ok("container", "prune", "-f", "--filter", "until=0")  # the epoch, not "no time ago"
        self.ok("container", "prune", "-f", "--filter", "label=y")
        self.assertEqual(len(self.ok("ps", "-aq").split()), 3)
        self.assertIn("Total reclaimed space: 0B",
                      self.ok("container", "prune", "-f", "--filter", "label=x=1"))
        self.assertEqual(self.ok("ps", "-a", "--format", "{{.Names}}").split(), ["c1", "b1"])
        self.ok("container", "prune", "-f", "--filter", "label!=keep", "--filter", "until=0s")
        self.assertEqual(self.ok("ps", "-a", "--format", "{{.Names}}"), "b1")
        self.ok("container", "prune", "-f", "--filter",
                "until=" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5)))
        self.assertEqual(self.ok("ps", "-aq"), "")
        for filters, message in (({"odd": ["1"]}, "invalid filter 'odd'"),
                                 ({"until": ["1h", "2h"]}, "more than one until"),
                                 ({"until": ["soon"]}, "failed to parse value")):
            status, _, body = self.post("/containers/prune", filters)
            self.assertEqual(status, 400)
            self.assertIn(message, body["message"])

    def test_images(self):
        nameless = self.second_image("LABEL k=v")
        named = self.second_image("LABEL other=1")
        self.ok("tag", named, "named:1")
        used = self.second_image("LABEL used=1")
        self.ok("create", "--name", "u1", used, "true")
        body = self.done("/images/prune", {"label": ["nope"]})
        self.assertIsNone(body["ImagesDeleted"])
        body = self.done("/images/prune")
        self.assertIn({"Deleted": nameless}, body["ImagesDeleted"])
        self.assertNotIn({"Deleted": used}, body["ImagesDeleted"])
        self.assertNotIn({"Deleted": named}, body["ImagesDeleted"])
        self.ok("create", "--name", "b1", "busybox")
        body = self.done("/images/prune", {"dangling": ["false"], "label": ["other"]})
        self.assertIn({"Untagged": "named:1"}, body["ImagesDeleted"])
        self.assertIn({"Deleted": named}, body["ImagesDeleted"])
        self.ok("image", "inspect", used)
        self.ok("image", "inspect", "busybox")
        self.ok("rm", "-f", "u1", "b1")
        self.assertEqual(self.post("/images/prune", {"dangling": ["x"]})[0], 400)
        self.assertIsNone(self.done("/images/prune", {"until": ["1h"]})["ImagesDeleted"])

    def test_an_image_in_use_keeps_its_last_name(self):
        used = self.second_image("LABEL several=1")
        for name in ("zz/c:1", "b:1", "a:2", "127.0.0.1:5000/x:1"):
            self.ok("tag", used, name)
        self.ok("create", "--name", "several", used, "true")
        only = {"dangling": ["false"], "label": ["several"]}
        body = self.done("/images/prune", only)
        # In the order of names in full: 127.0.0.1:5000/x, docker.io/library/a, docker.io/library/b, docker.io/zz/c.
        self.assertEqual(body["ImagesDeleted"],
                         [{"Untagged": n} for n in ("127.0.0.1:5000/x:1", "a:2", "b:1")])
        self.assertEqual(self.inspect(used, "RepoTags"), ["zz/c:1"])
        self.assertIsNone(self.done("/images/prune", only)["ImagesDeleted"])
        self.ok("rm", "several")
        self.assertIn({"Deleted": used}, self.done("/images/prune", only)["ImagesDeleted"])

    def test_shared_size(self):
        self.ok("import", busybox_tar(), "shared:1")  # the same layer as busybox
        for query, wanted in (("?shared-size=1", True), ("", False)):
            status, _, images = self.daemon.request("GET", f"/v1.51/images/json{query}")
            self.assertEqual(status, 200)
            one = next(i for i in images if "shared:1" in i["RepoTags"])
            self.assertEqual(one["SharedSize"], one["Size"] if wanted else -1)
        self.ok("rmi", "shared:1")

    def test_image_space(self):
        r = self.ok("import", busybox_tar())  # the same layer as busybox: frees nothing
        body = self.done("/images/prune")
        self.assertIn({"Deleted": r}, body["ImagesDeleted"])
        self.assertEqual(body["SpaceReclaimed"], 0)

    def test_volumes(self):
        self.ok("volume", "create", "named")
        self.ok("volume", "create", "--label", "x=1", "labelled")
        self.ok("run", "--name", "c1", "-v", "used:/u", "-v", "/anon", "busybox", "sh", "-c",
                "dd if=/dev/zero of=/anon/f bs=1M count=1 2>/dev/null")
        anonymous = self.inspect("c1")["Mounts"]
        anonymous = next(m["Name"] for m in anonymous if m["Destination"] == "/anon")
        self.assertEqual(self.done("/volumes/prune"),
                         {"VolumesDeleted": [], "SpaceReclaimed": 0})
        self.ok("rm", "c1")
        self.assertEqual(self.done("/volumes/prune"),
                         {"VolumesDeleted": [anonymous], "SpaceReclaimed": 1 << 20})
        self.assertEqual(self.done("/volumes/prune", {"label": ["x=1"], "all": ["true"]}),
                         {"VolumesDeleted": ["labelled"], "SpaceReclaimed": 0})
        body = self.done("/volumes/prune", version="/v1.41")
        self.assertEqual(sorted(body["VolumesDeleted"]), ["named", "used"])
        self.ok("volume", "create", "last")
        self.ok("volume", "prune", "-f")
        self.assertEqual(self.ok("volume", "ls", "-q"), "last")
        self.ok("volume", "prune", "-af")
        self.assertEqual(self.ok("volume", "ls", "-q"), "")
        self.assertEqual(self.post("/volumes/prune", {"until": ["1h"]})[0], 400)

    def test_networks_and_builds(self):
        self.assertEqual(self.done("/networks/prune"), {"NetworksDeleted": None})
        self.assertEqual(self.done("/build/prune"), {"CachesDeleted": None, "SpaceReclaimed": 0})
        self.assertEqual(self.post("/networks/prune", {"x": ["1"]})[0], 400)

    def test_system_prune(self):
        self.ok("create", "--name", "gone", "busybox")
        self.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
        nameless = self.second_image()
        self.ok("volume", "create", "v1")
        out = self.ok("system", "prune", "-f")
        self.assertIn("Deleted Containers:", out)
        self.assertIn(f"deleted: {nameless}", out)
        self.assertIn("Total reclaimed space:", out)
        self.assertEqual(self.ok("ps", "-a", "--format", "{{.Names}}"), "stays")
        self.assertEqual(self.ok("volume", "ls", "-q"), "v1")

    def test_system_df(self):
        self.ok("run", "-d", "--name", "c1", "-v", "v1:/data", "busybox", "sh", "-c",
                "dd if=/dev/zero of=/data/f bs=1M count=2 2>/dev/null;"
                "dd if=/dev/zero of=/f bs=1M count=1 2>/dev/null; sleep 1000")
        self.ok("tag", "busybox", "other:1")
        self.ok("exec", "c1", "sh", "-c", "while [ \"$(stat -c %s /f 2>/dev/null)\" != 1048576 ]; do sleep 0.05; done")
        _, _, df = self.daemon.request("GET", "/system/df")
        image = self.inspect("busybox")
        self.assertEqual(df["LayersSize"], image["Size"])
        self.assertEqual([(i["Id"], i["SharedSize"], i["Containers"]) for i in df["Images"]],
                         [(image["Id"], 0, 1)])
        self.assertEqual([c["Names"] for c in df["Containers"]], [["/c1"]])
        self.assertEqual(df["Containers"][0]["SizeRw"], 1 << 20)
        self.assertEqual(df["Containers"][0]["SizeRootFs"], (1 << 20) + image["Size"])
        self.assertEqual([(v["Name"], v["UsageData"]) for v in df["Volumes"]],
                         [("v1", {"RefCount": 1, "Size": 2 << 20})])
        self.assertEqual(df["BuildCache"], [])
        _, _, df = self.daemon.request("GET", "/system/df?type=volume")
        self.assertEqual((df["Images"], df["Containers"], df["BuildCache"]), (None, None, None))
        self.assertEqual(len(df["Volumes"]), 1)
        status, _, body = self.daemon.request("GET", "/system/df?type=odd")
        self.assertEqual((status, body["message"]), (400, "unknown object type: odd"))
        out = self.ok("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}")
        self.assertIn("Containers|1|1|1.049MB", out)
        self.assertIn("Local Volumes|1|1|2.097MB", out)
        self.assertIn("Images|1|1|", out)
        verbose = self.ok("system", "df", "-v")
        self.assertIn("busybox", verbose)
        self.assertIn("2.097MB", verbose)


if __name__ == "__main__":
    main()
