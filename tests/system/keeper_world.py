"""A store and a keeper without any mail: what the tests of the keeper share."""

import os
import random
import unittest

import harness
from harness import write_libconfig
from rig.keeper import Keeper
from rig.redis_proxy import RedisProxy
from store_world import Place, StoreWorld

WITHDRAWN = 2


def keeper_settings(directory, **keeper):
    """What a configuration says of the keeper of one test directory."""
    return {"state": os.path.join(directory, "state"), "keepers": ["mx1"],
            "keeper": {"socket": os.path.join(directory, "keeper.sock"), "name": "mx1"} | keeper}


def stop_of(place, scope=0, event=None, **more):
    """A withdrawal of one subject as a line says it."""
    text = f"{place.partition << 10 | place.bucket:05x}{place.field.hex()}"
    return {"do": "write", "act": "withdraw", "event": (event or os.urandom(8)).hex(), "subject": text,
            "family": place.field.hex(), "sender_scope": 0, "scope": scope, "kind": "stop",
            "state": WITHDRAWN} | more


class KeeperWorld(StoreWorld):
    """A store and a keeper, without any mail."""

    def __init__(self, *, proxied=False, **keeper):
        super().__init__()
        self.proxy = RedisProxy(self.directory, self.redis.socket_path) if proxied else None
        self.config = os.path.join(self.directory, "keeper.conf")
        self.settings = {"store": {"url": (self.proxy or self.redis).url, "timeout": "800ms"}, "keys": self.keys,
                         "milter": {"socket": f"unix:{self.directory}/milter.sock"},
                         "streams": (harness.receipts_stream(),)} | keeper_settings(self.directory, **keeper)
        self.configure()
        self.keeper = self.new_keeper()

    def configure(self, **keeper):
        self.settings["keeper"] |= keeper
        write_libconfig(self.config, self.settings)

    def new_keeper(self, name="keeper", *arguments):
        return Keeper(harness.OPTIONS.build, self.directory, self.config, self.settings["keeper"]["socket"],
                      name=name, arguments=arguments)

    def start(self, init=True):
        os.makedirs(self.settings["state"], exist_ok=True)
        if self.proxy:
            self.proxy.start()
        return super().start(init)

    def place(self):
        return Place(self, partition=random.randrange(1024), bucket=random.randrange(1024))

    def events_of(self, place, event):
        return [found for _, found in place.events() if found["id"] == event]

    def stop(self):
        report = self.keeper.sanitizer_report()
        code = self.keeper.stop()
        if self.proxy:
            self.proxy.stop()
        super().stop()
        assert report is None, report
        assert code in (None, 0), f"the keeper ended with {code}"

    def report(self):
        return "--- keeper log, last lines ---\n" + "\n".join(self.keeper.log().splitlines()[-25:])


class KeeperCase(unittest.TestCase):
    """A world of its own for each test."""

    options = {}

    def setUp(self):
        self.world = KeeperWorld(**self.options)
        self.addCleanup(self.world.stop)
        self.world.start()
        self.keeper = self.world.keeper
