"""What Prometheus, Kubernetes and people see of the running filter: /metrics, /healthz, /readyz."""

import json
import os
import re
import signal
import socket

import yaml

import harness
from harness import World, WorldCase, news_stream, receipts_stream, stream
from rig.exposition import Exposition
from rig.mta import MilterSession
from rig.proc import open_files, wait_for

PORT = 9180
PERSON = "ann@metrics.test"
STRANGER = "ben@metrics.test"


def http(raw, *, port=PORT, path=None, timeout=10):
    """Sends bytes and reads to the end of the connection. Returns status, headers, body; None: closed without a word."""
    family = socket.AF_UNIX if path else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(timeout)
        sock.connect(path or ("127.0.0.1", port))
        try:
            sock.sendall(raw)
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionError:
            return None
    if not data:
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body.decode("utf-8", "replace")


def get(page, method="GET", **options):
    return http(f"{method} {page} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), **options)


def scrape():
    status, head, body = get("/metrics")
    assert status == 200 and "Content-Type: text/plain; version=0.0.4" in head, head
    found = Exposition(body)
    assert not found.problems, found.problems
    return found


class MetricsCase(WorldCase):
    @classmethod
    def make_world(cls):
        world = World(streams=[news_stream(), receipts_stream(),
                               stream("acme-offers", mode="observe", match={"auth": ["offers"]}, purpose="offers")])
        world.reconfigure(metrics={"listen": f"127.0.0.1:{PORT}"}, limits={"sessions": 40})
        return world

    def decisions(self, found, **labels):
        return found.value("consent_milter_decisions_total", **labels)


class MetricsTest(MetricsCase):
    def test_decisions_are_counted_by_stream_and_reason(self):
        before = scrape()
        self.world.grant(PERSON)
        self.world.send([PERSON])
        self.world.send([STRANGER])
        self.world.send([STRANGER], login="offers")
        now = scrape()
        for labels in (dict(stream="acme-news", verdict="accept", reason="express", mode="enforce"),
                       dict(stream="acme-news", verdict="refuse", reason="no_consent", mode="enforce"),
                       dict(stream="acme-offers", verdict="refuse", reason="no_consent", mode="observe")):
            self.assertEqual(1, self.decisions(now, **labels) - self.decisions(before, **labels), labels)
        for stage in ("connect", "mail", "rcpt", "end_of_message"):
            self.assertGreater(now.value("consent_milter_stage_duration_seconds_count", stage=stage), 0, stage)
        self.assertGreaterEqual(now.value("consent_milter_lookup_duration_seconds_count"), 3)
        self.assertGreaterEqual(now.value("consent_milter_recipients_total")
                                - before.value("consent_milter_recipients_total"), 3)
        self.assertEqual(1, now.value("consent_milter_store_up"))

    def test_no_address_is_told(self):
        self.world.send([STRANGER])
        body = get("/metrics")[2]
        self.assertNotIn("@", body)
        self.assertNotIn("ben", body)

    def test_the_process_and_its_sessions(self):
        with MilterSession(self.world.milter.socket_path).negotiate() as mta:
            mta.connect()
            now = scrape()
            self.assertEqual(json.loads(self.world.ctl.run("--json", "daemon", "status").stdout)["sessions"],
                             now.value("consent_milter_sessions"))
            self.assertGreaterEqual(now.value("consent_milter_sessions"), 1)
        self.assertAlmostEqual(open_files(self.world.milter.pid), now.value("process_open_fds"), delta=4)
        self.assertGreater(now.value("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(now.value("process_threads"), 3)
        self.assertGreater(now.value("process_start_time_seconds"), 1.6e9)
        self.assertEqual(1, sum(now.values["consent_milter_build_info"].values()))

    def test_limits_count(self):
        before = scrape()
        sessions = []
        for _ in range(45):
            mta = MilterSession(self.world.milter.socket_path).negotiate()
            mta.connect()
            sessions.append(mta)
        now = scrape()
        for mta in sessions:
            mta.close()
        refused = "consent_milter_sessions_refused_total"
        self.assertGreaterEqual(now.value(refused) - before.value(refused), 5)

    def test_reloads_show(self):
        before = scrape().value("consent_milter_config_generation")
        self.world.ctl.run("daemon", "reload")
        self.assertEqual(before + 1, scrape().value("consent_milter_config_generation"))
        with open(self.world.config_path, "r+", encoding="utf-8") as file:
            good = file.read()
            file.write("nonsense = 1;\n")
        try:
            os.kill(self.world.milter.pid, signal.SIGUSR1)
            wait_for(lambda: scrape().value("consent_milter_config_last_reload_successful") == 0, "a refused reload")
        finally:
            with open(self.world.config_path, "w", encoding="utf-8") as file:
                file.write(good)
        self.assertEqual(before + 1, scrape().value("consent_milter_config_generation"))
        self.world.ctl.run("daemon", "reload")
        self.assertEqual(1, scrape().value("consent_milter_config_last_reload_successful"))

    def test_pages_and_methods(self):
        self.assertEqual((200, "ok\n"), get("/healthz")[::2])
        self.assertEqual((200, "ready\n"), get("/readyz")[::2])
        self.assertEqual((200, ""), get("/healthz", "HEAD")[::2])
        self.assertEqual(404, get("/")[0])
        self.assertEqual(404, get("/metrics/../etc/passwd")[0])
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            status, head, _ = get("/metrics", method)
            self.assertEqual(405, status, method)
            self.assertIn("Allow: GET, HEAD", head)

    def test_hostile_requests_do_no_harm(self):
        requests = [
            b"", b"\n", b"GET", b"GET /metrics\r\n\r\n", b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n",
            b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 40000 + b"\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
            b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx",
            b"POST /m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            b"GET /%00%ff%2e%2e/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /metrics?a=%s%n HTTP/1.1\r\nHost: x\r\n\r\n",
        ]
        for raw in requests:
            with socket.create_connection(("127.0.0.1", PORT), timeout=10) as sock:
                try:
                    sock.sendall(raw)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
                except OSError as error: # it may have hung up on us long before
                    self.assertNotIsInstance(error, TimeoutError, raw[:40])
            self.assertEqual(200, get("/healthz")[0], raw[:40])

    def test_callers_that_say_nothing_keep_nobody_out_for_long(self):
        idle = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(20)]
        try:
            self.assertEqual(200, get("/healthz", timeout=20)[0]) # once the first of them are given up
        finally:
            for sock in idle:
                sock.close()


class ReadinessTest(MetricsCase):
    def test_trouble_with_the_store_and_a_drain_show(self):
        self.assertEqual(200, get("/readyz")[0])
        self.world.redis.stop()
        status, _, body = wait_for(lambda: (lambda a: a if a[0] == 503 else None)(get("/readyz")), "503", 10)
        self.assertRegex(body, r"^store: trouble=\w+\n$")
        self.assertEqual(200, get("/healthz")[0])
        self.world.until_rcpt(451, PERSON)
        down = scrape()
        self.assertEqual(0, down.value("consent_milter_store_up"))
        self.assertEqual(1, down.value("consent_milter_store_breaker_open"))
        self.assertGreater(sum(down.values["consent_milter_store_troubles_total"].values()), 0)
        status = json.loads(self.world.ctl.run("--json", "daemon", "status").stdout)
        self.assertTrue(status["store"]["breaker_open"])
        self.assertNotEqual("none", status["store"]["trouble"])
        self.world.redis.start()
        wait_for(lambda: get("/readyz")[0] == 200, "ready again", 10)
        self.world.ctl.run("daemon", "drain")
        self.assertEqual((503, "draining\n"), get("/readyz")[::2])
        self.assertEqual(1, scrape().value("consent_milter_draining"))
        self.world.ctl.run("daemon", "drain", "--end")
        self.assertEqual(200, get("/readyz")[0])


class UnixSocketTest(WorldCase):
    @classmethod
    def make_world(cls):
        world = World()
        cls.socket = os.path.join(world.directory, "metrics.sock")
        world.reconfigure(metrics={"listen": f"unix:{cls.socket}"})
        return world

    def test_a_unix_socket_serves_and_goes(self):
        self.assertEqual(200, get("/metrics", path=self.socket)[0])
        self.assertEqual(0o660, os.stat(self.socket).st_mode & 0o777)
        self.world.milter.stop()
        mark = self.world.milter.mark()
        self.assertFalse(os.path.exists(self.socket))
        self.world.milter.start()
        self.world.milter.wait_log("started: socket=", mark)
        self.assertEqual(200, get("/healthz", path=self.socket)[0])


class ShippedFilesTest(MetricsCase):
    """The dashboard and the alert rules ask for what there is."""

    ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    def expressions(self, file):
        with open(os.path.join(self.ROOT, "config", file), encoding="utf-8") as stream_:
            text = stream_.read()
        if file.endswith(".json"):
            return [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
        rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
        self.assertEqual(len(rules), len({rule["alert"] for rule in rules}))
        for rule in rules:
            self.assertIn(rule["labels"]["severity"], ("info", "warning", "critical"))
            self.assertTrue(rule["annotations"]["summary"])
        return [rule["expr"] for rule in rules]

    def names(self, file):
        found = set()
        for expression in self.expressions(file):
            for a, b in ("()", "[]", "{}"):
                self.assertEqual(expression.count(a), expression.count(b), expression)
            found |= set(re.findall(r"\b((?:consent_milter|process)_[a-z_]+)\b", expression))
        self.assertGreater(len(found), 5, file)
        return found

    def test_what_they_name_exists(self):
        self.world.send([STRANGER])
        there = set(scrape().values)
        for file in ("grafana.json", "prometheus-alerts.yml"):
            self.assertEqual(set(), self.names(file) - there, file)


if __name__ == "__main__":
    harness.main()
