"""A private Sendmail that is unpacked and not installed: own configuration, queue and log.

What Postfix and Sendmail have in common is the interface: `ports`, `start`, `stop`, `log`, `settle`, `sendmail`.
Its configuration is made by m4 out of config/sendmail-consent.mc, so the snippet that we ship is what is tested.
"""

import ctypes
import os
import pwd
import re
import socket
import subprocess

from .proc import Process, can_connect, read_text, ready, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SNIPPET = os.path.join(ROOT, "config", "sendmail-consent.mc")
SHIPPED_SOCKET = "/run/consent-milter/consent-milter.sock"
CLIENT_USER = "daemon"  # the sendmail command does not run as root
CLONE_NEWUTS = 0x04000000

# What Debian's ostype sets and concerns addresses is set here; its file would read /etc/mail. SMTP AUTH asks for no
# password, so that no database of them is needed; everybody who uses it is called anonymous.
MAIN_MC = """\
divert(0)dnl
OSTYPE(`linux')dnl
changequote([, ])dnl
define([confMUST_QUOTE_CHARS], [.'])dnl
changequote(`, ')dnl
define(`confDOMAIN_NAME', `{hostname}')dnl
define(`confPID_FILE', `{directory}/sendmail.pid')dnl
define(`confSERVICE_SWITCH_FILE', `{directory}/service.switch')dnl
define(`confHOSTS_FILE', `/etc/hosts')dnl
define(`QUEUE_DIR', `{queue}')dnl
define(`STATUS_FILE', `{directory}/statistics')dnl
define(`ALIAS_FILE', `null:none')dnl
define(`confCW_FILE', `-o {directory}/none')dnl
define(`confCR_FILE', `-o {directory}/none')dnl
define(`confCT_FILE', `-o {directory}/none')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confTO_IDENT', `0')dnl
define(`confMIN_QUEUE_AGE', `0')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confMAX_DAEMON_CHILDREN', `0')dnl
define(`confPRIVACY_FLAGS', `noexpn,novrfy')dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`MAIL_HUB', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {sink_port}')dnl
define(`confAUTH_MECHANISMS', `ANONYMOUS')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`accept_unresolvable_domains')dnl
{listeners}{snippet}
MAILER(`local')dnl
MAILER(`smtp')dnl
"""

SUBMIT_MC = """\
divert(0)dnl
define(`__OSTYPE__', `')dnl
define(`confCF_VERSION', `Submit')dnl
define(`confDOMAIN_NAME', `{hostname}')dnl
define(`confRUN_AS_USER', `{user}')dnl
define(`confSERVICE_SWITCH_FILE', `{directory}/service.switch')dnl
define(`MSP_QUEUE_DIR', `{queue}')dnl
define(`STATUS_FILE', `{directory}/msp.statistics')dnl
define(`confPID_FILE', `{directory}/msp.pid')dnl
define(`confTO_IDENT', `0')dnl
FEATURE(`msp', `[127.0.0.1]', `MSA')dnl
"""

LISTENER = "DAEMON_OPTIONS(`Name={name}, Port={port}, Addr=127.0.0.1, Family=inet')dnl\n"


class Unpacked:
    """The programs and cf macros under the directory that scripts/lib/unpack.sh fills."""

    def __init__(self, directory=None):
        if directory is None:
            script = os.path.join(ROOT, "scripts", "lib", "unpack.sh")
            result = subprocess.run(
                ["bash", "-c", 'source "$1" && cm_unpack', "bash", script], capture_output=True, text=True)
            assert result.returncode == 0, f"no Sendmail to test with: {result.stderr}"
            directory = result.stdout.strip().splitlines()[-1]
        self.cf = os.path.join(directory, "usr/share/sendmail/cf/")
        self.sendmail = os.path.join(directory, "usr/libexec/sendmail/sendmail")
        self.m4 = os.path.join(directory, "usr/bin/m4")
        libraries = ":".join(os.path.join(directory, name, "x86_64-linux-gnu") for name in ("lib", "usr/lib"))
        self.environment = dict(os.environ, LD_LIBRARY_PATH=libraries)

    def configure(self, source, target):
        with open(target, "wb") as stream:
            result = subprocess.run([self.m4, f"-D_CF_DIR_={self.cf}", f"{self.cf}m4/cf.m4", source],
                                    env=self.environment, stdout=stream, stderr=subprocess.PIPE, text=True)
        assert result.returncode == 0, f"m4 {source}: {result.stderr}"


def _own_host_name(name):
    """Sendmail sleeps for a minute at each start where the name of its host has no domain."""

    def enter():
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUTS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        socket.sethostname(name)

    return enter


class Sendmail:
    """`ports` names the listeners, which are the {daemon_name} of their sessions: relay and submission."""

    def __init__(self, directory, *, sink_port, ports=None, settings=None):
        self.directory = os.path.join(directory, "sendmail")
        self.queue = os.path.join(self.directory, "mqueue")
        self.client_queue = os.path.join(self.directory, "clientmqueue")
        self.log_path = os.path.join(self.directory, "mail.log")
        self.config = os.path.join(self.directory, "sendmail.cf")
        self.submit = os.path.join(self.directory, "submit.cf")
        self.socket_path = os.path.join(self.directory, "consent-milter.sock")
        self.hostname = "mx.consent.test"
        self.ports = ports or {"relay": 25, "submission": 587}
        self.sink_port = sink_port
        self.settings = settings or {}
        self.programs = Unpacked()
        self.process = None
        self._lay_out()

    def _lay_out(self):
        for path in (self.queue, self.client_queue):
            os.makedirs(path, mode=0o700)
        user = pwd.getpwnam(CLIENT_USER)
        os.chown(self.client_queue, user.pw_uid, user.pw_gid)
        for name in ("statistics", "msp.statistics"):
            with open(os.path.join(self.directory, name), "w", encoding="ascii"):
                pass
        with open(os.path.join(self.directory, "service.switch"), "w", encoding="ascii") as stream:
            stream.write("hosts files\naliases files\n")
        listeners = "".join(LISTENER.format(name=name, port=port) for name, port in self.ports.items())
        self._configure("sendmail", MAIN_MC, queue=self.queue, listeners=listeners, snippet=self._snippet())
        self._configure("submit", SUBMIT_MC, queue=self.client_queue, user=CLIENT_USER)

    def _snippet(self):
        """The shipped lines; only the path of the socket is another. `settings` are texts to be replaced."""
        text = read_text(SNIPPET)
        for old, new in ({SHIPPED_SOCKET: self.socket_path} | self.settings).items():
            assert old in text, f"config/sendmail-consent.mc has no {old}"
            text = text.replace(old, new)
        return text

    def _configure(self, name, template, **values):
        source = os.path.join(self.directory, f"{name}.mc")
        with open(source, "w", encoding="utf-8") as stream:
            stream.write(template.format(directory=self.directory, hostname=self.hostname,
                                         sink_port=self.sink_port, **values))
        self.programs.configure(source, os.path.join(self.directory, f"{name}.cf"))

    def start(self):
        # Category 89 of the debugger is what else would go to the system's log.
        self.process = Process(
            "sendmail",
            [self.programs.sendmail, "-D", self.log_path, "-d89.10", "-C", self.config, "-bD", "-q1s"],
            os.path.join(self.directory, "sendmail.out"),
            env=self.programs.environment,
            limits=_own_host_name(self.hostname),
        )
        self.process.start()
        for port in self.ports.values():
            ready(self.process, lambda port=port: can_connect(("127.0.0.1", port)), f"Sendmail on {port}")
        return self

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None

    def log(self):
        return read_text(self.log_path) + read_text(os.path.join(self.directory, "sendmail.out"))

    def wait_log(self, text, since=0, seconds=15):
        return wait_for(lambda: text in self.log()[since:], f"{text!r} in the log of Sendmail", seconds)

    def sendmail(self, sender, recipients, message, *, check=True):
        """Hand in a message by the sendmail command: submit.cf, and then SMTP to the listener on port 587."""
        return subprocess.run(
            [self.programs.sendmail, "-C", self.submit, "-Am", "-i", "-bm", "-f", sender, "--", *recipients],
            input=message.replace(b"\r\n", b"\n"),
            env=self.programs.environment,
            preexec_fn=_own_host_name(self.hostname),
            capture_output=True,
            check=check,
            timeout=30,
        )

    def queue_files(self):
        """Names of the control files: qf, or hf for a message in quarantine."""
        return [name for directory in (self.queue, self.client_queue) for name in os.listdir(directory)
                if re.match("[qh]f", name)]

    def settle(self, seconds=20):
        """Wait until nothing is queued but what is in quarantine."""
        wait_for(lambda: not [name for name in self.queue_files() if name[0] == "q"],
                 "an empty queue of Sendmail", seconds)
