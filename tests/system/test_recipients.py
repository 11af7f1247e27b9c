"""Every way to write a recipient that Postfix delivers (and some that it does not).

Consent belongs to the mailbox that mail is delivered to, so each form is asked
for somebody with consent, who gets the mail, and for somebody without.
"""

import harness
from harness import NEWS, WorldCase, compose

DOMAIN = "odd.test"

# Raw argument of RCPT with {u} for the name, and the mailbox it is delivered to.
FORMS = {
    "plain": ("<{u}@odd.test>", "{u}@odd.test"),
    "upper case": ("<{U}@ODD.Test>", "{u}@odd.test"),
    "quoted blank": ('<"{u} b"@odd.test>', '"{u} b"@odd.test'),
    "needless quotes": ('<"{u}"@odd.test>', "{u}@odd.test"),
    "quotes in part": ('<x."{u}"@odd.test>', "x.{u}@odd.test"),
    "escaped quote": ('<"{u}\\"q"@odd.test>', '"{u}\\"q"@odd.test'),
    "source route": ("<@a.test:{u}@odd.test>", "{u}@odd.test"),
    "long source route": ("<@a.test,@b.test:{u}@odd.test>", "{u}@odd.test"),
    "no domain": ("<{u}>", "{u}@mx.consent.test"),
    "trailing dot": ("<{u}@odd.test.>", "{u}@odd.test"),
    "tag": ("<{u}+tag@odd.test>", "{u}+tag@odd.test"),
    "VERP": ("<{u}-bounces+joe=far.test@odd.test>", "{u}-bounces+joe=far.test@odd.test"),
    "percent": ("<{u}%far.test@odd.test>", "{u}%far.test@odd.test"),
    "bang": ("<far.test!{u}@odd.test>", "far.test!{u}@odd.test"),
    "two at signs": ("<{u}@far.test@odd.test>", '"{u}@far.test"@odd.test'),
    "no brackets": ("{u}@odd.test", "{u}@odd.test"),
    "blank before the bracket": (" <{u}@odd.test>", "{u}@odd.test"),
    "comment behind": ("<{u}@odd.test (comment)>", "{u}@odd.test"),
    "comments everywhere": ("<(c1){u}(c2)@(c3)odd.test>", "{u}@odd.test"),
    "nested comment": ("<{u}@odd.test ((nest)ed)>", "{u}@odd.test"),
    "comment with an escape": ("<(a\\)b){u}@odd.test>", "{u}@odd.test"),
    "display name": ("<Foo <{u}@odd.test>>", "{u}@odd.test"),
    "quoted display name": ('<"A B" <{u}@odd.test>>', "{u}@odd.test"),
    "double brackets": ("<<{u}@odd.test>>", "{u}@odd.test"),
    "group": ("<grp:{u}@odd.test;>", "{u}@odd.test"),
    "quoted group": ('<"g g":{u}@odd.test;>', "{u}@odd.test"),
    "escaped letter": ("<\\{u}@odd.test>", "{u}@odd.test"),
    "blanks around the at sign": ("<{u} @ odd.test>", "{u}@odd.test"),
    "leading dot": ("<.{u}@odd.test>", '".{u}"@odd.test'),
    "dot at the end of the local part": ("<{u}.@odd.test>", '"{u}."@odd.test'),
    "address literal": ("<{u}@[192.0.2.7]>", "{u}@[192.0.2.7]"),
    "IPv6 literal": ("<{u}@[IPv6:2001:DB8:0::1]>", "{u}@[IPv6:2001:db8::1]"),
    "UTF-8 local part": ("<{u}\u00fc@odd.test>", "{u}\u00fc@odd.test"),
    "decomposed local part": ("<{u}u\u0308@odd.test>", "{u}\u00fc@odd.test"),
    "A-label": ("<{u}@xn--mnchen-3ya.test>", "{u}@m\u00fcnchen.test"),
    "DSN options": (
        "<{u}@odd.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Other+2BX@far.test",
        "{u}@odd.test",
    ),
}

# With SMTPUTF8 the domain may be written in Unicode.
UTF8_FORMS = {
    "U-label": ("<{u}@m\u00fcnchen.test>", "{u}@xn--mnchen-3ya.test"),
    "upper-case U-label": ("<{u}@M\u00dcNCHEN.test>", "{u}@m\u00fcnchen.test"),
    "decomposed U-label": ("<{u}@mu\u0308nchen.test>", "{u}@m\u00fcnchen.test"),
    "UTF-8 with a comment": ("<{u}\u00fc@m\u00fcnchen.test (c)>", "{u}\u00fc@m\u00fcnchen.test"),
}

# Postfix takes these as well. We may refuse them to everybody, yet what is
# delivered must have consent: nobody without it is ever reached.
STRANGE = (
    '<{u}@"odd.test">',
    "<{u}@odd\\.test>",
    "<{u}@odd.test;>",
    "<g:h:{u}@odd.test;;>",
    "<{u}@odd.test@>",
    "<{u}%odd.test>",
    "<odd.test!{u}>",
    "<far@odd.test <{u}@odd.test>>",
    "<{u}@odd.test <x@far.test>>",
    "<@[192.0.2.1]:{u}@odd.test>",
    "<@a.test:@b.test:{u}@odd.test>",
    "<@odd.test>",
    '<""@odd.test>',
    '<"{u}\t"@odd.test>',
    "<{u}\x01@odd.test>",
    "<{u}\x7f@odd.test>",
    "<{u}..x@odd.test>",
    "<{u}@odd_x.test>",
    "<{u}@odd.test,other@odd.test>",
    "<{u}@odd.test> <other@odd.test>",
    "<us er{u}@odd.test>",
    '<a"{u}"c@odd.test>',
    "<{u}@odd.test",
    "<{u}@odd.test>>",
    "<(unclosed {u}@odd.test>",
    '<"unclosed {u}@odd.test>',
    "<{u}@odd..test>",
    "<{u}@[not-an-address]>",
    "<{u}@[]>",
    "<@a.test:>",
    "<>",
    "<@>",
    "<<>>",
)


def fill(template, user):
    return template.replace("{u}", user).replace("{U}", user.capitalize())


class RecipientTest(WorldCase):
    def send_raw(self, argument, *parameters):
        """One message to one raw recipient: the answer, and the final one."""
        with self.world.session() as smtp:
            smtp.mail(NEWS, *parameters)
            answer = smtp.rcpt_raw(argument)
            if answer.code != 250:
                return answer, None
            return answer, smtp.data(compose(NEWS, "someone@odd.test"))

    def delivered_for(self, user):
        self.world.postfix.settle()
        return [r for r in self.world.sink.recipients() if user in r.lower()]

    def try_forms(self, forms, prefix, *parameters):
        for number, (name, (template, mailbox)) in enumerate(forms.items()):
            with self.subTest(form=name, template=template):
                self.try_form(template, mailbox, f"{prefix}{number}", *parameters)

    def try_form(self, template, mailbox, user, *parameters):
        # Names of letters and digits only: neither is part of the other.
        yes, no = f"yes{user}z", f"not{user}z"
        self.world.grant(fill(mailbox, yes))
        answer, _ = self.send_raw(fill(template, no), *parameters)
        self.assertEqual((550, "5.7.1"), (answer.code, answer.enhanced), str(answer))
        self.assertEqual([], self.delivered_for(no))
        answer, final = self.send_raw(fill(template, yes), *parameters)
        self.assertEqual(250, answer.code, str(answer))
        self.assertEqual(250, final.code, str(final))
        self.assertEqual(1, len(self.delivered_for(yes)))

    def test_forms_that_postfix_delivers(self):
        self.try_forms(FORMS, "a")

    def test_forms_with_smtputf8(self):
        self.try_forms(UTF8_FORMS, "b", "SMTPUTF8")

    def test_postmaster_is_a_subject_too(self):
        answer, _ = self.send_raw("<postmaster>")
        self.assert_refused(answer)
        self.world.grant("postmaster@mx.consent.test")
        self.assert_accepted(self.send_raw("<PostMaster>")[0])

    def test_no_strange_form_reaches_anybody_without_consent(self):
        for number, template in enumerate(STRANGE):
            user = f"str{number}z"
            with self.subTest(template=template):
                answer, _ = self.send_raw(fill(template, user))
                self.assertIn(answer.code, (500, 501, 550, 553, 555), str(answer))
                if answer.code == 550:
                    self.assertIn(answer.enhanced, ("5.7.1", "5.1.3"), str(answer))
        self.world.postfix.settle()
        self.assertEqual([], [r for r in self.world.sink.recipients() if "str" in r])

    def test_consent_of_the_one_does_not_carry_the_other(self):
        # Who is typed and who is delivered to differ; consent is asked of the latter.
        self.world.grant("typed@odd.test")
        for template in ("<typed@odd.test <victim@odd.test>>", "<@typed.odd.test:victim@odd.test>",
                         "<(typed@odd.test)victim@odd.test>", "<typed@odd.test:victim@odd.test;>",
                         '<"typed@odd.test" <victim@odd.test>>', "<typed@odd.test@victim.test>"):
            with self.subTest(template=template):
                answer, _ = self.send_raw(template)
                self.assertNotEqual(250, answer.code, str(answer))
        self.assertEqual([], self.delivered_for("victim"))

    def test_case_folding_does_not_merge_mailboxes(self):
        # Only A-Z fold: the long s, the sharp s and the dotless i are other letters.
        self.world.grant("masse@odd.test", "kim@odd.test")
        for name in ("ma\u017fse", "ma\u00dfe", "\uff2bim", "k\u0131m"):
            answer, _ = self.send_raw(f"<{name}@odd.test>", "SMTPUTF8")
            self.assertEqual(550, answer.code, f"{ascii(name)}: {answer}")

    def test_stop_covers_the_mailbox_family(self):
        self.world.grant("m.ary+x@gmail.com")
        self.assert_accepted(self.send_raw("<m.ary+x@gmail.com>")[0])
        self.assert_refused(self.send_raw("<mary@gmail.com>")[0])
        self.world.withdraw("mary@googlemail.com")
        self.assert_refused(self.send_raw("<m.ary+x@gmail.com>")[0])

    def test_tags_elsewhere_are_other_mailboxes(self):
        self.world.grant("tess@odd.test")
        self.assert_refused(self.send_raw("<tess+tag@odd.test>")[0])


if __name__ == "__main__":
    harness.main()
