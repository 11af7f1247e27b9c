"""A private Postfix: own configuration, queue and log; smtpd in a chroot."""

import os
import pwd
import re
import shutil
import signal
import subprocess

from .proc import Process, can_connect, read_text, ready, wait_for

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
command_directory = {command_directory}
daemon_directory = {daemon_directory}
shlib_directory = {shlib_directory}
meta_directory = {meta_directory}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {log}
maillog_file_prefixes = {prefix}
myhostname = {hostname}
mydomain = {hostname}
myorigin = {hostname}
mydestination =
mynetworks = 0.0.0.0/0 [::]/0
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:{sink_port}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtputf8_enable = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_authorized_xclient_hosts = 127.0.0.1
# A test makes many mistakes on purpose: no delays and no limits for them.
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_junk_command_limit = 100000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_timeout = 60s
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
smtpd_milters = unix:consent-milter/consent-milter.sock
non_smtpd_milters = $smtpd_milters
milter_default_action = tempfail
milter_connect_timeout = 5s
milter_command_timeout = 15s
milter_content_timeout = 15s
"""

# smtpd and cleanup run in a chroot, as Debian's default is; pickup looks into
# maildrop every second, so that no test waits for the usual minute.
MASTER_CF = """\
{listeners}
pickup    unix  n - y 1  1 pickup
cleanup   unix  n - y - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - y 1000? 1 tlsmgr
rewrite   unix  - - y - - trivial-rewrite
bounce    unix  - - y - 0 bounce
defer     unix  - - y - 0 bounce
trace     unix  - - y - 0 bounce
verify    unix  - - y - 1 verify
flush     unix  n - y 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - y - - showq
error     unix  - - y - - error
retry     unix  - - y - - error
discard   unix  - - y - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
anvil     unix  - - y - 1 anvil
scache    unix  - - y - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

LISTENER = """\
127.0.0.1:{port} inet n - y - - smtpd
{options}"""


def _built_in(name):
    """A default compiled into Postfix; main.cf of the system plays no part."""
    return subprocess.run(
        ["postconf", "-d", "-h", name], check=True, capture_output=True, text=True
    ).stdout.strip()


class Postfix:
    """`ports` names the listeners: relay, submission (daemon ORIGINATING)."""

    def __init__(self, directory, *, sink_port, ports=None, settings=None):
        self.directory = os.path.join(directory, "postfix")
        self.config = os.path.join(self.directory, "etc")
        self.queue = os.path.join(self.directory, "spool")
        self.data = os.path.join(self.directory, "data")
        self.log_path = os.path.join(self.directory, "mail.log")
        self.hostname = "mx.consent.test"
        self.ports = ports or {"relay": 25, "submission": 587}
        self.sink_port = sink_port
        self.settings = settings or {}
        self.socket_path = os.path.join(self.queue, "consent-milter", "consent-milter.sock")
        self.process = None
        self.pid = None
        self._lay_out()

    def _lay_out(self):
        user = pwd.getpwnam("postfix")
        for path in (self.config, self.queue, self.data, os.path.join(self.queue, "etc")):
            os.makedirs(path, exist_ok=True)
        os.chown(self.data, user.pw_uid, user.pw_gid)
        # The setgid bit gives the milter's socket to the group of Postfix.
        milter_directory = os.path.dirname(self.socket_path)
        os.makedirs(milter_directory, exist_ok=True)
        os.chown(milter_directory, 0, user.pw_gid)
        os.chmod(milter_directory, 0o2770)
        for name in ("hosts", "resolv.conf", "nsswitch.conf", "services", "localtime"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", os.path.join(self.queue, "etc", name))
        self.write_config()

    def write_config(self):
        values = {
            name: _built_in(name)
            for name in (
                "command_directory", "daemon_directory", "shlib_directory", "meta_directory",
            )
        }
        text = MAIN_CF.format(
            queue=self.queue,
            data=self.data,
            log=self.log_path,
            prefix=self.directory,
            hostname=self.hostname,
            sink_port=self.sink_port,
            **values,
        )
        for name, value in self.settings.items():
            text, found = re.subn(rf"(?m)^{name} =.*$", f"{name} = {value}", text)
            assert found == 1, f"main.cf of the rig has no {name}"
        with open(os.path.join(self.config, "main.cf"), "w", encoding="utf-8") as stream:
            stream.write(text)
        with open(os.path.join(self.config, "master.cf"), "w", encoding="utf-8") as stream:
            stream.write(MASTER_CF.format(listeners=self._listeners()))

    def _listeners(self):
        lines = []
        for name, port in self.ports.items():
            options = f"  -o syslog_name=postfix/{name}\n"
            if name == "submission":
                options += "  -o milter_macro_daemon_name=ORIGINATING\n"
            lines.append(LISTENER.format(port=port, options=options))
        return "".join(lines)

    def start(self):
        self.process = Process(
            "postfix",
            ["postfix", "-c", self.config, "start-fg"],
            os.path.join(self.directory, "postfix.out"),
        )
        self.process.start()
        for port in self.ports.values():
            ready(self.process, lambda port=port: can_connect(("127.0.0.1", port)), f"Postfix on {port}")
        self.pid = self._read_master_pid()
        return self

    def _read_master_pid(self):
        return int(read_text(os.path.join(self.queue, "pid", "master.pid")).strip() or 0)

    def stop(self):
        """End master(8), which ends all its daemons."""
        if self.process is None:
            return
        if self.process.running():
            # What we started is a shell script; master is its child.
            os.kill(self.pid, signal.SIGTERM)
            wait_for(lambda: not self.process.running(), "the end of Postfix")
        self.process = None

    def log(self):
        return read_text(self.log_path)

    def wait_log(self, text, since=0, seconds=15):
        """Wait until the log says `text` after the offset `since`."""
        return wait_for(
            lambda: text in self.log()[since:], f"{text!r} in the log of Postfix", seconds
        )

    def sendmail(self, sender, recipients, message):
        """Hand in a message by the sendmail command, as cron or a shop does."""
        return subprocess.run(
            ["sendmail", "-C", self.config, "-i", "-f", sender, "--", *recipients],
            input=message.replace(b"\r\n", b"\n"),
            capture_output=True,
            check=True,
        )

    def queue_files(self, *names):
        """Names of the messages in the queues given (default: all)."""
        found = []
        for name in names or ("maildrop", "incoming", "active", "deferred", "hold"):
            for _, _, files in os.walk(os.path.join(self.queue, name)):
                found += [f"{name}/{file}" for file in files]
        return found

    def settle(self, seconds=20):
        """Wait until nothing is queued: all is delivered, bounced or refused."""
        wait_for(lambda: not self.queue_files(), "empty queues of Postfix", seconds)

    def flush(self):
        subprocess.run(["postqueue", "-c", self.config, "-f"], check=True)
