"""Redis with replicas, and Sentinels that promote one of them; each server on a host of its own."""

import os

from .network import Network
from .proc import Process, wait_for
from .redis import Redis, RespClient

PORT, SENTINEL_PORT = 6379, 26379
DOWN_AFTER_MS = 1000
CONFIG = """\
port {port}
bind {address}
unixsocket {socket}
dir {directory}
sentinel monitor store {master} {master_port} 2
sentinel down-after-milliseconds store {down_after}
sentinel failover-timeout store 4000
sentinel parallel-syncs store 2
"""


class Sentinel:
    def __init__(self, directory, name, host, master):
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        self.host = host
        self.socket_path = os.path.join(self.directory, "sentinel.sock")
        self.config = os.path.join(self.directory, "sentinel.conf")
        with open(self.config, "w", encoding="ascii") as stream:
            stream.write(CONFIG.format(port=SENTINEL_PORT, address=host.address, socket=self.socket_path,
                                       directory=self.directory, master=master.address, master_port=PORT,
                                       down_after=DOWN_AFTER_MS))
        self.process = Process("sentinel", [*host.launcher, "redis-server", self.config, "--sentinel"],
                               os.path.join(self.directory, "sentinel.log"))

    def command(self, *arguments):
        with RespClient(self.socket_path) as client:
            return client(*arguments)

    def facts(self):
        try:
            flat = self.command("SENTINEL", "MASTER", "store")
        except OSError:
            return {}
        return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2])}


class Cluster:
    """`nodes[0]` is the master at the beginning. All nodes can be asked over their unix sockets, cut off or not."""

    def __init__(self, directory, *, replicas=2, sentinels=3):
        self.directory = directory
        self.network = Network(directory).start()
        self.node_hosts = [self.network.host() for _ in range(replicas + 1)]
        self.sentinel_hosts = [self.network.host() for _ in range(sentinels)]
        self.nodes = [Redis(directory, f"node.{i}", port=PORT, launcher=host.launcher,
                            options=["--bind", host.address, "--protected-mode", "no", "--repl-ping-replica-period",
                                     "1", "--repl-timeout", "60", "--repl-diskless-sync-delay", "0"])
                      for i, host in enumerate(self.node_hosts)]
        self.sentinels = []

    def start(self):
        for node in self.nodes:
            node.start()
        for node in self.nodes[1:]:
            node.command("REPLICAOF", self.node_hosts[0].address, PORT)
        self.wait_joined()
        self.sentinels = [Sentinel(self.directory, f"sentinel.{i}", host, self.node_hosts[0])
                          for i, host in enumerate(self.sentinel_hosts)]
        for sentinel in self.sentinels:
            sentinel.process.start()
        return self

    def wait_ready(self):
        """The Sentinels know each other and the replicas."""
        others, replicas = str(len(self.sentinels) - 1), str(len(self.nodes) - 1)

        def is_known(sentinel):
            facts = sentinel.facts()
            return (facts.get("num-other-sentinels"), facts.get("num-slaves")) == (others, replicas)

        wait_for(lambda: all(map(is_known, self.sentinels)), "the Sentinels know all", 30, 0.2)
        return self

    def wait_joined(self):
        for node in self.nodes[1:]:
            wait_for(lambda node=node: b"master_link_status:up" in node.command("INFO", "replication"),
                     "the replica has joined", 20, 0.1)

    def promoted(self, seconds=30):
        """Waits for another master than the first one; returns its number."""
        def find():
            for number, node in enumerate(self.nodes[1:], 1):
                if node.command("ROLE")[0] == b"master":
                    return number
            return None

        return wait_for(find, "a replica is promoted", seconds, 0.05)

    def stop(self):
        for sentinel in self.sentinels:
            sentinel.process.kill()
        for node in self.nodes:
            node.stop()
        self.network.stop()
