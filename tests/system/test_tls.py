"""Redis over TLS: who may be talked to, who may talk, and what is said when it cannot be.

The control connections of the rig go over Redis' unix socket; the filter and consentctl know only the TLS port.
"""

import os
import shutil
import socket
import subprocess
import threading

import harness
import test_store_trouble
from harness import World
from rig.certificates import EXPIRED, Authority
from rig.redis import tls_options

PORT = 6390
PLAIN_PORT = 6379
HOST = "127.0.0.1"
NAMES = f"DNS:redis.test,DNS:localhost,IP:{HOST}"


class HalfClosed:
    """Takes every connection, says at once that nothing will come, and reads nothing."""

    def __init__(self):
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.held = []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            peer.shutdown(socket.SHUT_WR)
            self.held.append(peer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closing would not
        self.thread.join()
        for peer in [self.listener, *self.held]:
            peer.close()


class TlsCase(test_store_trouble.TroubleCase):
    """The filter trusts the CA in `ca_file`, a copy that a test may change."""

    clients = "no"
    acl = ()

    @classmethod
    def make_world(cls):
        # The world makes its directory and needs the options of Redis before that.
        cls.place = harness.proc.make_directory("consent-tls-")
        cls.addClassCleanup(harness.remove_directory, cls.place)
        cls.ours = Authority(cls.place, "ours")
        cls.other = Authority(cls.place, "other")
        cls.good = cls.ours.issue("good", NAMES)
        cls.client = cls.ours.issue("client")
        cls.ca_file = os.path.join(cls.place, "trusted.pem")
        shutil.copy(cls.ours.ca_file, cls.ca_file)
        world = World(redis_options=["--port", str(PLAIN_PORT), *cls.acl,
                                     *tls_options(PORT, cls.ours.ca_file, *cls.good, clients=cls.clients)])
        world.reconfigure(store=world.config["store"] | cls.store())
        return world

    @classmethod
    def store(cls):
        return {"url": f"rediss://{HOST}:{PORT}", "tls": {"ca_file": cls.ca_file}}

    def restart_with(self, **store):
        """The filter anew, with these settings of the store beside its timeout."""
        self.world.milter.stop()
        self.world.reconfigure(store={"timeout": self.world.config["store"]["timeout"]} | store)
        self.mark = self.world.milter.mark()
        self.world.milter.start()

    def as_before(self):
        self.restart_with(**self.store())

    def assert_told(self, text):
        """The filter tells the cause of one trouble only now and then; consentctl tells it each time."""
        result = self.world.ctl.run("check", self.person, harness.NEWS_PURPOSE, ok=(75,))
        self.assertRegex(result.stdout + result.stderr, text)

    def assert_tls_trouble(self, text):
        self.assert_trouble("store_tls")
        self.assert_told(text)


class TlsTest(TlsCase):
    def test_certificates_that_prove_nothing(self):
        other_good = self.other.issue("good", NAMES)
        cases = {"another name": self.ours.issue("name", "DNS:redis2.test,IP:192.0.2.1"),
                 "another name ": self.ours.issue(HOST),
                 "has expired": self.ours.issue("expired", NAMES, dates=EXPIRED),
                 "unknown authority": other_good}
        for text, pair in cases.items():
            with self.subTest(text=text):
                self.mark = self.world.milter.mark()
                self.world.redis.use_certificate(*pair)
                try:
                    self.assert_tls_trouble(text.strip())
                    self.assert_deferred(self.world.rcpt("nobody@trouble.test"))
                finally:
                    self.world.redis.use_certificate(*self.good)
                self.assert_recovers()

    def test_a_certificate_of_ours_is_asked_for(self):
        self.world.redis.command("CONFIG", "SET", "tls-auth-clients", "yes")
        self.world.redis.drop_other_clients()
        try:
            self.assert_tls_trouble("certificate of ours")
        finally:
            self.world.redis.command("CONFIG", "SET", "tls-auth-clients", "no")
        self.assert_recovers()

    def test_a_new_authority_on_disk_needs_no_restart(self):
        self.world.redis.use_certificate(*self.other.issue("renewed", NAMES))
        try:
            self.assert_tls_trouble("unknown authority")
            shutil.copy(self.other.ca_file, self.ca_file)
            self.assert_recovers()
        finally:
            shutil.copy(self.ours.ca_file, self.ca_file)
            self.world.redis.use_certificate(*self.good)
        self.assert_recovers()

    def test_restarted(self):
        self.world.redis.stop()
        try:
            self.assert_trouble("store_unreachable", "store_connection_lost")
        finally:
            self.world.redis.start()
        self.assert_recovers()

    def test_closed_connections_are_no_news(self):
        self.assert_accepted(self.world.rcpt(self.person))
        self.world.redis.drop_other_clients()
        self.assert_accepted(self.world.rcpt(self.person))
        self.assertNotIn("store_", self.world.milter.log()[self.mark:])

    def test_hanging_in_the_handshake(self):
        self.world.redis.drop_other_clients()
        self.world.redis.freeze()
        try:
            self.assert_trouble("store_timeout")
            self.assert_told("handshake of TLS in time")
        finally:
            self.world.redis.thaw()
        self.assert_recovers()

    def test_hanging_after_it(self):
        self.world.redis.freeze()
        try:
            self.assert_trouble("store_timeout")
        finally:
            self.world.redis.thaw()
        self.assert_recovers()

    def test_half_closed(self):
        """A peer that says it has said all, and hangs: it has gone, and must not be waited for."""
        with HalfClosed() as peer:
            self.restart_with(**self.store() | {"url": f"rediss://{HOST}:{peer.port}"})
            try:
                self.assert_trouble("store_connection_lost")  # and not store_timeout
                self.assertTrue(peer.held)
            finally:
                self.as_before()
        self.assert_recovers()

    def test_large_pipelines(self):
        """Some megabytes each way."""
        path = os.path.join(self.world.directory, "many.txt")
        with open(path, "w", encoding="ascii") as stream:
            stream.writelines(f"many{number}@trouble.test\n" for number in range(20000))
            stream.write(self.person + "\n")
        result = self.world.ctl.run("check", "--list", path, harness.NEWS_PURPOSE, ok=None)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        self.assertEqual(20001, len(result.stdout.splitlines()), result.stdout[-300:])
        self.assertEqual(1, result.stdout.count(self.person))


class OtherEndTest(TlsCase):
    """The URL, the port and the name do not fit each other."""

    def test_tls_to_the_plain_port(self):
        self.restart_with(**self.store() | {"url": f"rediss://{HOST}:{PLAIN_PORT}"})
        try:
            # Redis takes a ClientHello for the begin of a command and waits for more.
            self.assert_trouble("store_timeout")
            self.assert_told("is that its tls-port")
        finally:
            self.as_before()
        self.assert_recovers()

    def test_plain_to_the_tls_port(self):
        self.restart_with(url=f"redis://{HOST}:{PORT}")
        try:
            self.assert_trouble("store_connection_lost", "store_protocol")
        finally:
            self.as_before()
        self.assert_recovers()

    def test_names(self):
        cases = [("localhost", {}, None), (HOST, {"server_name": "redis.test"}, None),
                 (HOST, {"server_name": "redis2.test"}, "another name"),
                 (HOST, {"server_name": "192.0.2.1"}, "another name")]
        try:
            for host, more, trouble in cases:
                with self.subTest(host=host, more=more):
                    self.restart_with(url=f"rediss://{host}:{PORT}", tls={"ca_file": self.ca_file} | more)
                    if trouble:
                        self.assert_tls_trouble(trouble)
                    else:
                        self.assert_recovers()
        finally:
            self.as_before()
        self.assert_recovers()

    def test_authorities_of_the_system(self):
        self.restart_with(url=f"rediss://{HOST}:{PORT}")
        try:
            self.assert_tls_trouble("unknown authority")
            os.environ["SSL_CERT_FILE"] = self.ca_file  # what OpenSSL takes for the system's
            self.restart_with(url=f"rediss://{HOST}:{PORT}")
            self.assert_recovers()
        finally:
            os.environ.pop("SSL_CERT_FILE", None)
            self.as_before()
        self.assert_recovers()

    def test_a_file_that_is_not_there_ends_the_start(self):
        lost = os.path.join(self.place, "lost.pem")
        self.world.milter.stop()
        self.world.reconfigure(store=self.world.config["store"] | {"tls": {"ca_file": lost}})
        try:
            milter = self.world.milter
            result = subprocess.run([milter.path, "-f", "-c", milter.config], capture_output=True, text=True,
                                    stdin=subprocess.DEVNULL, timeout=20)
            self.assertNotEqual(0, result.returncode)
            self.assertIn(f"store.tls.ca_file: cannot use {lost}: No such file", result.stderr)
        finally:
            self.world.reconfigure(store={"timeout": "800ms"} | self.store())
            self.world.milter.start()
        self.assert_recovers()


class ClientTest(TlsCase):
    """Redis asks for a certificate, and for the user whom the password belongs to."""

    clients = "yes"
    acl = ("--user", "filter", "on", ">secret", "~*", "&*", "+@all")

    @classmethod
    def store(cls):
        cls.password_file = os.path.join(cls.place, "password")
        cls.cert_file, cls.key_file = (os.path.join(cls.place, name) for name in ("ours.pem", "ours.key"))
        cls.use(cls.client)
        cls.write_password("secret")
        return {"url": f"rediss://{HOST}:{PORT}", "user": "filter", "password_file": cls.password_file,
                "tls": {"ca_file": cls.ca_file, "cert_file": cls.cert_file, "key_file": cls.key_file}}

    @classmethod
    def use(cls, pair):
        shutil.copy(pair[0], cls.cert_file)
        shutil.copy(pair[1], cls.key_file)

    @classmethod
    def write_password(cls, password):
        with open(cls.password_file, "w", encoding="ascii") as stream:
            stream.write(password + "\n")

    def test_we_are_that_user(self):
        clients = self.world.redis.command("CLIENT", "LIST").decode().splitlines()
        ours = [line for line in clients if f"laddr={HOST}:{PORT}" in line]
        self.assertTrue(ours)
        self.assertTrue(all(" user=filter " in line for line in ours), clients)

    def test_wrong_password(self):
        self.write_password("wrong")
        self.world.redis.drop_other_clients()
        try:
            self.assert_trouble("store_authentication")
        finally:
            self.write_password("secret")
        self.assert_recovers()

    def test_our_certificate_is_not_good(self):
        cases = {"authority of our certificate": self.other.issue("client"),
                 "our certificate has expired": self.ours.issue("old", dates=EXPIRED)}
        for text, pair in cases.items():
            with self.subTest(text=text):
                self.mark = self.world.milter.mark()
                self.use(pair)
                self.world.redis.drop_other_clients()
                try:
                    self.assert_tls_trouble(text)
                finally:
                    self.use(self.client)
                self.assert_recovers()

    def test_key_lost(self):
        self.as_before()  # so that the filter has told no cause yet
        os.rename(self.key_file, self.key_file + ".away")
        self.world.redis.drop_other_clients()
        try:
            self.assert_trouble("store_tls")
            self.world.milter.wait_log("store.tls.key_file: cannot use .*ours.key", since=self.mark)
        finally:
            os.rename(self.key_file + ".away", self.key_file)
        self.assert_recovers()

    def test_no_secret_is_logged(self):
        log = self.world.milter.log()
        self.assertNotIn("secret", log)
        self.assertNotIn("PRIVATE KEY", log)


if __name__ == "__main__":
    harness.main()
