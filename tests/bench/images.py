#!/usr/bin/env python3
"""Times images and streams beside the peers: pull, push, load, save, rmi, cp, attach; time and processor time.

  images.py --engine coracle=unix:///…,127.0.0.1:5000 --engine docker=unix:///…,10.0.2.2:5000 [--rounds 5]
            [--megabytes 300] [--port 5000] [--only pull] [--json FILE]

Each engine comes with the address under which it reaches the docker-registry that this starts on 127.0.0.1, which must be
among its insecure registries. The first engine is ours. Layers are made of this machine's /usr, gzip -6 in the registry.
Rounds are interleaved, as in bench.py, and what earlier acts wrote is on the disk before one begins: ours waits for the
disk, and would wait for its peers' bytes too. Each round does the whole work, and that is looked at: it has an image of its
own (a first file that no other has), the registry's log says that a pull has fetched each byte, and what was pushed is in
the registry then. Nothing is removed before rmi is measured, at the end: ext4 passes over inodes that were freed within the
last five minutes one by one, which makes the files of all engines dear. So let five minutes pass between two runs, and
have 5 GB free for each round.

Processor time is that of the processes that have the engine's socket, store or runtime folder in their command line and of
their descendants, those included that were waited for by one of them: what a container's program and its conmon or shim used
is lost when they have ended before the act does. It is why an attached stream is measured while its container runs. The
client's and the registry's are not counted; rootless Docker's has slirp4netns in it, through which it reaches the registry.
Only ratios within one run count.
"""
import argparse
import base64
import hashlib
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zlib

from bench import Engine

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STREAM = 100 << 20
BOX = "coracle-bench-box:1"
CP = "coracle-bench-cp"
# Of the best peer's median: what ours is to be at most. See docs/performance.md.
GOALS = {"pull, one layer": 0.3, "pull, ten layers": 0.25, "load": 0.5, "save": 0.2, "save, API": 0.2, "rmi": 0.1,
         "rmi, API": 0.1, "push": 0.5, "cp in, 100 MiB": 0.9, "attached stdout, 100 MiB": 0.9}
MOST_GROWTH = 64  # MB, of the daemon in a pull


class Processes:
    """Of an engine."""

    def __init__(self, engine):
        # A peer in a tree of its own has another path in its command line; its start script names stores and runtime
        # folders by the socket.
        stem = os.path.basename(engine.path).removesuffix(".sock")
        self.path, self.marks = engine.path, [f"/{stem}{end}" for end in (".sock", "-store/", "-xdg/", "-rk/")]

    def tree(self):
        """pid -> the fields of stat behind the name"""
        stats, lines = {}, {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    stats[pid] = f.read().rsplit(")", 1)[1].split()
                with open(f"/proc/{pid}/cmdline", errors="replace") as f:
                    lines[pid] = f.read()
            except OSError:
                continue
        # Who measures, here or elsewhere, has sockets in its command line, too.
        lines = {pid: line for pid, line in lines.items() if "--engine" not in line}
        found = {pid for pid, line in lines.items() if self.path in line}
        found = found or {pid for pid, line in lines.items() if any(mark in line for mark in self.marks)}
        while more := {p for p, s in stats.items() if s[1] in found and p not in found and p != str(os.getpid())}:
            found |= more
        return {p: stats[p] for p in found if p in stats}

    def seconds(self):
        """user, system, and those of the children that were waited for"""
        return sum(int(x) for s in self.tree().values() for x in s[11:15]) / TICK

    def resident(self):
        """pid -> MB"""
        return {pid: int(s[21]) * PAGE / 1e6 for pid, s in self.tree().items()}

    def proportional(self):
        """Of all of them, in MB; None where they are another user's."""
        kib = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    kib += int(re.search(r"^Pss: *(\d+)", f.read(), re.M).group(1))
            except PermissionError:
                return None
            except (OSError, AttributeError):  # ended
                pass
        return kib * 1024 / 1e6


class Peak:
    """How an engine's memory grows while this is entered. The daemon is its largest process."""

    def __init__(self, processes):
        self.processes = processes

    def __enter__(self):
        before = self.processes.resident()
        self.daemon = max(before, key=before.get)
        self.before, self.all_before = before[self.daemon], sum(before.values())
        self.pss_before = self.processes.proportional()
        self.most = self.all_most = self.pss_most = 0
        try:  # the kernel's own high-water mark begins anew
            with open(f"/proc/{self.daemon}/clear_refs", "w") as f:
                f.write("5")
            self.exact = True
        except OSError:
            self.exact = False
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()
        return self

    def watch(self):
        while not self.done.wait(0.02):
            now = self.processes.resident()
            self.most = max(self.most, now.get(self.daemon, 0))
            self.all_most = max(self.all_most, sum(now.values()))
            if self.pss_before is not None:
                self.pss_most = max(self.pss_most, self.processes.proportional())

    def __exit__(self, *_):
        self.done.set()
        self.watcher.join()
        self.after = self.processes.resident().get(self.daemon, 0)
        if self.exact:
            with open(f"/proc/{self.daemon}/status") as f:
                self.most = int(re.search(r"^VmHWM:\s+(\d+)", f.read(), re.M).group(1)) * 1024 / 1e6

    def grown(self):
        return {"daemon before": self.before, "daemon after": self.after, "daemon peak": self.most,
                "all, growth at peak": max(0, self.all_most - self.all_before),
                "all, PSS, growth at peak": None if self.pss_before is None else max(0, self.pss_most - self.pss_before)}


class Registry:
    def __init__(self, folder, port):
        self.port, self.log = port, f"{folder}/registry.log"
        with open(f"{folder}/registry.yml", "w") as f:
            f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: false}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(["docker-registry", "serve", f"{folder}/registry.yml"],
                                            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
                                            stdout=out, stderr=subprocess.DEVNULL)
        for _ in range(400):
            if self.process.poll() is not None:
                raise RuntimeError(f"docker-registry has ended with {self.process.returncode}: is port {port} in use?")
            try:
                if self.call("GET", "/v2/")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"docker-registry does not answer on port {port}")

    def call(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, dict(r.getheaders()), r.read()

    def blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        where = self.call("POST", f"/v2/{repository}/blobs/uploads/")[1]["Location"].split(str(self.port), 1)[-1]
        status, _, text = self.call("PUT", f"{where}&digest={digest}", data, {"Content-Type": "application/octet-stream"})
        if status != 201:
            raise RuntimeError(text)
        return {"size": len(data), "digest": digest}

    def push(self, repository, layers, tag):
        """layers: of each the tar and its gzip. -> the image's id, the bytes of its layers"""
        docker = "application/vnd.docker."
        config = config_of([tar for tar, _ in layers])
        layers = [self.blob(repository, packed) for _, packed in layers]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": docker + "distribution.manifest.v2+json",
            "config": {"mediaType": docker + "container.image.v1+json", **self.blob(repository, config)},
            "layers": [{"mediaType": docker + "image.rootfs.diff.tar.gzip", **x} for x in layers]})
        status, _, text = self.call("PUT", f"/v2/{repository}/manifests/{tag}", manifest,
                                    {"Content-Type": docker + "distribution.manifest.v2+json"})
        if status != 201:
            raise RuntimeError(text)
        return id_of(config), sum(x["size"] for x in layers)

    def layers(self, repository):
        """Of the image that was pushed there: digest -> size, each of them looked for."""
        status, _, text = self.call("GET", f"/v2/{repository}/manifests/1", headers={
            "Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"})
        if status != 200:
            raise RuntimeError(f"{repository} is not in the registry: {text}")
        found = {x["digest"]: x["size"] for x in json.loads(text)["layers"]}
        for digest, size in found.items():
            status, headers, _ = self.call("HEAD", f"/v2/{repository}/blobs/{digest}")
            if status != 200 or int(headers["Content-Length"]) != size:
                raise RuntimeError(f"{repository}: {digest} is not there whole")
        return found

    def at(self):
        return os.path.getsize(self.log)

    def check_sent(self, repository, since, size):
        """That blobs of so many bytes were fetched since then. A request is told of when its answer has been sent."""
        line = re.compile(rf'"GET /v2/{repository}/blobs/\S+ HTTP/1\.1" 20[06] (\d+) ')
        sent, until = 0, time.monotonic() + 10
        while time.monotonic() < until:
            with open(self.log) as f:
                f.seek(since)
                sent = sum(int(n) for n in line.findall(f.read()))
            if sent >= size:
                return
            time.sleep(0.01)
        raise RuntimeError(f"{repository}: {sent} of {size} bytes were fetched")


def id_of(config):
    return "sha256:" + hashlib.sha256(config).hexdigest()


def config_of(tars):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in tars]}}).encode()


def add_bytes(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def files_of_usr(most):
    """Those of at most so many bytes, in an order that is the same each time and mixes what /usr has."""
    found = []
    for top in ("/usr/bin", "/usr/lib", "/usr/share"):
        for directory, _, names in os.walk(top):
            found += [path for path in (os.path.join(directory, name) for name in names) if not os.path.islink(path)
                      and os.path.isfile(path) and os.path.getsize(path) <= most and os.access(path, os.R_OK)]
    found.sort()
    random.Random(12).shuffle(found)
    return found


class Layer:
    """Files of /usr, and a file before them that makes each fresh() one unlike any other."""

    def __init__(self, files, size):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            while out.tell() < size:
                tar.add(next(files), recursive=False)
        self.tar = out.getvalue()
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.deflated = deflate.compress(self.tar) + deflate.flush()

    def fresh(self):
        """-> the tar, and the same by gzip, of which the long part is compressed once only"""
        first = tarfile.TarInfo("usr/coracle-bench")
        first.size = 64
        head = first.tobuf() + os.urandom(32).hex().encode().ljust(512, b"\0")
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        begin = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
        tar = head + self.tar
        end = struct.pack("<II", zlib.crc32(tar), len(tar) & 0xffffffff)
        return tar, b"\x1f\x8b\x08" + bytes(6) + b"\xff" + begin + self.deflated + end


class Act:
    """run(e) is timed; before and after, which looks at what was done, are not."""

    def __init__(self, run, before=lambda e: None, after=lambda e: None):
        self.run, self.before, self.after = run, before, after


class Bench:
    def __init__(self, engines, registry, folder, megabytes):
        self.engines, self.registry, self.folder = engines, registry, folder
        self.size = megabytes << 20
        files = iter(files_of_usr(self.size // 80))
        self.layers = {"ten": [Layer(files, self.size // 10) for _ in range(10)]}
        one = [Layer(iter(files_of_usr(self.size // 8)), self.size)]
        self.layers |= {"one": one, "archive": one, "push": one}
        self.made = {}  # name and round -> id, bytes on the way
        self.pushed, self.streams, self.known = {}, {}, set()
        self.left = []  # what was pushed, and by whom
        self.round = 0
        self.make_box()
        for e in engines:
            e.docker("rm", "-f", CP, check=False)
            e.docker("import", "-c", "CMD sh", "-c", "ENV PATH=/bin", f"{folder}/box.tar", BOX)
            e.docker("create", "--name", CP, BOX)

    # ---- images: of each name one a round

    def image(self, name, number=None):
        """-> its id, and how many bytes it has in the registry or the archive"""
        key = name, self.round if number is None else number
        if key not in self.made:
            layers = [x.fresh() for x in self.layers[name]]
            self.made[key] = (self.write_archive(layers[0][0], key[1]) if name == "archive"
                              else self.registry.push(f"bench/{name}", layers, key[1]))
        return self.made[key]

    def write_archive(self, tar, number):
        """As Docker saves an image of one layer."""
        config = config_of([tar])
        hexes = id_of(config).removeprefix("sha256:")
        with tarfile.open(self.archive, "w") as out:
            add_bytes(out, f"{hexes}.json", config)
            add_bytes(out, "layer/layer.tar", tar)
            names = [f"coracle-bench/archive:{number}"]
            images = [{"Config": f"{hexes}.json", "RepoTags": names, "Layers": ["layer/layer.tar"]}]
            add_bytes(out, "manifest.json", json.dumps(images).encode())
        return id_of(config), len(tar)

    @property
    def archive(self):
        return f"{self.folder}/archive.tar"

    def make_box(self):
        with open(f"{self.folder}/big", "wb") as f:
            f.write(os.urandom(STREAM))
        with tarfile.open(f"{self.folder}/box.tar", "w") as tar:
            tar.add("/bin/busybox", "bin/busybox")
            for name in ("sh", "cat", "sleep", "true"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            # Lines of 76 characters, as a program may print them.
            add_bytes(tar, "text", base64.encodebytes(os.urandom(STREAM * 57 // 77 + 57))[:STREAM - 1] + b"\n")

    def is_there(self, e, name, number=None):
        return e.docker("image", "inspect", "-f", "{{.Id}}", self.image(name, number)[0], check=False) != ""

    def with_image(self, e, name, number=None):
        if not self.is_there(e, name, number):
            e.docker("pull", "-q", self.reference(e, name, number))
        self.check_there(e, name, number)

    def check_there(self, e, name, number=None):
        if not self.is_there(e, name, number):
            raise RuntimeError(f"{e.name}: {name} is not there")

    def check_gone(self, e, name, number=None):
        if self.is_there(e, name, number):
            raise RuntimeError(f"{e.name}: {name} is there")

    def reference(self, e, name, number=None):
        return f"{e.registry}/bench/{name}:{self.round if number is None else number}"

    # ---- the acts

    def acts(self):
        return {
            "pull, one layer": self.pull("one"),
            "pull, ten layers": self.pull("ten"),
            "load": Act(lambda e: e.docker("load", "-q", "-i", self.archive), lambda e: self.check_gone(e, "archive"),
                        lambda e: self.check_there(e, "archive")),
            "save": Act(self.save, lambda e: self.with_image(e, "one", 0), self.check_saved),
            "save, API": Act(self.save_by_api, lambda e: self.with_image(e, "one", 0), self.check_saved),
            "push": Act(lambda e: e.docker("push", "-q", self.pushed[e.name][1]), self.make_push, self.check_push),
            "cp in, 100 MiB": Act(lambda e: e.docker("cp", f"{self.folder}/big", f"{CP}:/big")),
            "attached stdout, 100 MiB": Act(self.stream, self.open_stream, self.close_stream),
            "attached stdout, 100 MiB, no log": Act(self.stream, lambda e: self.open_stream(e, "--log-driver", "none"),
                                                    self.close_stream),
            "run, 100 MiB to stdout": Act(lambda e: self.into(e, os.devnull, "run", "--rm", "--network", "none", BOX, "cat",
                                                              "/text")),
            "rmi": Act(lambda e: e.docker("rmi", self.reference(e, "one")), lambda e: self.with_image(e, "one"),
                       lambda e: self.check_gone(e, "one")),
            "rmi, API": Act(lambda e: e.api("DELETE", f"/images/{self.reference(e, 'ten')}"), self.fresh_connection,
                            lambda e: self.check_gone(e, "ten")),
        }

    def pull(self, name):
        since = 0

        def before(e):
            nonlocal since
            self.check_gone(e, name)
            since = self.registry.at()

        def after(e):
            self.registry.check_sent(f"bench/{name}", since, self.image(name)[1])
            self.check_there(e, name)
        return Act(lambda e: e.docker("pull", "-q", self.reference(e, name)), before, after)

    @staticmethod
    def into(e, path, *args):
        with open(path, "wb") as f:
            p = subprocess.run(["docker", *args], env=e.env, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.PIPE)
        if p.returncode != 0:
            raise RuntimeError(f"{e.name}: docker {args}: {p.stderr}")

    def save(self, e):
        self.into(e, f"{self.folder}/saved.tar", "save", self.reference(e, "one", 0))

    def save_by_api(self, e):
        c = http.client.HTTPConnection("localhost")
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(e.path)
        c.request("GET", f"/images/{self.reference(e, 'one', 0)}/get")
        with c.getresponse() as r, open(f"{self.folder}/saved.tar", "wb") as f:
            if r.status != 200:
                raise RuntimeError(f"{e.name}: save: {r.read()}")
            shutil.copyfileobj(r, f, 1 << 20)
        c.close()

    def fresh_connection(self, e):
        self.with_image(e, "ten")
        e.kept = None
        e.api("GET", "/_ping")

    def check_saved(self, e):
        if (size := os.path.getsize(f"{self.folder}/saved.tar")) < self.image("one", 0)[1]:
            raise RuntimeError(f"{e.name}: what was saved has {size} bytes")
        os.unlink(f"{self.folder}/saved.tar")

    def make_push(self, e):
        """An image that is nowhere else."""
        with open(f"{self.folder}/push.tar", "wb") as f:
            f.write(self.layers["push"][0].fresh()[0])
        repository = f"bench/push-{e.name}-{self.round}"
        self.pushed[e.name] = repository, f"{e.registry}/{repository}:1"
        e.docker("import", f"{self.folder}/push.tar", self.pushed[e.name][1])
        os.unlink(f"{self.folder}/push.tar")

    def check_push(self, e):
        repository, reference = self.pushed[e.name]
        layers = self.registry.layers(repository)
        if self.known & layers.keys() or sum(layers.values()) < self.size // 20:
            raise RuntimeError(f"{e.name}: {reference} was not pushed anew: {layers}")
        self.known |= layers.keys()
        self.left.append((e, reference))

    def open_stream(self, e, *flags):
        p = subprocess.Popen(["docker", "run", "-i", "--rm", "--network", "none", *flags, BOX, "sh", "-c",
                              "echo ready; read go; cat /text; read go"], env=e.env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.streams[e.name] = p
        if (ready := p.stdout.readline()) != b"ready\n":
            p.kill()
            raise RuntimeError(f"{e.name}: attach: {ready!r} {p.communicate()[1]}")

    def stream(self, e):
        p, got = self.streams[e.name], 0
        p.stdin.write(b"\n")
        while got < STREAM:
            piece = p.stdout.read(1 << 20)
            if not piece:
                raise RuntimeError(f"{e.name}: attach: {got} bytes came")
            got += len(piece)

    def close_stream(self, e):
        if (rest := self.streams[e.name].communicate(b"\n", timeout=60)[0]):
            raise RuntimeError(f"{e.name}: attach: {len(rest)} bytes too many")

    # ---- rounds

    def run(self, rounds, only):
        """-> act -> engine -> [time, time until it is on the disk, processor time] of each round"""
        out = {}
        print("\n" + self.head() + "\n|" + "---|" * (len(self.engines) + 5), flush=True)
        for name, act in self.acts().items():
            if only and re.split("[, ]", name)[0] not in only:
                continue
            out[name] = {e.name: [] for e in self.engines}
            for self.round in range(rounds + 1):
                for e in random.sample(self.engines, len(self.engines)):
                    act.before(e)
                    os.sync()
                    spent, start = e.processes.seconds(), time.monotonic()
                    act.run(e)
                    took = time.monotonic() - start
                    cpu = e.processes.seconds() - spent
                    os.sync()
                    synced = time.monotonic() - start
                    act.after(e)
                    if self.round > 0:  # the first warms
                        out[name][e.name].append((took, synced, cpu))
            print(self.row(name, out[name]), flush=True)
        return out

    def head(self):
        return "| | " + " | ".join(e.name for e in self.engines) + " | ratio | goal | with sync | processor |"

    def row(self, name, times):
        medians = {e.name: [statistics.median(x[i] for x in times[e.name]) for i in range(3)] for e in self.engines}
        lists = [medians[e.name] for e in self.engines]
        cells = [f"{min(x[0] for x in times[e.name]):.2f} / {medians[e.name][0]:.2f} ({medians[e.name][2]:.2f})"
                 for e in self.engines]
        ratios = []
        for i in range(3):
            best = min((x[i] for x in lists[1:]), default=0)
            ratios.append(f"{lists[0][i] / best:.2f}" if best else "–")
        cells += [ratios[0], str(GOALS.get(name, "–")), ratios[1], ratios[2]]
        return "| " + " | ".join([name] + cells) + " |"

    def memory(self, rounds):
        """Pulls apart from those that are timed: who watches takes processor time."""
        print(f"\nMemory in a pull of one layer, MB, the worst of {rounds} (goal: ours grows by less than {MOST_GROWTH})\n")
        print("| | daemon before | peak | growth | growth afterwards | all processes, RSS | all, PSS |\n|" + "---|" * 7)
        seen = {e.name: [] for e in self.engines}
        for self.round in range(1000, 1000 + rounds):
            for e in self.engines:
                self.check_gone(e, "one")
                with Peak(e.processes) as peak:
                    e.docker("pull", "-q", self.reference(e, "one"))
                seen[e.name].append(peak.grown())
        for name, all_of_it in seen.items():
            worst = max(all_of_it, key=lambda x: x["daemon peak"] - x["daemon before"])
            most = {key: max((x[key] for x in all_of_it if x[key] is not None), default=None) for key in list(worst)[3:]}
            cells = [worst["daemon before"], worst["daemon peak"], worst["daemon peak"] - worst["daemon before"],
                     worst["daemon after"] - worst["daemon before"], *most.values()]
            print(f"| {name} | " + " | ".join("–" if x is None else f"{x:.1f}" for x in cells) + " |", flush=True)
        return seen

    def clean(self):
        for e in self.engines:
            e.docker("rm", "-f", CP, check=False)
            pushed = [reference for engine, reference in self.left if engine is e]
            e.docker("rmi", "-f", BOX, *pushed, *(x[0] for x in self.made.values()), check=False)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--engine", action="append", required=True, metavar="NAME=SOCKET,REGISTRY")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--megabytes", type=int, default=300)
    p.add_argument("--port", type=int, default=5000)
    p.add_argument("--only", action="append", help="pull, load, save, rmi, push, cp, attached, run, memory")
    p.add_argument("--json")
    args = p.parse_args()
    engines = []
    for text in args.engine:
        name, _, rest = text.partition("=")
        address, _, registry = rest.partition(",")
        engines.append(Engine(name, address))
        engines[-1].registry = registry or f"127.0.0.1:{args.port}"
        engines[-1].processes = Processes(engines[-1])
    folder = tempfile.mkdtemp(prefix="coracle-bench-images-")
    registry = bench = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and nothing is left behind
    results = {"megabytes": args.megabytes, "rounds": args.rounds}
    try:
        registry = Registry(folder, args.port)
        bench = Bench(engines, registry, folder, args.megabytes)
        sizes = ", ".join(f"{name} {bench.image(name)[1] / 1e6:.0f} MB" for name in ("one", "ten", "archive"))
        print(f"{args.megabytes} MB ({sizes} as they go), {args.rounds} rounds: seconds, minimum / median (processor time)")
        results["acts"] = bench.run(args.rounds, args.only)
        if not args.only or "memory" in args.only:
            results["memory"] = bench.memory(args.rounds)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows may take a minute
        if args.json:
            with open(args.json, "w") as f:
                json.dump(results, f, indent=1)
        if registry:
            registry.process.terminate()
            registry.process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        if bench:
            bench.clean()


if __name__ == "__main__":
    main()
