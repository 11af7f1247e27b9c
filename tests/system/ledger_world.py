"""What the tests of the ledger share: a store in which every act has happened, and what verify and archive say of it."""

import glob
import json
import os
import shutil
import struct

from harness import EVIDENCE, NEWS_PURPOSE, OFFERS_PURPOSE
from store_world import ASSERTED, BOUNCED, CONTRACT, ERASED, GRANT, IMPLIED, MINOR, OBJECTED, REQUEST, RESTRICTED, \
    SOFT_OPTIN, STAFF, STOP, SUSPENDED, WITHDRAWN, Place, StoreWorld, head

DOCUMENT = b"sealed, for all that Redis knows"


class LedgerWorld(StoreWorld):
    """A store with an archive, and ways to look at both."""

    @property
    def archive(self):
        return os.path.join(self.state, "archive")

    def segments(self):
        return sorted(glob.glob(os.path.join(self.archive, "*.segment")))

    def archive_now(self, *options, ok=(0,)):
        """Archive everything; returns the sums."""
        result = self.ctl.run("--json", "ledger", "archive", "--keep", "0", *options, ok=ok)
        return json.loads(result.stdout)

    def verify(self, ok=(0, 1, 75)):
        """(findings, sums): each finding as (word, partition), and the rows themselves."""
        result = self.ctl.run("--json", "ledger", "verify", ok=ok)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        if not rows or "findings" not in rows[-1]:
            raise AssertionError(f"no sums: exit {result.returncode}\n{result.stdout}{result.stderr}")
        sums = rows.pop()
        sums["code"] = result.returncode
        return rows, sums

    def save(self):
        """Redis and the archive as they are."""
        copy = os.path.join(self.directory, "archive-copy")
        shutil.rmtree(copy, ignore_errors=True)
        if os.path.isdir(self.archive):
            shutil.copytree(self.archive, copy)
        return self.redis.snapshot(), copy

    def put_back(self, saved):
        snapshot, copy = saved
        self.redis.restore(snapshot)
        shutil.rmtree(self.archive, ignore_errors=True)
        if os.path.isdir(copy):
            shutil.copytree(copy, self.archive)

    def forward(self, old, new):
        """The records of one place move to another, as a rotation of the pepper does it."""
        place = struct.pack(">I", 2 << 20 | new.partition << 10 | new.bucket)[1:] + new.field
        return self.raw("FCALL", "system_forward", 7, *old.keys[:3], *new.keys[:3], old.facts_key, self.store_id,
                        os.urandom(8), old.field, struct.pack(">H", old.bucket), new.field, struct.pack(">H", new.bucket),
                        place)


def every_act(world):
    """Each act at least once, at places of its own; returns a place with a grant, a stop and documents."""
    now = world.now_ms()
    place = Place(world)
    express = head(GRANT, source=STAFF, statement=1)
    place.call("officer_grant", express, document=DOCUMENT)
    place.call("officer_grant", express, document=DOCUMENT)
    place.call("admin_grant", head(ASSERTED, at=now - 5000))
    place.call("admin_grant", head(ASSERTED, at=now - 9000))  # stale
    place.call("sender_grant", head(IMPLIED, state=CONTRACT))
    place.call("sender_grant", head(SOFT_OPTIN, scope=8))
    place.call("subject_withdraw", head(STOP, state=WITHDRAWN), document=DOCUMENT)
    place.call("system_withdraw", head(STOP, scope=5, state=OBJECTED))
    confirmed = Place(world)
    _, request, _ = confirmed.call("sender_request", head(REQUEST, statement=1))
    confirmed.call("subject_confirm", head(GRANT), related=request, document=DOCUMENT)
    confirmed.call("sender_request", head(REQUEST, statement=1, scope=8))
    confirmed.use(80)
    held = Place(world)
    held.call("officer_restrict", head(RESTRICTED, state=MINOR))
    held.call("admin_restrict", head(RESTRICTED, state=MINOR))
    held.call("admin_suspend", head(SUSPENDED, scope=0))
    held.call("admin_end", head(SUSPENDED, scope=0))
    held.call("officer_end", head(RESTRICTED, state=MINOR))
    held.call("admin_bounce", head(BOUNCED, scope=0))
    erased = Place(world)
    erased.call("officer_grant", express, document=DOCUMENT)
    erased.call("admin_suspend", head(SUSPENDED))
    erased.call("officer_grant", head(GRANT, scope=8, source=STAFF, statement=1), document=DOCUMENT)
    erased.call("officer_erase", head(ERASED, scope=0), document=DOCUMENT)
    erased.call("admin_grant", head(ASSERTED, at=now - 5000), related=(5,))  # barred by the erasure
    erased.call("admin_grant", head(ASSERTED))
    moved, there = Place(world), Place(world)
    moved.call("officer_grant", express, document=DOCUMENT)
    moved.call("admin_withdraw", head(STOP, state=WITHDRAWN))
    there.call("admin_withdraw", head(STOP, state=WITHDRAWN))
    world.forward(moved, there)
    there.call("admin_withdraw", head(STOP, scope=5, state=WITHDRAWN))
    everyday(world)
    return place


def everyday(world):
    """The same by consentctl, with documents that can be opened, and with purposes below others."""
    for purpose in (NEWS_PURPOSE, OFFERS_PURPOSE):
        world.grant("everyday@ledger.test", purpose)
    world.ctl.run("purpose", "add", f"{OFFERS_PURPOSE}/partners")
    world.publish(f"{OFFERS_PURPOSE}/partners")
    world.grant("everyday@ledger.test", f"{OFFERS_PURPOSE}/partners")
    world.ctl.run("withdraw", "everyday@ledger.test", OFFERS_PURPOSE)
    world.grant("gone@ledger.test", f"{OFFERS_PURPOSE}/partners")
    world.grant("gone@ledger.test")
    world.ctl.run("erase", "gone@ledger.test", "acme", "--evidence", EVIDENCE)
