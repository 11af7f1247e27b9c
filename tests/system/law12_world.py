"""A filter, a keeper and a store, with a switch in each line to the store, for the faults of LAW-12.

The law is watched from outside: while a test breaks things, somebody goes on asking whether a subject whose withdrawal
was told to be *in effect* may be written to.
"""

import os
import threading
import time

from harness import World, WorldCase, write_libconfig
from keeper_world import keeper_settings, stop_of
from rig.keeper import Keeper
from rig.milter import Ctl
from rig.proc import wait_for
from rig.redis import Redis
from rig.redis_proxy import RedisProxy, forward
from store_world import Place

IS_LONG = bool(os.environ.get("CM_LONG"))  # all traces, not a slice of them
BY_HAND_S = 4.0  # old data loaded by hand: noticed at the next beat, 3 s and a look-up at most


class LawWorld(World):
    """`filter_line` and `keeper_line` are where filter and keeper meet the store; consentctl asks it directly."""

    def __init__(self, *, clock=None, redis=None):
        super().__init__()
        if clock:
            self.redis = Redis(self.directory, env=clock(self.directory))
        self.redis = redis(self.directory) if redis else self.redis
        self.filter_line = RedisProxy(self.directory, self.redis.socket_path, "filter.sock")
        self.keeper_line = RedisProxy(self.directory, self.redis.socket_path, "keeper-line.sock")
        self.config |= keeper_settings(self.directory)
        os.makedirs(self.config["state"], exist_ok=True)
        self.keeper_config = self.configure("keeper.conf", self.keeper_line.url)
        self.ctl = Ctl(self.build, self.configure("ctl.conf", self.redis.url))
        self.configure("consent-milter.conf", self.filter_line.url)
        self.keeper = Keeper(self.build, self.directory, self.keeper_config, self.config["keeper"]["socket"])

    def configure(self, name, url):
        path = os.path.join(self.directory, name)
        write_libconfig(path, self.config | {"store": {"url": url, "timeout": "800ms"}})
        return path

    def start_store(self):
        self.redis.start()

    def start(self, *, milter=True):
        self.filter_line.start()
        self.keeper_line.start()
        self.start_store()
        self.ctl.run("init")
        self.keeper.start_beating()
        self.sink.start()
        self.prepare_store()
        self.milter.start()
        self.postfix.start()
        return self

    def point_at(self, redis, *lines):
        """These lines (all, if none is named) lead to another server from now on."""
        for line in lines or (self.filter_line, self.keeper_line):
            line.upstream_path = redis.socket_path
            line.set_mode(forward, drop=True)

    @property
    def pepper(self):
        with open(os.path.join(self.config["keys"], "pepper.1"), "rb") as stream:
            return stream.read()

    @property
    def raw(self):
        return self.redis.command

    def place(self, address):
        return Place.of_address(self, address)

    def report(self):
        return super().report() + "\n--- keeper log, last lines ---\n" + "\n".join(self.keeper.log().splitlines()[-25:])

    def stop(self):
        complaints = []
        report = self.keeper.sanitizer_report()
        if self.keeper.stop() not in (None, 0) or report:
            complaints.append(f"the keeper did not end well: {report}")
        complaints += super().stop()
        self.filter_line.stop()
        self.keeper_line.stop()
        return complaints


class Watch:
    """Asks for one recipient all the time; keeps when each question began, and the answer."""

    def __init__(self, world, recipient):
        self.world, self.recipient = world, recipient
        self.answers = []
        self.over = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            while not self.over.is_set():
                begun = time.monotonic()
                code = self.world.rcpt(self.recipient).code
                self.answers.append((begun, code))
                self.over.wait(0.02)
        except Exception as error:  # told by stop(), in the thread of the test
            self.failure = error

    def stop(self):
        self.over.set()
        self.thread.join()
        if self.failure is not None:
            raise self.failure

    def since(self, begin):
        """How many questions have begun since."""
        return sum(at > begin for at, _ in self.answers)


class LawCase(WorldCase):
    """One subject withdraws, another stays; each test has two of its own."""

    @classmethod
    def make_world(cls):
        return LawWorld()

    def setUp(self):
        super().setUp()
        self.heal()
        name = self.id().rpartition(".")[2].removeprefix("test_").replace("_", "-")
        self.leaves, self.stays = f"{name}@leaves.test", f"{name}@stays.test"
        self.world.grant(self.leaves, self.stays)
        self.world.until_rcpt(250, self.stays)
        self.assert_accepted(self.world.rcpt(self.leaves))
        self.event = os.urandom(8)
        self.effect_at = None
        self.excused = (0.0, 0.0)
        self.watch = Watch(self.world, self.leaves)
        self.addCleanup(self.watch.over.set)

    def heal(self):
        """As it was at the beginning, whatever the test before has left."""
        world = self.world
        world.point_at(world.redis)
        if world.keeper.process is None or not world.keeper.process.running():
            world.keeper.process = None
            world.keeper.start()
        world.keeper.wait_state("beating", 30)

    def take(self, **more):
        """The subject withdraws from everything; what the keeper says."""
        answer = self.world.keeper.ask(stop_of(self.world.place(self.leaves), event=self.event, **more))
        if answer.get("effect") and self.effect_at is None:
            self.effect_at = time.monotonic()
        return answer["status"], answer["effect"]

    def withdraw(self):
        self.assertEqual(("applied", True), self.take(wait_ms=8000))
        self.assert_refused(self.world.rcpt(self.leaves))

    def assert_unknown(self):
        self.world.until_rcpt(451, self.stays, 8)
        self.assert_deferred(self.world.rcpt(self.leaves))

    def excuse(self):
        """From now until a beat has noticed, an acceptance is what LAW-12 says stays impossible to prevent."""
        self.excused = (time.monotonic(), time.monotonic() + BY_HAND_S)

    def assert_law_holds(self, seconds=30):
        """Acceptance comes back by itself; who withdrew is refused; in between nobody was accepted."""
        self.world.until_rcpt(250, self.stays, seconds)
        self.assert_refused(self.world.rcpt(self.leaves))
        self.assertIsNotNone(self.effect_at, "it was never in effect")
        wait_for(lambda: self.watch.since(self.effect_at) > 3, "somebody has asked meanwhile")
        self.watch.stop()
        wrong = [at - self.effect_at for at, code in self.watch.answers
                 if code == 250 and at > self.effect_at and not self.excused[0] < at < self.excused[1]]
        self.assertEqual([], wrong, "accepted so many seconds after *in effect*")
        events = [event for _, event in self.world.place(self.leaves).events() if event["id"] == self.event]
        self.assertEqual(1, len(events), "the withdrawal stands once in the ledger")

    def wait_until_written(self):
        wait_for(lambda: self.world.keeper.status()["pending"] == 0, "the keeper has written all", 20, 0.05)
