"""docker run -it, attach and exec -it on a pseudo terminal."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from harness import DOCKER, Case, client_version, main


class Terminal:
    """The docker CLI on a pty of its own."""

    def __init__(self, case, *args, rows=24, cols=80):
        self.master, slave = pty.openpty()
        self.size(rows, cols)
        self.text = ""
        self.p = subprocess.Popen([DOCKER, *args], env=case.daemon.docker_env(), stdin=slave,
                                  stdout=slave, stderr=slave, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def size(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, data):
        os.write(self.master, data.encode() if isinstance(data, str) else data)

    def read(self, seconds=0.1):
        if not select.select([self.master], [], [], seconds)[0]:
            return
        try:
            self.text += os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            pass  # EIO: the other side has closed

    def expect(self, *texts, seconds=60):
        """Reads until one of them has come, and answers which."""
        end = time.monotonic() + seconds
        while not (found := [(self.text.index(t), t) for t in texts if t in self.text]):
            if time.monotonic() > end:
                raise AssertionError(f"none of {texts!r} came; there is {self.text!r}")
            self.read()
        _, text = min(found)
        self.text = self.text.split(text, 1)[1]
        return text

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while self.p.poll() is None:
            if time.monotonic() > end:
                self.p.kill()
                raise AssertionError(f"docker did not end; there is {self.text!r}")
            self.read()
        self.read(0)
        os.close(self.master)
        return self.p.returncode


class Tty(Case):
    def test_interactive_shell(self):
        t = Terminal(self, "run", "--rm", "-it", "busybox", "sh")
        t.expect("# ")
        t.send("tty; echo $((6*7))x\r")
        t.expect("/dev/pts/0")
        t.expect("42x")
        t.send("exit 3\r")
        self.assertEqual(t.wait(), 3)

    def expect_size(self, terminal, size):
        """Asked until it is that one: the CLI tells the size when the container runs already (20.10 has no other way),
        and later when its signal has come, which it may have missed. The shell draws its line anew with each change,
        also in the middle of what is typed: only what stty prints is looked for."""
        for _ in range(300):
            terminal.send("stty size\r")
            if terminal.expect("0 0", "24 80", "20 70", "33 111", "40 99") == size:
                return
            time.sleep(0.2)
            terminal.p.send_signal(signal.SIGWINCH)
        self.fail(f"the size is not {size}; there is {terminal.text!r}")

    def test_size_at_start_and_later(self):
        t = Terminal(self, "run", "--rm", "-it", "busybox", "sh", rows=33, cols=111)
        t.expect("# ")
        self.expect_size(t, "33 111")
        t.size(40, 99)
        self.expect_size(t, "40 99")
        t.send("exit\r")
        t.wait()

    def test_the_size_is_there_before_the_first_instruction(self):
        if client_version() < (23, 0):
            self.skipTest("docker CLI 20.10 sends no size with create, only afterwards")
        for _ in range(3):
            t = Terminal(self, "run", "--rm", "-it", "busybox", "stty", "size", rows=31, cols=97)
            t.expect("31 97")
            self.assertEqual(t.wait(), 0)

    def test_interrupt_key(self):
        t = Terminal(self, "run", "--rm", "-it", "busybox", "sh", "-c",
                     "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.1; done")
        t.expect("ready")
        t.send("\x03")
        t.expect("interrupted")
        self.assertEqual(t.wait(), 4)

    def test_detach_and_attach_again(self):
        t = Terminal(self, "run", "-it", "--name", "det", "busybox", "sh")
        t.expect("# ")
        t.send("A=kept\r")
        t.expect("# ")
        t.send("\x10")
        time.sleep(0.1)  # two keys in one read or in two: both must do
        t.send("\x11")
        self.assertEqual(t.wait(), 0)
        self.assertTrue(self.inspect("det", "State.Running"))
        t = Terminal(self, "attach", "det")
        t.send("echo $A again\r")
        t.expect("kept again")
        t.send("exit 5\r")
        self.assertEqual(t.wait(), 5)

    def test_own_detach_keys(self):
        t = Terminal(self, "run", "-it", "--detach-keys", "ctrl-x,x", "--name", "own", "busybox", "sh")
        t.expect("# ")
        t.send("\x18x")
        self.assertEqual(t.wait(), 0)
        self.assertTrue(self.inspect("own", "State.Running"))

    def test_exec_on_a_terminal(self):
        self.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
        t = Terminal(self, "exec", "-it", "c1", "sh", rows=20, cols=70)
        t.expect("# ")
        self.expect_size(t, "20 70")
        t.send("tty\r")
        t.expect("/dev/pts/")
        t.send("exit 6\r")
        self.assertEqual(t.wait(), 6)

    def test_terminal_output_is_logged_raw(self):
        t = Terminal(self, "run", "-it", "--name", "log", "busybox", "echo", "seen")
        t.expect("seen")
        t.wait()
        self.assertEqual(self.docker("logs", "log").out, "seen\r\n")


if __name__ == "__main__":
    main()
