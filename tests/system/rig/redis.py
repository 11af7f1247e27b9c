"""A private Redis server and a small RESP client."""

import os
import signal
import socket

from .proc import Process, ready, wait_for


class RespError(Exception):
    """An error reply of the server; the text begins with its code."""


def encode_command(arguments):
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        if isinstance(argument, int):
            argument = str(argument)
        if isinstance(argument, str):
            argument = argument.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(argument), argument))
    return b"".join(parts)


def read_reply(stream):
    """One reply from a buffered binary stream; raises on an error reply."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise RespError(rest.decode(errors="replace"))
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else stream.read(size + 2)[:-2]
    if kind == b"*":
        return [read_reply(stream) for _ in range(int(rest))]
    raise ConnectionError(f"not a RESP reply: {line!r}")


def tls_options(port, ca_file, cert_file, key_file, *, clients="no"):
    """Options of redis-server for TLS on a port; `clients` "yes": they must show a certificate."""
    return ["--tls-port", str(port), "--tls-ca-cert-file", ca_file, "--tls-cert-file", cert_file,
            "--tls-key-file", key_file, "--tls-auth-clients", clients]


class RespClient:
    """One connection: `client('HGET', key, field)`."""

    def __init__(self, address, timeout=10.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.stream = self.socket.makefile("rb")

    def __call__(self, *arguments):
        self.socket.sendall(encode_command(arguments))
        return read_reply(self.stream)

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Redis:
    """redis-server as the product requires it: durable and never evicting."""

    def __init__(self, directory, name="redis", *, options=(), port=0, env=None, launcher=()):
        """`env` is added to the environment; `launcher` is a command that runs the server in another place."""
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory, exist_ok=True)
        self.socket_path = os.path.join(self.directory, "redis.sock")
        self.port = port
        self.password = None
        self.options = list(options)
        self.env = os.environ | env if env else None
        self.launcher = list(launcher)
        self.process = None
        self.log_path = os.path.join(self.directory, "redis.log")

    @property
    def url(self):
        return f"unix:{self.socket_path}"

    def _argv(self):
        return [
            *self.launcher,
            "redis-server",
            "--dir", self.directory,
            "--unixsocket", self.socket_path,
            "--unixsocketperm", "777",
            "--bind", "127.0.0.1",
            "--port", str(self.port),
            "--appendonly", "yes",
            "--appendfsync", "always",
            "--save", "",
            "--maxmemory-policy", "noeviction",
            "--daemonize", "no",
            *self.options,
        ]

    def start(self):
        if os.path.exists(self.socket_path):
            os.unlink(self.socket_path)
        self.process = Process("redis-server", self._argv(), self.log_path, env=self.env)
        self.process.start()
        ready(self.process, self._answers, "Redis answers PING")
        return self

    def _answers(self):
        try:
            with RespClient(self.socket_path) as client:
                return client("PING") == "PONG"
        except RespError as error:
            return str(error).startswith("NOAUTH")
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def client(self):
        client = RespClient(self.socket_path)
        if self.password is not None:
            client("AUTH", self.password)
        return client

    def command(self, *arguments):
        with self.client() as client:
            return client(*arguments)

    def set_password(self, password):
        """Change the password of the default user, or remove it with None."""
        self.command("CONFIG", "SET", "requirepass", password or "")
        self.password = password

    def drop_other_clients(self):
        """Close every connection but our own, as a restart would."""
        self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def use_certificate(self, cert_file, key_file):
        """Show this one to all who connect from now on; ends every connection but our own."""
        self.command("CONFIG", "SET", "tls-cert-file", cert_file, "tls-key-file", key_file)
        self.drop_other_clients()

    def snapshot(self):
        """Every key with its serialised value."""
        with self.client() as client:
            keys = client("KEYS", "*")
            return {key: client("DUMP", key) for key in keys}

    def restore(self, snapshot):
        """Put back exactly what `snapshot` has held."""
        with self.client() as client:
            client("FLUSHALL")
            for key, value in snapshot.items():
                client("RESTORE", key, 0, value, "REPLACE")

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.stop()
            self.process = None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process = None

    def freeze(self):
        """Hang: connections are accepted by the kernel, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        wait_for(self._is_stopped, "Redis is stopped")

    def _is_stopped(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0] == "T"

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        wait_for(self._answers, "Redis answers again")
