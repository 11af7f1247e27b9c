"""Hosts of their own, for tests that cut single lines between servers: network namespaces on one bridge."""

import os
import subprocess

from .proc import Process, wait_for


def _ip(*words, pid=None):
    enter = ["nsenter", "-t", str(pid), "-n"] if pid else []
    subprocess.run([*enter, "ip", *words], check=True, capture_output=True)


class Network:
    """A bridge; `host` adds a host to it. Its addresses are 10.99.0.N."""

    def __init__(self, directory, name="br0"):
        self.directory = directory
        self.name = name
        self.hosts = []

    def start(self):
        _ip("link", "add", self.name, "type", "bridge")
        _ip("link", "set", self.name, "up")
        return self

    def host(self):
        host = Host(self, len(self.hosts) + 1)
        self.hosts.append(host)
        return host.start()

    def stop(self):
        for host in self.hosts:
            _ip("link", "del", host.link)  # else it goes with its network, some time later
            host.holder.kill()
        _ip("link", "del", self.name)


class Host:
    """One network namespace, held by a process that only waits."""

    def __init__(self, network, number):
        self.network = network
        self.address = f"10.99.0.{number}"
        self.link = f"v{number}"
        self.holder = Process("host", ["unshare", "-n", "sleep", "infinity"],
                              os.path.join(network.directory, f"host.{number}.log"))

    def start(self):
        self.holder.start()
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, "a network of its own")
        _ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        _ip("link", "set", self.link, "master", self.network.name, "up")
        for words in (("link", "set", "lo", "up"), ("address", "add", f"{self.address}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):
            _ip(*words, pid=self.holder.pid)
        return self

    @property
    def launcher(self):
        """What a command line begins with to run here."""
        return ["nsenter", "-t", str(self.holder.pid), "-n"]

    def cut(self, *others):
        """Nothing passes between this host and those any more, and nobody is told."""
        for one, other in [(self, other) for other in others] + [(other, self) for other in others]:
            _ip("route", "replace", "blackhole", f"{other.address}/32", pid=one.holder.pid)

    def heal(self, *others):
        for one, other in [(self, other) for other in others] + [(other, self) for other in others]:
            _ip("route", "del", "blackhole", f"{other.address}/32", pid=one.holder.pid)
