#include "core/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ID "abuiezbfl332w353yaaaaaafxd"
#define URL "https://mail.acme.example/privacy"

static struct cm_reply make(enum cm_verdict verdict, enum cm_reason reason, struct cm_reply_facts facts)
{
    struct cm_decision decision = cm_decision_of(verdict, reason);
    struct cm_reply reply;
    memset(&reply, 0xa5, sizeof(reply));
    facts.decision = &decision;
    if (facts.decision_id == NULL) {
        facts.decision_id = ID;
    }
    cm_reply_make(&facts, &reply);
    return reply;
}

static bool is_one_printable_line(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return len > 0 && len <= CM_REPLY_TEXT_MAX;
}

static void the_text_says_who_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum cm_verdict verdict;
        enum cm_reason reason;
        bool tell_state;
        const char *want;
    } rows[] = {
        {"no consent, told to the sender", CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, true,
         "ada@example.org no consent on record for acme/news (id " ID ") see " URL},
        {"a stop, told to the sender", CM_VERDICT_REFUSE, CM_REASON_WITHDRAWN, true,
         "ada@example.org recipient is in the suppression list for acme/news (id " ID ") see " URL},
        {"the store is away", CM_VERDICT_DEFER, CM_REASON_TROUBLE, true,
         "ada@example.org consent cannot be checked now, try again later (id " ID ") see " URL},
        {"no address", CM_VERDICT_REFUSE, CM_REASON_RECIPIENT_UNPARSABLE, false,
         "ada@example.org recipient cannot be parsed as an address (id " ID ") see " URL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_reply reply = make(rows[i].verdict, rows[i].reason,
                                     (struct cm_reply_facts){.recipients = {CM_SPAN("ada@example.org")},
                                                             .recipient_count = 1,
                                                             .purpose = "acme/news",
                                                             .url = URL,
                                                             .tell_state = rows[i].tell_state});
        if (strcmp(reply.text, rows[i].want) != 0) {
            fail_msg("%s: \"%s\"", rows[i].name, reply.text);
        }
    }
}

static void what_is_missing_leaves_no_gap(void **state)
{
    (void)state;
    static const enum cm_reason reasons[] = {CM_REASON_NO_CONSENT, CM_REASON_WITHDRAWN, CM_REASON_PURPOSE_RETIRED,
                                             CM_REASON_PURPOSE_UNKNOWN, CM_REASON_UNDECLARED_BULK};
    for (size_t i = 0; i < COUNT(reasons); i++) {
        for (int mask = 0; mask < 4; mask++) {
            struct cm_reply reply = make(
                CM_VERDICT_REFUSE, reasons[i],
                (struct cm_reply_facts){.purpose = (mask & 1) != 0 ? "" : NULL, .tell_state = (mask & 2) != 0});
            if (strstr(reply.text, "  ") != NULL || strstr(reply.text, "(null)") != NULL ||
                strstr(reply.text, " see ") != NULL || reply.text[0] == ' ') {
                fail_msg("\"%s\"", reply.text);
            }
        }
    }
}

static void only_accepted_mail_has_no_reply(void **state)
{
    (void)state;
    struct cm_reply accepted = make(CM_VERDICT_ACCEPT, CM_REASON_NO_CONSENT, (struct cm_reply_facts){0});
    assert_null(accepted.code);
    assert_null(accepted.xcode);
    assert_string_equal(accepted.text, "");
    static const enum cm_verdict verdicts[] = {CM_VERDICT_UNDECIDED, (enum cm_verdict)4};
    for (size_t i = 0; i < COUNT(verdicts); i++) { /* LAW-1 */
        struct cm_reply reply = make(verdicts[i], CM_REASON_NO_CONSENT, (struct cm_reply_facts){0});
        assert_string_equal(reply.code, "451");
        assert_string_equal(reply.xcode, "4.3.0");
    }
}

/* Law: who may not be told whether someone withdrew sees the same text for everyone. */
static void the_discreet_text_is_the_same_for_all(void **state)
{
    (void)state;
    static const enum cm_reason reasons[] = {
        CM_REASON_NO_CONSENT,      CM_REASON_REQUEST_OPEN, CM_REASON_LAPSED,
        CM_REASON_OLDER_STATEMENT, CM_REASON_NOT_YET,      CM_REASON_BASIS_NOT_ACCEPTED,
        CM_REASON_REFUSED,         CM_REASON_WITHDRAWN,    CM_REASON_OBJECTED,
        CM_REASON_COMPLAINED,      CM_REASON_DORMANT,      CM_REASON_RESTRICTED,
        CM_REASON_DECEASED,        CM_REASON_MINOR,        CM_REASON_SUSPENDED,
        CM_REASON_BOUNCED,         CM_REASON_ERASED};
    struct cm_reply_facts facts = {
        .recipients = {CM_SPAN("ada@example.org")}, .recipient_count = 1, .purpose = "acme/news", .url = URL};
    struct cm_reply first = make(CM_VERDICT_REFUSE, reasons[0], facts);
    for (size_t i = 1; i < COUNT(reasons); i++) {
        struct cm_reply reply = make(CM_VERDICT_REFUSE, reasons[i], facts);
        assert_string_equal(reply.text, first.text);
        assert_string_equal(reply.code, first.code);
        assert_string_equal(reply.xcode, first.xcode);
    }
    facts.tell_state = true;
    assert_string_not_equal(make(CM_VERDICT_REFUSE, CM_REASON_WITHDRAWN, facts).text,
                            make(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, facts).text);
}

static bool is_stop(enum cm_reason reason)
{
    return reason == CM_REASON_REFUSED || reason == CM_REASON_WITHDRAWN || reason == CM_REASON_OBJECTED ||
           reason == CM_REASON_COMPLAINED || reason == CM_REASON_BOUNCED || reason == CM_REASON_ERASED ||
           reason == CM_REASON_RESTRICTED || reason == CM_REASON_DECEASED || reason == CM_REASON_MINOR ||
           reason == CM_REASON_SUSPENDED;
}

static void every_stop_speaks_of_the_suppression_list(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_REASON_COUNT; a++) {
        if (!is_stop((enum cm_reason)a)) {
            continue;
        }
        for (int tell = 0; tell < 2; tell++) {
            struct cm_reply reply = make(CM_VERDICT_REFUSE, (enum cm_reason)a,
                                         (struct cm_reply_facts){.tell_state = tell == 1});
            assert_string_equal(reply.code, "550");
            assert_string_equal(reply.xcode, "5.7.1");
            assert_non_null(strstr(reply.text, "in the suppression list"));
        }
    }
    assert_null(strstr(make(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, (struct cm_reply_facts){.tell_state = true}).text,
                       "suppression"));
}

static void a_dirty_recipient_cannot_split_or_forge_a_reply(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cm_span raw;
        const char *want; /* the text up to the first blank */
    } rows[] = {
        {"CR and LF", {"a\r\n250 ok@d", 11}, "a??250?ok@d"},
        {"NUL", {"a\0b@d", 5}, "a?b@d"},
        {"tab and blank", {"a\t b@d", 6}, "a??b@d"},
        {"escape and DEL", {"\x1b[31m\x7f@d", 8}, "?[31m?@d"},
        {"8-bit", {"\xc3\xa4@d", 4}, "??@d"},
        {"8-bit controls", {"\x80\x9b\xff@d", 5}, "???@d"},
        {"per cent is the protocol's business", {"%s%n@d", 6}, "%s%n@d"},
        {"the printable ends stay", {"!~@d", 4}, "!~@d"},
        {"nothing", {"", 0}, "no"},
        {"no pointer", {NULL, 0}, "no"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_reply reply = make(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT,
                                     (struct cm_reply_facts){.recipients = {rows[i].raw}, .recipient_count = 1});
        size_t len = strcspn(reply.text, " ");
        if (len != strlen(rows[i].want) || strncmp(reply.text, rows[i].want, len) != 0 ||
            !is_one_printable_line(reply.text)) {
            fail_msg("%s: \"%s\"", rows[i].name, reply.text);
        }
    }
}

static void a_long_recipient_is_cut(void **state)
{
    (void)state;
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    static const struct {
        size_t len;
        bool cut;
    } rows[] = {{79, false}, {80, false}, {81, true}, {200, true}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_reply reply = make(
            CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT,
            (struct cm_reply_facts){.recipients = {{longest, rows[i].len}}, .recipient_count = 1});
        size_t len = strspn(reply.text, "x");
        assert_int_equal(len, rows[i].cut ? 80 : rows[i].len);
        assert_int_equal(strncmp(reply.text + len, "...", 3) == 0, rows[i].cut);
    }
}

static void several_recipients_are_named_and_the_rest_counted(void **state)
{
    (void)state;
    struct cm_reply_facts facts = {.recipients = {CM_SPAN("a@d"), CM_SPAN("b@d"), CM_SPAN("c@d")},
                                   .recipient_count = 3,
                                   .purpose = "acme/news",
                                   .tell_state = true};
    assert_string_equal(make(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, facts).text,
                        "a@d b@d c@d no consent on record for acme/news (id " ID ")");
    facts.more = 1;
    assert_string_equal(make(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, facts).text,
                        "a@d b@d c@d and 1 more no consent on record for acme/news (id " ID ")");
    facts.recipient_count = 0;
    facts.more = 0;
    assert_string_equal(make(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, facts).text,
                        "no consent on record for acme/news (id " ID ")");
}

/* LAW-13: the id is what explains the refusal later. Whatever else is cut for length, the id must stand whole. */
static void the_longest_of_everything_still_fits_and_names_the_id(void **state)
{
    (void)state;
    char recipient[600];
    char purpose[129];
    char url[121];
    memset(recipient, 'r', sizeof(recipient));
    memset(purpose, 'p', sizeof(purpose));
    memset(url, 'u', sizeof(url));
    purpose[sizeof(purpose) - 1] = '\0';
    url[sizeof(url) - 1] = '\0';
    struct cm_span longest = {recipient, sizeof(recipient)};
    for (unsigned a = 0; a < CM_REASON_COUNT; a++) {
        for (size_t named = 0; named <= CM_REPLY_NAMED_RECIPIENTS; named++) {
            for (int mask = 0; mask < 4; mask++) {
                struct cm_reply reply = make(CM_VERDICT_REFUSE, (enum cm_reason)a,
                                             (struct cm_reply_facts){.recipients = {longest, longest, longest},
                                                                     .recipient_count = named,
                                                                     .more = (mask & 1) != 0 ? SIZE_MAX : 0,
                                                                     .purpose = purpose,
                                                                     .url = url,
                                                                     .tell_state = (mask & 2) != 0});
                if (!is_one_printable_line(reply.text) || strstr(reply.text, "(id " ID ")") == NULL) {
                    fail_msg("%s, %zu recipients, %zu bytes: \"%s\"", cm_reason_name((enum cm_reason)a), named,
                             strlen(reply.text), reply.text);
                }
            }
        }
    }
}

static void per_cent_signs_are_doubled_for_the_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {{"", ""}, {"plain", "plain"}, {"%", "%%"}, {"%%", "%%%%"}, {"a%b%", "a%%b%%"}};
    char out[2 * CM_REPLY_TEXT_MAX + 1];
    for (size_t i = 0; i < COUNT(rows); i++) {
        cm_reply_escape(rows[i].text, out, sizeof(out));
        assert_string_equal(out, rows[i].want);
    }
    char longest[CM_REPLY_TEXT_MAX + 1];
    memset(longest, '%', CM_REPLY_TEXT_MAX);
    longest[CM_REPLY_TEXT_MAX] = '\0';
    cm_reply_escape(longest, out, sizeof(out));
    assert_int_equal(strlen(out), 2 * CM_REPLY_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_says_who_what_and_where),
        cmocka_unit_test(what_is_missing_leaves_no_gap),
        cmocka_unit_test(only_accepted_mail_has_no_reply),
        cmocka_unit_test(the_discreet_text_is_the_same_for_all),
        cmocka_unit_test(every_stop_speaks_of_the_suppression_list),
        cmocka_unit_test(a_dirty_recipient_cannot_split_or_forge_a_reply),
        cmocka_unit_test(a_long_recipient_is_cut),
        cmocka_unit_test(several_recipients_are_named_and_the_rest_counted),
        cmocka_unit_test(the_longest_of_everything_still_fits_and_names_the_id),
        cmocka_unit_test(per_cent_signs_are_doubled_for_the_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
