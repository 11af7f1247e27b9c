"""LAW-12 with a master, two replicas and three Sentinels that cannot always see each other.

A filter and a keeper do not follow Sentinel by themselves: the test moves their lines to the new master when it says so,
as whoever moves an address does; or leaves one at the old one, which is the worst that can happen. Without CM_LONG=1 one
trace is left out.
"""

import time
import unittest

import harness
from law12_world import IS_LONG, LawCase, LawWorld
from rig.sentinel import Cluster


class ClusterWorld(LawWorld):
    """The store is `cluster.nodes[0]` at the beginning."""

    def __init__(self):
        super().__init__(redis=self.make_cluster)

    def make_cluster(self, directory):
        self.cluster = Cluster(directory)
        return self.cluster.nodes[0]

    def start_store(self):
        self.cluster.start()

    def start(self, *, milter=True):
        super().start(milter=milter)
        self.cluster.wait_ready()
        return self

    def stop(self):
        complaints = super().stop()
        self.cluster.stop()
        return complaints


class FailoverTest(LawCase):
    """Each test has a world of its own: none is as it was after a promotion."""

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.world = ClusterWorld()
        self.addCleanup(self.stop_world)
        self.world.start()
        super().setUp()
        self.cluster = self.world.cluster
        self.hosts, self.watchers = self.cluster.node_hosts, self.cluster.sentinel_hosts

    def stop_world(self):
        self.assertEqual([], self.world.stop())

    def follow(self, number):
        """All that asks for the store asks this node from now on."""
        self.world.redis = self.cluster.nodes[number]
        self.world.point_at(self.world.redis)

    def lose_withdrawal(self):
        """It is acknowledged by a master whose replicas lag, silently."""
        self.hosts[0].cut(*self.hosts[1:])
        self.withdraw()

    def test_promoted_while_it_lagged(self):
        self.lose_withdrawal()
        self.hosts[0].cut(*self.watchers)
        number = self.cluster.promoted()
        self.assertEqual([], [event for _, event in self.events_at(number) if event["id"] == self.event])
        self.follow(number)
        self.assert_deferred(self.world.rcpt(self.stays))
        self.assert_law_holds()

    def events_at(self, number):
        place = self.world.place(self.leaves)
        place.client = self.cluster.nodes[number].command
        return place.events()

    def test_filter_stays_at_an_isolated_old_master(self):
        # It answers reads as ever; the keeper and the withdrawal have gone elsewhere.
        self.hosts[0].cut(*self.hosts[1:], *self.watchers)
        number = self.cluster.promoted()
        self.world.point_at(self.cluster.nodes[number], self.world.keeper_line)
        self.world.redis = self.cluster.nodes[number]
        status, effect = self.take(wait_ms=15000)
        self.assertEqual(True, effect, status)
        self.assert_deferred(self.world.rcpt(self.stays))
        time.sleep(1.0)
        self.assert_deferred(self.world.rcpt(self.leaves))
        self.follow(number)
        self.assert_law_holds()

    @unittest.skipUnless(IS_LONG, "CM_LONG=1")
    def test_keeper_stays_at_an_isolated_old_master(self):
        # The withdrawal goes to the old master, while a filter already asks the new one.
        self.hosts[0].cut(*self.hosts[1:], *self.watchers)
        number = self.cluster.promoted()
        self.world.point_at(self.cluster.nodes[number], self.world.filter_line)
        self.assertEqual(("applied", True), self.take(wait_ms=15000))
        self.assert_deferred(self.world.rcpt(self.leaves))
        self.assert_deferred(self.world.rcpt(self.stays))
        self.follow(number)
        self.assert_law_holds()

    def test_only_the_sentinels_are_cut_off(self):
        # The old master and its replicas see each other; the Sentinels promote one of them all the same.
        self.hosts[0].cut(*self.watchers)
        number = self.cluster.promoted()
        self.world.point_at(self.cluster.nodes[number], self.world.keeper_line)
        self.world.redis = self.cluster.nodes[number]
        status, effect = self.take(wait_ms=15000)
        self.assertEqual(True, effect, status)
        self.assert_deferred(self.world.rcpt(self.leaves))
        self.follow(number)
        self.assert_law_holds()

    def test_cut_that_heals_after_detection(self):
        # The failover goes on; the old master becomes a replica of the new one and loses what it took alone.
        self.lose_withdrawal()
        self.hosts[0].cut(*self.watchers)
        number = self.cluster.promoted()
        self.hosts[0].heal(*self.hosts[1:], *self.watchers)
        self.world.keeper.wait_log("state=cut_off|state=foreign|another incarnation|state=replaying",
                                   self.world.keeper.mark(), 30)
        self.world.until_rcpt(451, self.stays, 10)  # a replica is no store
        self.follow(number)
        self.assert_law_holds()


if __name__ == "__main__":
    harness.main()
