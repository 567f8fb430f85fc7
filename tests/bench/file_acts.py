"""Table 5 of bench.py: files in, out and of a container. The files are made once, in a folder of this run."""
import atexit
import os
import shutil
import subprocess
import tempfile

FILES, FILE_SIZE, BIG = 6000, 10333, 60 << 20  # 62 MB in files


class Folder:
    """The files to be copied, made when they are first asked for."""

    def __init__(self):
        self.path = None

    def make(self):
        if self.path:
            return self.path
        self.path = tempfile.mkdtemp(prefix="coracle-bench-")
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)
        os.mkdir(f"{self.path}/many")
        with open("/dev/urandom", "rb") as source:
            with open(f"{self.path}/big", "wb") as f:
                for _ in range(BIG >> 20):
                    f.write(source.read(1 << 20))
            for i in range(FILES):
                if i % 100 == 0:
                    os.mkdir(f"{self.path}/many/{i // 100}")
                with open(f"{self.path}/many/{i // 100}/{i}", "wb") as f:
                    f.write(source.read(FILE_SIZE))
        return self.path


def drained(engine, *args):
    with subprocess.Popen(["docker", *args], env=engine.env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as p:
        _, err = p.communicate(timeout=300)
    if p.returncode != 0:
        raise RuntimeError(f"{engine.name}: docker {' '.join(args)}: {err.decode().strip()}")


def file_table(act, create, running, remove):
    """act: bench.Act; create, running, remove: bench's own."""
    folder = Folder()

    def with_files(what, make=create):
        def before(e):
            cid = make(e)
            e.docker("cp", f"{folder.make()}/{what}", f"{cid}:/{what}")
            return cid
        return before

    def empty(make):
        def before(e):
            folder.make()
            return make(e)
        return before

    def remove_all(e, cid):
        ids = e.docker("images", "-q", "bench-committed").split()
        remove(e, cid)
        if ids:
            e.docker("rmi", "-f", *ids, check=False)

    many = f"{FILES} files (62 MB)"
    return [
        act("docker cp in, 60 MB, running", "ms",
            lambda e, cid: e.docker("cp", f"{folder.path}/big", f"{cid}:/big"),
            before=empty(running), after=remove, rounds=0.4),
        act(f"docker cp in, {many}, running", "ms",
            lambda e, cid: e.docker("cp", f"{folder.path}/many", f"{cid}:/many"),
            before=empty(running), after=remove, rounds=0.4),
        act(f"docker cp in, {many}, created", "ms",
            lambda e, cid: e.docker("cp", f"{folder.path}/many", f"{cid}:/many"),
            before=empty(create), after=remove, rounds=0.4),
        act("docker cp out, 60 MB, running", "ms", lambda e, cid: drained(e, "cp", f"{cid}:/big", "-"),
            before=with_files("big", running), after=remove, rounds=0.4),
        act(f"docker cp out, {many}, running", "ms",
            lambda e, cid: drained(e, "cp", f"{cid}:/many", "-"),
            before=with_files("many", running), after=remove, rounds=0.4),
        act(f"docker diff, {FILES} new files", "ms", lambda e, cid: drained(e, "diff", cid),
            before=with_files("many"), after=remove, rounds=0.4),
        act(f"docker commit, {many} new", "ms",
            lambda e, cid: e.docker("commit", cid, "bench-committed:1"),
            before=with_files("many"), after=remove_all, rounds=0.4),
        act(f"docker export, {many}", "ms", lambda e, cid: drained(e, "export", cid),
            before=with_files("many"), after=remove, rounds=0.4),
    ]
