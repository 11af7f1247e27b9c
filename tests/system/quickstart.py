"""What consent-milter does, shown step by step with a real Postfix and a real Redis.

Run by scripts/quickstart. Every answer is compared with what it must be.
"""

import argparse
import re
import subprocess
import sys
import time

import harness
from harness import EVIDENCE, LIST_ID, LIST_ID_CONDITION, LOGIN, NEWS, SHOP, World, compose, \
    decision_id, news_stream, receipts_stream, stream
from rig.proc import free_port, wait_for
from rig.sink import SinkProcess

ANN, BEN, CLEO, DAN = (f"{name}@people.example" for name in ("ann", "ben", "cleo", "dan"))
PURPOSE = "acme/newsletter"

STREAMS = [
    news_stream(headers=LIST_ID_CONDITION),
    receipts_stream(),
    stream("acme-local-news", match={"local": True, "mail_from": ["*@news.acme.example"]}),
]


class Demo:
    """Prints what happens and counts what did not happen as it must."""

    def __init__(self, world):
        self.world = world
        self.number = 0
        self.wrong = 0

    def step(self, title):
        self.number += 1
        print(f"\n{self.number}. {title}", flush=True)

    def say(self, text):
        for line in text.rstrip().splitlines():
            print(f"     {line}", flush=True)

    def expect(self, truth, what):
        if not truth:
            self.wrong += 1
        print(f"   {'ok   ' if truth else 'WRONG'} {what}", flush=True)

    def expect_reply(self, reply, code, what):
        self.expect(reply is not None and reply.code == code, f"{what}: {code} expected")

    def ctl(self, *arguments, ok=(0,), show=True):
        """Run and show one consentctl command."""
        if show:
            self.say("$ consentctl " + " ".join(shell_word(word) for word in arguments))
        result = self.world.ctl.run(*arguments, ok=None)
        if show:
            self.say(result.stdout + result.stderr)
        if result.returncode not in ok:
            self.expect(False, f"exit code {result.returncode} of consentctl {arguments[0]}")
        return result

    def show(self, transcript, since=0):
        """The SMTP lines, without the greeting's."""
        for side, line in transcript[since:]:
            self.say(f"{side}: {line}")

    def send(self, recipients, *, sender=NEWS, headers=(LIST_ID,)):
        """A whole message, its transcript shown; answers to RCPTs, and the last."""
        with self.world.session() as smtp:
            since = len(smtp.transcript)
            smtp.mail(sender)
            answers = [smtp.rcpt(recipient) for recipient in recipients]
            final = None
            if any(answer.code == 250 for answer in answers):
                final = smtp.data(compose(sender, recipients[0], headers=headers))
            self.show(smtp.transcript, since)
            return answers, final

    def delivered(self, recipient):
        self.world.postfix.settle()
        return recipient in self.world.sink.recipients()


def shell_word(word):
    return word if re.fullmatch(r"[A-Za-z0-9@._:/+=-]+", word) else f"'{word}'"


def show_configuration(demo):
    demo.step("The configuration is checked, and the store is made")
    world = demo.world
    demo.say("$ consent-milter -n -c consent-milter.conf")
    check = subprocess.run([world.milter.path, "-n", "-c", world.config_path],
                           capture_output=True, text=True, check=False)
    demo.say(check.stdout + check.stderr)
    demo.expect(check.returncode == 0, "the configuration is good")
    demo.ctl("init")


def show_registration(demo):
    demo.step("A sender, a purpose, the wording people agree to, and one grant with its evidence")
    path = f"{demo.world.directory}/newsletter.txt"
    with open(path, "w", encoding="utf-8") as text:
        text.write(harness.STATEMENT)
    demo.ctl("sender", "add", "acme", "--title", "Acme Ltd")
    demo.ctl("purpose", "add", PURPOSE, "--title", "Monthly newsletter")
    demo.ctl("statement", "publish", PURPOSE, path)
    grant(demo, ANN)


def grant(demo, address, show=True):
    demo.ctl("grant", address, PURPOSE, "--source", "web_form", "--statement", "1",
             "--evidence", EVIDENCE, show=show)


def show_answers(demo):
    demo.step(f"The newsletter to {ANN}, who consented, and to {BEN}, who did not")
    demo.say(f"(each SMTP session here is logged in as {LOGIN})")
    answers, final = demo.send([ANN])
    demo.expect_reply(answers[0], 250, "consent on record")
    demo.expect_reply(final, 250, "the message is taken")
    demo.expect(demo.delivered(ANN), "and delivered")
    answers, _ = demo.send([BEN])
    demo.expect_reply(answers[0], 550, "no consent")
    identifier = decision_id(answers[0].text)
    demo.expect(identifier is not None, "the refusal carries a decision id")
    return identifier


def show_explanation(demo, identifier):
    demo.step("The log line of that refusal, and its explanation")
    line = demo.world.milter.decision(identifier or "-")
    demo.say(line.text)
    demo.expect("ben" not in line.text, "the log holds no address")
    demo.world.explain(identifier or "-")  # refusals are kept a moment after they are told
    explained = demo.ctl("explain", identifier or "-")
    demo.expect("no_consent" in explained.stdout, "the id leads to the reason")


def show_withdrawal(demo):
    demo.step(f"{ANN} withdraws; the very next RCPT, in a session already open")
    with demo.world.session() as smtp:
        since = len(smtp.transcript)
        smtp.mail(NEWS)
        before = smtp.rcpt(ANN)
        demo.show(smtp.transcript, since)
        demo.expect_reply(before, 250, "still permitted")
        begun = time.monotonic()
        demo.ctl("withdraw", ANN, PURPOSE)
        since, done = len(smtp.transcript), time.monotonic()
        after = smtp.rcpt(ANN)
        answered = time.monotonic()
        demo.show(smtp.transcript, since)
    demo.expect_reply(after, 550, f"refused {(answered - done) * 1000:.1f} ms after the withdrawal "
                      f"was done, {(answered - begun) * 1000:.0f} ms after it was begun")
    demo.expect("suppression list" in after.text, "and the sender is told that it is a stop")


def show_store_away(demo):
    demo.step(f"{CLEO} and {DAN} consent; then Redis is stopped: don't know is never no")
    grant(demo, CLEO, show=False)
    grant(demo, DAN, show=False)
    demo.world.redis.stop()
    demo.say("(Redis is stopped)")
    answers, final = demo.send([CLEO])
    last = final if answers[0].code == 250 else answers[0]
    demo.expect_reply(last, 451, "deferred, the sender's server will try again")
    demo.world.redis.start()
    started = time.monotonic()
    demo.say("(Redis is started)")
    # Somebody without consent is refused again as soon as the store answers.
    demo.world.until_rcpt(550, BEN)
    demo.say(f"(the milter uses it again after {(time.monotonic() - started) * 1000:.0f} ms)")
    answers, final = demo.send([CLEO])
    demo.expect_reply(answers[0], 250, "permitted again")
    demo.expect_reply(final, 250, "the message is taken")


def show_three(demo):
    demo.step("Three recipients in one message, one of them without consent")
    answers, final = demo.send([CLEO, BEN, DAN])
    for answer, code, name in zip(answers, (250, 550, 250), (CLEO, BEN, DAN)):
        demo.expect_reply(answer, code, name)
    demo.expect_reply(final, 250, "the message goes to the other two")
    demo.expect(demo.delivered(DAN), f"{DAN} has it")
    demo.expect(not demo.delivered(BEN), f"{BEN} has not")


def show_service(demo):
    demo.step(f"A receipt to {ANN}, who has withdrawn: leaving a newsletter never blocks it")
    answers, final = demo.send([ANN], sender=SHOP, headers=())
    demo.expect_reply(answers[0], 250, "the service stream asks the store nothing")
    demo.expect_reply(final, 250, "the message is taken")


def show_bypass(demo):
    demo.step("A newsletter that leaves out its List-Id, to slip past the stream")
    answers, final = demo.send([CLEO], headers=())
    last = final if answers[0].code == 250 else answers[0]
    demo.expect_reply(last, 550, "it belongs to no stream of this login, so it is refused")


def show_sendmail(demo):
    demo.step("The sendmail command: no RCPT answer is possible, so the whole message is decided")
    world = demo.world
    for recipient in (CLEO, BEN):
        demo.say(f"$ sendmail -f {NEWS} {recipient} < newsletter")
        before = len(world.sink.taken())
        world.postfix.sendmail(NEWS, [recipient], compose(NEWS, recipient, headers=[LIST_ID]))
        arrived = wait_for(lambda: world.sink.taken()[before:], "the message or its bounce")
        world.postfix.settle()
        if recipient == CLEO:
            demo.expect(arrived[0].recipients == [CLEO], "delivered")
        else:
            bounced = arrived[0].sender == "" and arrived[0].recipients == [NEWS]
            demo.expect(bounced, "returned to its sender, with the reason:")
            found = re.search(rb"Diagnostic-Code: ([^\r\n]*(?:\r\n [^\r\n]*)*)", arrived[0].content)
            demo.say(re.sub(r"\s+", " ", found.group(1).decode()) if found else "(no diagnosis)")
            demo.expect(not demo.delivered(BEN) and not world.postfix.queue_files(),
                        "nothing is left behind in the queue")


def show_all(demo):
    show_configuration(demo)
    show_registration(demo)
    demo.world.milter.start()
    demo.world.postfix.start()
    show_explanation(demo, show_answers(demo))
    show_withdrawal(demo)
    show_store_away(demo)
    show_three(demo)
    show_service(demo)
    show_bypass(demo)
    show_sendmail(demo)


def print_how_to_go_on(world):
    postfix = world.postfix
    pids = {"redis-server": world.redis.pid, "consent-milter": world.milter.pid,
            "postfix (master)": postfix.pid, "far end": world.sink.pid}
    print(f"""
Everything is still running, in {world.directory}

  SMTP      127.0.0.1 port {postfix.ports['relay']}. To play the newsletter's login:
              EHLO me
              XCLIENT LOGIN={LOGIN}
              EHLO me
              MAIL FROM:<{NEWS}>
              RCPT TO:<{CLEO}>
  consents  {world.ctl.path} -c {world.config_path} show {CLEO}
  redis     redis-cli -s {world.redis.socket_path}
  logs      {world.milter.log_path}
            {postfix.log_path}
  arrived   {world.sink.directory}
  pids      {', '.join(f'{name} {pid}' for name, pid in pids.items())}

To end it:  kill {' '.join(str(pid) for pid in pids.values())}; rm -rf {world.directory}""")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    world = World(
        build=arguments.build, streams=STREAMS,
        ports={"relay": free_port(), "submission": free_port()},
        sink=lambda directory: SinkProcess(free_port(), directory),
    )
    demo = Demo(world)
    started = time.monotonic()
    finished = False
    try:
        world.redis.start()
        world.sink.start()
        show_all(demo)
        finished = True
    except (AssertionError, OSError) as error:
        print(f"\nquickstart: {error}\n{world.report()}", file=sys.stderr)
    finally:
        if not (finished and arguments.keep):
            for complaint in world.stop():
                demo.expect(False, complaint)
    elapsed = time.monotonic() - started
    if finished and demo.wrong == 0:
        print(f"\nEvery answer was as expected ({elapsed:.0f} s).")
    else:
        print(f"\n{demo.wrong or 'Some'} answers were not as expected.", file=sys.stderr)
    if finished and arguments.keep:
        print_how_to_go_on(world)
    sys.exit(0 if finished and demo.wrong == 0 else 1)


if __name__ == "__main__":
    main()
