"""Clients of the API's streams, for what the docker CLI does not show: frames, stalled readers, WebSockets."""
import base64
import hashlib
import json
import os
import socket
import struct


class Stream:
    """One request whose answer is a stream: its head, then raw bytes (chunks are undone)."""

    def __init__(self, daemon, method, path, body=None, upgrade=True, timeout=60):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(timeout)
        self.s.connect(daemon.socket)
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
        if upgrade:
            head += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self.s.sendall(head.encode() + b"\r\n" + data)
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            more = self.s.recv(65536)
            if not more:
                raise AssertionError(f"no answer to {path}: {self.buffer!r}")
            self.buffer += more
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        self.status = int(self.head.split()[1])
        self.chunked = "transfer-encoding: chunked" in self.head.lower()
        self.ended = False

    def close(self):
        self.s.close()

    def _fill(self):
        more = self.s.recv(1 << 20)
        self.buffer += more
        return bool(more)

    def _raw(self, n):
        """n bytes, or None at the end."""
        while len(self.buffer) < n:
            if not self._fill():
                return None
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._fill():
                return None
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def pieces(self):
        """Bytes as they come, until the end."""
        while self.chunked:
            size = self._line()
            if size is None or int(size, 16) == 0:
                return
            piece = self._raw(int(size, 16) + 2)
            if piece is None:
                return
            yield piece[:-2]
        while True:
            if self.buffer:
                piece, self.buffer = self.buffer, b""
                yield piece
            elif not self._fill():
                return

    def frames(self):
        """(stream, payload) of the multiplexed format."""
        rest = b""
        for piece in self.pieces():
            rest += piece
            while len(rest) >= 8:
                size = struct.unpack(">I", rest[4:8])[0]
                if len(rest) < 8 + size:
                    break
                yield rest[0], rest[8:8 + size]
                rest = rest[8 + size:]

    def read_all(self):
        return b"".join(self.pieces())

    def payload(self):
        return b"".join(p for _, p in self.frames())


class WebSocket:
    """A small client of RFC 6455."""

    def __init__(self, daemon, path, timeout=60):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(timeout)
        self.s.connect(daemon.socket)
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            more = self.s.recv(4096)
            if not more:
                break
            self.buffer += more
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split()[1])
        accept = base64.b64encode(hashlib.sha1(
            (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        self.accepted = f"Sec-WebSocket-Accept: {accept}".lower() in self.head.lower()

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        n = len(data)
        size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.s.sendall(bytes([0x80 | opcode]) + size + mask + body)

    def _read(self, n):
        while len(self.buffer) < n:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def receive(self):
        """(opcode, payload); 8 is close."""
        first, second = self._read(2)
        n = second & 0x7f
        if n == 126:
            n = struct.unpack(">H", self._read(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self._read(8))[0]
        return first & 0xf, self._read(n)

    def read_until(self, text):
        """Payloads until text was seen; and the kinds of messages."""
        data, kinds = b"", set()
        while text not in data:
            opcode, payload = self.receive()
            kinds.add(opcode)
            if opcode == 8:
                raise AssertionError(f"closed before {text!r}: {data!r}")
            data += payload
        return data, kinds

    def read_to_close(self):
        """All payloads until the other side closes."""
        data = b""
        while True:
            opcode, payload = self.receive()
            if opcode == 8:
                return data
            data += payload

    def close(self):
        self.s.close()
