"""What a service manager hears of the daemons: readiness, reloads, life and the end. The test plays the manager."""

import os
import signal
import socket
import threading
import unittest

import harness
from harness import World
from keeper_world import KeeperWorld
from rig.proc import wait_for


class Manager:
    """Takes datagrams; the daemons that start within `with` find it in their environment."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.heard = []
        # All the time, as a manager does: the queue of the socket is short, and the daemons wait for no room in it.
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        os.environ |= {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "400000"}
        return self

    def __exit__(self, *_):
        del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]

    def listen(self):
        while True:
            self.heard.append(self.socket.recv(4096).decode())

    def await_(self, text, count=1):
        wait_for(lambda: sum(text in one for one in list(self.heard)) >= count, f"{count} times {text}")
        return self


class NotifyTest(unittest.TestCase):
    def test_the_filter(self):
        world = World()
        manager = Manager(world.directory)
        try:
            with manager:
                world.start()
            manager.await_("READY=1").await_("WATCHDOG=1", 3)
            self.assertNotIn("RELOADING=1", "".join(manager.heard))
            os.kill(world.milter.pid, signal.SIGUSR1)
            manager.await_("RELOADING=1\nMONOTONIC_USEC=").await_("READY=1", 2)
            self.assertEqual(0, world.milter.stop())
            manager.await_("STOPPING=1")
            self.assertLess("".join(manager.heard).index("RELOADING=1"), "".join(manager.heard).rindex("READY=1"))
        finally:
            self.assertEqual([], world.stop())

    def test_the_keeper(self):
        world = KeeperWorld()
        manager = Manager(world.directory)
        try:
            world.start()
            with manager:
                world.keeper.start()
            manager.await_("READY=1").await_("WATCHDOG=1", 3)
            os.kill(world.keeper.pid, signal.SIGHUP)
            manager.await_("WATCHDOG=1", 5)
            self.assertEqual(0, world.keeper.stop())
            manager.await_("STOPPING=1")
        finally:
            world.stop()


if __name__ == "__main__":
    harness.main()
