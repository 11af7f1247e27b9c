"""Redis as we ship its configuration: config/redis.conf and config/redis.acl, with passwords."""

import hashlib
import os

from rig.redis import Redis, RespClient

CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "config")
USERS = ("milter", "keeper", "admin", "officer", "sender", "api", "archiver", "doctor", "deploy")
ROOT = "root"  # of these tests: may do everything


def shipped_users():
    """The lines of the shipped file, by user."""
    with open(os.path.join(CONFIG, "redis.acl"), encoding="ascii") as file:
        return {line.split()[1]: line for line in file.read().splitlines()}


class ShippedRedis(Redis):
    """Only paths are replaced; `options` come after the shipped file and so stand above it."""

    def __init__(self, directory, name="redis", *, options=()):
        super().__init__(directory, name, options=options)
        self.acl_path = os.path.join(self.directory, "users.acl")
        self.write_acl()

    def password_file(self, user):
        return os.path.join(self.directory, f"redis-{user}")

    def write_acl(self):
        """Gives every user a password, as redis.conf tells the administrator to."""
        lines = []
        for user, line in (shipped_users() | {ROOT: f"user {ROOT} on ~* &* +@all"}).items():
            password = f"secret of {user}"
            with open(self.password_file(user), "w", encoding="ascii") as file:
                file.write(password + "\n")
            digest = hashlib.sha256(password.encode()).hexdigest()
            lines.append(line.replace(f"user {user} on ", f"user {user} on #{digest} ", 1))
        with open(self.acl_path, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")

    def _argv(self):
        return ["redis-server", os.path.join(CONFIG, "redis.conf"), "--aclfile", self.acl_path, "--dir", self.directory,
                "--unixsocket", self.socket_path, "--unixsocketperm", "777", "--daemonize", "no", *self.options]

    def client(self, user=ROOT):
        client = RespClient(self.socket_path)
        client("AUTH", user, f"secret of {user}")
        return client

    def store_settings(self, user):
        """For a configuration whose program is this user."""
        return {"store": {"user": user, "password_file": self.password_file(user)}}
