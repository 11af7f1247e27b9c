"""A stand-in for Redis that can be switched between faults at run time.

It reads whole commands, so that a fault can answer exactly one wrong reply to
each command of a pipeline. In the mode `forward` it is transparent.
"""

import os
import socket
import threading

from .redis import encode_command


class CloseConnection(Exception):
    """A mode raises this to end the connection, after the bytes given."""

    def __init__(self, last_bytes=b""):
        super().__init__()
        self.last_bytes = last_bytes


def read_command(stream):
    """One command as a list of byte strings; None at the end of input."""
    line = stream.readline()
    if not line.endswith(b"\r\n") or not line.startswith(b"*"):
        return None
    command = []
    for _ in range(int(line[1:-2])):
        size = int(stream.readline()[1:-2])
        command.append(stream.read(size + 2)[:-2])
    return command


def read_raw_reply(stream):
    """One reply, undecoded."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("upstream closed")
    kind = line[:1]
    if kind == b"$" and int(line[1:-2]) >= 0:
        return line + stream.read(int(line[1:-2]) + 2)
    if kind == b"*" and int(line[1:-2]) > 0:
        return line + b"".join(read_raw_reply(stream) for _ in range(int(line[1:-2])))
    return line


class _Link:
    """One client's connection, with its own connection to the real server."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.input = client.makefile("rb")
        self.upstream = None
        self.output = None

    def forward(self, command):
        """The real server's answer to a command, as raw bytes."""
        if self.upstream is None:
            self.upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.upstream.connect(self.proxy.upstream_path)
            self.output = self.upstream.makefile("rb")
        self.upstream.sendall(encode_command(command))
        return read_raw_reply(self.output)

    def serve(self):
        try:
            while (command := read_command(self.input)) is not None:
                self.proxy.seen(command)
                self.client.sendall(self.proxy.mode(self, command))
        except CloseConnection as end:
            self._send_last(end.last_bytes)
        except (OSError, ValueError):
            pass
        finally:
            self.close()

    def _send_last(self, data):
        try:
            self.client.sendall(data)
        except OSError:
            pass

    def close(self):
        for end in (self.client, self.upstream):
            if end is not None:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()


class RedisProxy:
    """Listens on a unix socket; `mode` is one of the functions below."""

    def __init__(self, directory, upstream_path, name="proxy.sock"):
        self.socket_path = os.path.join(directory, name)
        self.upstream_path = upstream_path
        self.mode = forward
        self.changed = threading.Event()
        self.links = set()
        self.commands = []
        self.greeting = None
        self.listener = None

    @property
    def url(self):
        return f"unix:{self.socket_path}"

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.socket_path)
        os.chmod(self.socket_path, 0o777)
        self.listener.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.greeting is not None:
                client.sendall(self.greeting)
                client.close()
                continue
            link = _Link(self, client)
            self.links.add(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        try:
            link.serve()
        finally:
            self.links.discard(link)

    def seen(self, command):
        self.commands.append(command)

    def set_mode(self, mode, *, greeting=None, drop=False):
        """Switch the fault; wakes whoever hangs in the former one.

        `greeting` is sent, and the connection closed, instead of any service.
        With `drop` the present connections end, so that new ones are made.
        """
        self.mode = mode
        self.greeting = greeting
        self.changed.set()
        self.changed = threading.Event()
        if drop:
            for link in list(self.links):
                link.close()

    def stop(self):
        self.set_mode(forward, drop=True)
        if self.listener is not None:
            self.listener.close()
            self.listener = None


def forward(link, command):
    return link.forward(command)


def hang(link, command):
    """Take the command and say nothing until the mode changes."""
    del command
    link.proxy.changed.wait()
    raise CloseConnection()


def slow(seconds):
    """Answer correctly, but later than any deadline."""

    def mode(link, command):
        link.proxy.changed.wait(seconds)
        return link.forward(command)

    return mode


def answer(data):
    """The same bytes as the reply to each command."""

    def mode(link, command):
        del link, command
        return data

    return mode


def error(text):
    """An error reply to each command, as `LOADING ...` or `NOAUTH ...`."""
    return answer(b"-" + text.encode() + b"\r\n")


def close_in_mid_reply(link, command):
    """Half of the right reply, then the end of the connection."""
    reply = link.forward(command)
    raise CloseConnection(reply[: max(1, len(reply) // 2)])


def close_at_once(link, command):
    del link, command
    raise CloseConnection()


def stall_in_mid_reply(link, command):
    """Half of the right reply, then silence."""
    reply = link.forward(command)
    link.client.sendall(reply[: max(1, len(reply) // 2)])
    return hang(link, command)


def edit_buckets(edit):
    """Change the values that a bucket look-up (HGET, HMGET on c:) returns."""

    def mode(link, command):
        reply = link.forward(command)
        is_look_up = command[0].upper() in (b"HMGET", b"HGET") and command[1].startswith(b"c:")
        return edit(reply) if is_look_up else reply

    return mode


def edit_bulks(change):
    """Apply `change` to every bulk string of a reply made of bulk strings."""

    def edit(reply):
        parts, rest = [], reply
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            if line.startswith(b"$") and int(line[1:]) >= 0:
                size = int(line[1:])
                value = change(rest[:size])
                parts.append(b"$%d\r\n%s\r\n" % (len(value), value))
                rest = rest[size + 2:]
            else:
                parts.append(line + b"\r\n")
        return b"".join(parts)

    return edit
