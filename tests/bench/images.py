#!/usr/bin/env python3
"""Times images and streams beside the peers: pull, push, load, save, rmi, cp, attach; time and processor time.

  images.py --engine coracle=unix:///…,127.0.0.1:5000 --engine docker=unix:///…,10.0.2.2:5000 [--rounds 5] [--megabytes 300]

Each engine comes with the address under which it reaches the docker-registry that this starts on 127.0.0.1:5000, which must
be among its insecure registries. The first engine is ours. Layers are made of this machine's /usr, gzip -1 in the registry.
Rounds are interleaved, as in bench.py, and each does the whole work: what is pulled or loaded is not there before, and what is
pushed has content of its own. Processor time is that of the processes with the socket's name in their command line and of
all that came of them, the ended ones too; clients are not counted, and what is left to the background (unlinking) is over
before the next act begins. Only ratios within one run count.
"""
import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time

from bench import Engine

PORT = 5000
TICK = os.sysconf("SC_CLK_TCK")
STREAM = 100 << 20


class Processes:
    """Of an engine, by its socket's name."""

    def __init__(self, engine):
        self.mark = "/" + os.path.basename(engine.path)

    def named(self):
        """Those with the name itself: the daemon, not its helpers."""
        found = []
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    if self.mark in f.read():
                        found.append(pid)
            except OSError:
                pass
        return found

    def tree(self):
        stats, found = {}, set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    stats[pid] = f.read().rsplit(")", 1)[1].split()
                with open(f"/proc/{pid}/cmdline") as f:
                    if self.mark in f.read():
                        found.add(pid)
            except OSError:
                continue
        while more := {p for p, s in stats.items() if s[1] in found and p not in found}:
            found |= more
        return {p: stats[p] for p in found}

    def seconds(self):
        """user, system, and those of the children that were waited for"""
        return sum(int(x) for s in self.tree().values() for x in s[11:15]) / TICK

    def settle(self):
        """Until what the last act left to the background is done: half a second with hardly any work."""
        os.sync()  # who syncs what he has written does not wait for what others wrote
        last, quiet, end = self.seconds(), 0, time.monotonic() + 20
        while quiet < 5 and time.monotonic() < end:
            time.sleep(0.1)
            now = self.seconds()
            quiet, last = quiet + 1 if now - last <= 2 / TICK else 0, now

    def memory(self):
        """Of the daemon, in MB."""
        most = 0
        for pid in self.named():
            try:
                with open(f"/proc/{pid}/statm") as f:
                    most = max(most, int(f.read().split()[1]) * 4096)
            except OSError:
                pass
        return most / 1e6


class Registry:
    def __init__(self, folder):
        with open(f"{folder}/registry.yml", "w") as f:
            f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\nhttp: {{addr: '127.0.0.1:{PORT}'}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", f"{folder}/registry.yml"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            try:
                if self.call("GET", "/v2/")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"docker-registry does not answer on port {PORT}")

    def call(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, dict(r.getheaders()), r.read()

    def blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        where = self.call("POST", f"/v2/{repository}/blobs/uploads/")[1]["Location"].split(str(PORT), 1)[-1]
        status, _, text = self.call("PUT", f"{where}&digest={digest}", data, {"Content-Type": "application/octet-stream"})
        if status != 201:
            raise RuntimeError(text)
        return {"size": len(data), "digest": digest}

    def push(self, repository, tars):
        docker = "application/vnd.docker."
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in tars]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": docker + "distribution.manifest.v2+json",
            "config": {"mediaType": docker + "container.image.v1+json", **self.blob(repository, config)},
            "layers": [{"mediaType": docker + "image.rootfs.diff.tar.gzip", **self.blob(repository, gzip.compress(x, 1))}
                       for x in tars]})
        status, _, text = self.call("PUT", f"/v2/{repository}/manifests/1", manifest,
                                    {"Content-Type": docker + "distribution.manifest.v2+json"})
        if status != 201:
            raise RuntimeError(text)


def tars_of_usr(count, size):
    """So many tars of about so many bytes, of different files."""
    files = (os.path.join(d, n) for top in ("/usr/lib", "/usr/bin", "/usr/share") for d, _, names in os.walk(top)
             for n in sorted(names))
    for _ in range(count):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            while out.tell() < size:
                path = next(files)
                if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                    tar.add(path, recursive=False)
        yield out.getvalue()


class Bench:
    def __init__(self, engines, registry, folder, megabytes):
        self.engines, self.registry, self.folder = engines, registry, folder
        self.size = megabytes << 20
        self.number = 0
        self.grown = {e.name: [] for e in engines}
        registry.push("bench/one", list(tars_of_usr(1, self.size)))
        registry.push("bench/ten", list(tars_of_usr(10, self.size // 10)))
        with open(f"{folder}/big", "wb") as f:
            f.write(os.urandom(1 << 20) * (STREAM >> 20))
        busybox = f"{folder}/busybox.tar"
        with tarfile.open(busybox, "w") as tar:
            tar.add("/bin/busybox", "bin/busybox")
            lines = b"a line of a log, as long as such lines are: 0123456789 abcdefghijklmnopqrstuvwxyz 0123456789\n"
            text = tarfile.TarInfo("lines")  # no zeros: in a JSON log each would be six bytes
            text.size = 1 << 20
            tar.addfile(text, io.BytesIO((lines * (text.size // len(lines) + 1))[:text.size]))
            for name in ("sh", "cat", "dd", "sleep", "true"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for e in engines:
            e.docker("import", "-c", "CMD sh", "-c", "ENV PATH=/bin", busybox, "bench-box:1")
            e.docker("rm", "-f", "bench-cp", check=False)
            e.docker("create", "--name", "bench-cp", "bench-box:1")

    def image(self, e, name):
        return f"{e.registry}/bench/{name}:1"

    def without(self, e, name):
        e.docker("rmi", "-f", self.image(e, name), check=False)
        e.docker("image", "prune", "-f")

    def with_image(self, e, name):
        e.docker("pull", self.image(e, name))

    def make_archive(self, e):
        if not os.path.exists(f"{self.folder}/{e.name}.tar"):
            self.with_image(e, "one")
            e.docker("save", "-o", f"{self.folder}/{e.name}.tar", self.image(e, "one"))
        self.without(e, "one")

    def pull_watched(self, e):
        before, most, done = e.processes.memory(), 0, threading.Event()

        def watch():
            nonlocal most
            while not done.wait(0.02):
                most = max(most, e.processes.memory())
        watcher = threading.Thread(target=watch) if e is self.engines[0] else None
        if watcher:
            watcher.start()
        e.docker("pull", "-q", self.image(e, "one"))
        done.set()
        if watcher:
            watcher.join()
            self.grown[e.name].append(most - before)

    def make_push(self, e):
        """An image that is nowhere else: the layer of this round, and what only this engine has."""
        self.number += 1
        path = f"{self.folder}/push.tar"
        data = bytearray(next(tars_of_usr(1, self.size)))
        name = f"n{self.number}".encode()
        data[0:len(name)] = name  # the first file's name; its header's sum follows
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        with open(path, "wb") as f:
            f.write(data)
        self.pushed = f"{e.registry}/bench/push{self.number}:1"
        e.docker("import", path, self.pushed)

    def acts(self):
        one = "one"
        return {
            "pull, one layer": (lambda e: self.without(e, one), self.pull_watched),
            "pull, ten layers": (lambda e: self.without(e, "ten"), lambda e: e.docker("pull", "-q", self.image(e, "ten"))),
            "save": (lambda e: self.with_image(e, one), lambda e: e.docker("save", "-o", f"{self.folder}/saved.tar",
                                                                            self.image(e, one))),
            "rmi": (lambda e: self.with_image(e, one), lambda e: e.docker("rmi", self.image(e, one))),
            "load": (self.make_archive, lambda e: e.docker("load", "-q", "-i", f"{self.folder}/{e.name}.tar")),
            "push": (self.make_push, lambda e: e.docker("push", "-q", self.pushed)),
            "cp in, 100 MiB": (lambda e: None, lambda e: e.docker("cp", "-q", f"{self.folder}/big", "bench-cp:/big")),
            "attached stdout, 100 MiB": (lambda e: None, self.attach),
        }

    def attach(self, e):
        p = subprocess.run(["docker", "run", "--rm", "--network", "none", "bench-box:1", "sh", "-c",
                            f"i=0; while [ $i -lt {STREAM >> 20} ]; do cat /lines; i=$((i+1)); done"], env=e.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if p.returncode != 0:
            raise RuntimeError(f"{e.name}: attach: {p.stderr}")

    def clean(self, e, act):
        if act == "push":
            e.docker("rmi", "-f", self.pushed, check=False)

    def run(self, rounds, only):
        times = {}
        for act, (before, do) in self.acts().items():
            if only and act.split(",")[0].split(" ")[0] not in only:
                continue
            for number in range(rounds + 1):
                for e in random.sample(self.engines, len(self.engines)):
                    before(e)
                    e.processes.settle()
                    spent, start = e.processes.seconds(), time.monotonic()
                    do(e)
                    took = time.monotonic() - start
                    cpu = e.processes.seconds() - spent
                    self.clean(e, act)
                    if number > 0:  # the first warms the caches
                        times.setdefault((act, e.name), []).append((took, cpu))
            self.tell(act, times)
        grown = self.grown[self.engines[0].name]
        if grown:
            print(f"\n{self.engines[0].name} has grown by at most {max(grown):.0f} MB in a pull of {self.size >> 20} MB")

    def tell(self, act, times):
        medians = {e.name: [statistics.median(x[i] for x in times[act, e.name]) for i in (0, 1)] for e in self.engines}
        ours, peers = self.engines[0].name, [e.name for e in self.engines[1:]]
        cells = [f"{medians[n][0]:.2f} ({medians[n][1]:.2f})" for n in [ours] + peers]
        for i in (0, 1):
            best = min((medians[n][i] for n in peers), default=0)
            cells.append(f"{medians[ours][i] / best:.2f}" if best else "–")
        print("| " + " | ".join([act] + cells) + " |", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--engine", action="append", required=True, metavar="NAME=SOCKET,REGISTRY")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--megabytes", type=int, default=300)
    p.add_argument("--only", action="append", help="pull, save, rmi, load, push, cp, attached")
    args = p.parse_args()
    engines = []
    for text in args.engine:
        name, _, rest = text.partition("=")
        address, _, registry = rest.partition(",")
        engines.append(Engine(name, address))
        engines[-1].registry = registry
        engines[-1].processes = Processes(engines[-1])
    folder = tempfile.mkdtemp(prefix="coracle-bench-images-")
    registry = None
    try:
        registry = Registry(folder)
        bench = Bench(engines, registry, folder, args.megabytes)
        names = [e.name for e in engines]
        print(f"{args.megabytes} MB, {args.rounds} rounds: seconds (and of processor time), medians")
        print("| | " + " | ".join(names) + " | ratio | of processor |\n|" + "---|" * (len(names) + 3))
        bench.run(args.rounds, args.only)
    finally:
        if registry:
            registry.process.terminate()
            registry.process.wait()
        for e in engines:
            e.docker("rm", "-f", "bench-cp", check=False)
            for name in ("one", "ten"):
                e.docker("rmi", "-f", f"{e.registry}/bench/{name}:1", check=False)
            e.docker("rmi", "-f", "bench-box:1", check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
