/* Sendmail, opendkim, the macros that came, and the ceilings of the doctor of the mail server. */
#include "mta_case.h"

static const char good_cf[] = "V10/Berkeley\nO DeliveryMode=background\nO InputMailFilters=consent-milter, other\n"
                              "O DaemonPortOptions=Name=MTA, Addr=0.0.0.0\n"
                              "Xconsent-milter, S=local:/run/c.sock, F=T,\n\tT=C:10s;S:15s;R:15s;E:2m\n";
#define SUBMIT "O X=y\nD{MTAHost}[127.0.0.1]\n"
#define X_LINE "O A=b\nXcm, S=local:/run/c.sock, "
#define LISTED "\nO InputMailFilters=cm\n"

/* `main` is sendmail.cf, `services` submit.cf. */
static const struct mta_case sendmail_cases[] = {
    {.what = "good", .main = good_cf, .services = SUBMIT},
    {.what = "no filter",
     .main = "O A=b\n",
     .services = SUBMIT,
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "sendmail.cf: X",
     .line = "INPUT_MAIL_FILTER(`consent-milter', `S=local:/run/c.sock, F=T"},
    {.what = "not in the list",
     .main = X_LINE "F=T\nO InputMailFilters=other\n",
     .services = SUBMIT,
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "sendmail.cf: O InputMailFilters",
     .line = "InputMailFilters=cm"},
    {.what = "not in the list of a listener",
     .main = X_LINE "F=T" LISTED "O DaemonPortOptions=Name=MSA, I=other;x, Port=587\n",
     .services = SUBMIT,
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "sendmail.cf: O DaemonPortOptions MSA",
     .line = "InputMailFilters=cm"},
    {.what = "no F",
     .main = X_LINE "T=R:15s" LISTED,
     .services = SUBMIT,
     .finding = "default-action",
     .health = CM_HEALTH_BAD,
     .where = "sendmail.cf: Xcm",
     .line = "F=T"},
    {.what = "F=R",
     .main = X_LINE "F=R" LISTED,
     .services = SUBMIT,
     .finding = "default-action",
     .health = CM_HEALTH_WARN,
     .where = "sendmail.cf: Xcm",
     .line = "F=T"},
    {.what = "R too short",
     .main = X_LINE "F=T, T=R:5s" LISTED,
     .services = SUBMIT,
     .finding = "content-timeout",
     .health = CM_HEALTH_BAD,
     .where = "sendmail.cf: Xcm",
     .line = "R:15s"},
    {.what = "R long enough", .main = X_LINE "F=4, T=S:2s;R:6s" LISTED, .services = SUBMIT},
    {.what = "after the signer",
     .main = X_LINE "F=T\nO InputMailFilters=opendkim, cm\n",
     .services = SUBMIT,
     .finding = "signer-order",
     .health = CM_HEALTH_WARN,
     .where = "sendmail.cf: O InputMailFilters",
     .line = ""},
    {.what = "no submit.cf",
     .main = good_cf,
     .finding = "non_smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "submit.cf",
     .line = ""},
    {.what = "submit.cf delivers itself",
     .main = good_cf,
     .services = "O A=b\n",
     .finding = "non_smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "submit.cf",
     .line = "FEATURE(`msp'"},
    {.what = "submit.cf goes elsewhere",
     .main = good_cf,
     .services = "D{MTAHost}hub.test\n",
     .finding = "non_smtpd_milters",
     .health = CM_HEALTH_WARN,
     .where = "submit.cf: D{MTAHost}",
     .line = ""},
    {.what = "interactive",
     .main = X_LINE "F=T" LISTED "O DeliveryMode=interactive\n",
     .services = SUBMIT,
     .finding = "delivery-mode",
     .health = CM_HEALTH_WARN,
     .where = "sendmail.cf: O DeliveryMode",
     .line = "background"},
    {.what = "aliases",
     .main = X_LINE "F=T" LISTED "O AliasFile=/etc/mail/aliases\n",
     .services = SUBMIT,
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "sendmail.cf: O AliasFile",
     .line = ""},
    {.what = "something else",
     .main = "hello\n",
     .services = SUBMIT,
     .finding = "sendmail.cf",
     .health = CM_HEALTH_UNKNOWN,
     .where = "sendmail.cf",
     .line = ""},
};

static void test_sendmail(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sendmail_cases); i++) {
        const struct mta_case *row = &sendmail_cases[i];
        struct cm_mta_findings *findings = new_findings();
        struct cm_mta_sendmail sendmail = {
            .socket = "unix:/run/c.sock", .daemon = cm_span_of(row->main), .opendkim = CM_SPAN(SIGNED)};
        if (row->services != NULL) {
            sendmail.submit = cm_span_of(row->services);
        }
        cm_mta_judge_sendmail(&sendmail, findings);
        check(row, findings);
        free(findings);
    }
}

/* Debian's opendkim.conf signs no List-Unsubscribe-Post; "+" or a whole list may add it. */
static void test_opendkim(void **state)
{
    static const struct {
        const char *text;
        enum cm_health health;
    } rows[] = {
        {"Mode sv\n#SignHeaders *,+List-Unsubscribe-Post\n", CM_HEALTH_WARN},
        {"SignHeaders From,List-Unsubscribe\n", CM_HEALTH_WARN},
        {SIGNED, CM_HEALTH_UNSET},
        {" signheaders\tfrom,list-unsubscribe-post", CM_HEALTH_UNSET},
        {NULL, CM_HEALTH_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_mta_findings *findings = new_findings();
        struct cm_mta_postfix postfix = {
            .socket = SOCKET,
            .main = CM_SPAN(MAIN "smtpd_milters = " OURS ", unix:opendkim/opendkim.sock\nnon_smtpd_milters = " OURS
                                 "\n"),
            .services = CM_SPAN(SMTP REST),
        };
        if (rows[i].text != NULL) {
            postfix.opendkim = cm_span_of(rows[i].text);
        }
        cm_mta_judge_postfix(&postfix, findings);
        assert_int_equal(rows[i].health, cm_mta_worst(findings));
        free(findings);
    }
}

#define MACROS(daemon, auth, mail, rcpt, eom, sessions, messages)                                                   \
    "{\"ok\":true,\"macros\":{\"connect\":{\"j\":5,\"{daemon_name}\":" daemon "},\"mail\":{\"{auth_authen}\":" auth \
    ",\"{mail_addr}\":" mail "},\"rcpt\":{\"{rcpt_addr}\":" rcpt "},\"eom\":{\"i\":" eom "},\"sessions\":" sessions \
    ",\"messages\":" messages ",\"rcpts\":9}}"

static void test_macros(void **state)
{
    static const struct {
        const char *answer;
        const char *where; /* NULL: all is well */
        enum cm_health health;
    } rows[] = {
        {MACROS("5", "1", "7", "9", "7", "5", "7"), NULL, CM_HEALTH_UNSET},
        {MACROS("0", "1", "7", "9", "7", "5", "7"), "consent-milter (running): {daemon_name} at connect",
         CM_HEALTH_BAD},
        {MACROS("5", "0", "7", "9", "7", "5", "7"), "consent-milter (running): {auth_authen} at mail", CM_HEALTH_WARN},
        {MACROS("5", "0", "0", "9", "0", "5", "0"), NULL, CM_HEALTH_UNSET}, /* no message yet */
        {MACROS("5", "1", "0", "9", "7", "5", "7"), "consent-milter (running): {mail_addr} at mail", CM_HEALTH_WARN},
        {MACROS("5", "1", "7", "0", "7", "5", "7"), "consent-milter (running): {rcpt_addr} at rcpt", CM_HEALTH_WARN},
        {MACROS("5", "1", "7", "9", "0", "5", "7"), "consent-milter (running): i at eom", CM_HEALTH_WARN},
        {MACROS("0", "0", "0", "0", "0", "0", "0"), "consent-milter (running)", CM_HEALTH_WARN},
        {"{\"ok\":false}", "consent-milter (running)", CM_HEALTH_UNKNOWN},
        {"{", "consent-milter (running)", CM_HEALTH_UNKNOWN},
        {"", "consent-milter (running)", CM_HEALTH_UNKNOWN},
        {"{\"macros\":{\"sessions\":\"many\",\"connect\":7}}", "consent-milter (running)", CM_HEALTH_WARN},
    };
    const char *any[] = {"*"};
    struct cm_stream stream = {.session = {.auth = {any, 1}, .daemon = {any, 1}}};
    const struct cm_stream_table streams = {.streams = &stream, .count = 1};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_mta_findings *findings = new_findings();
        cm_mta_judge_status(cm_span_of(rows[i].answer), &streams, findings);
        assert_int_equal(rows[i].where != NULL ? 1 : 0, findings->count);
        assert_int_equal(rows[i].health, cm_mta_worst(findings));
        if (rows[i].where != NULL) {
            assert_string_equal(rows[i].where, findings->rows[0].where);
        }
        free(findings);
    }
    struct cm_mta_findings *findings = new_findings();
    cm_mta_judge_status(CM_SPAN(MACROS("0", "0", "7", "9", "7", "5", "7")), &(struct cm_stream_table){.count = 0},
                        findings);
    assert_int_equal(0, findings->count); /* no stream asks for them */
    free(findings);
}

static void test_reach(void **state)
{
    (void)state;
    struct cm_mta_findings *findings = new_findings();
    cm_mta_judge_reach(&(struct cm_mta_reach){"postfix", "/a/b", NULL, false}, findings);
    assert_int_equal(0, findings->count);
    cm_mta_judge_reach(&(struct cm_mta_reach){"postfix", "/a/b", "/a", true}, findings);
    assert_int_equal(CM_HEALTH_WARN, cm_mta_worst(findings));
    cm_mta_judge_reach(&(struct cm_mta_reach){"postfix", "/a/b", "/a", false}, findings);
    assert_int_equal(CM_HEALTH_BAD, cm_mta_worst(findings));
    assert_string_equal("milter: { mode = \"0660\"; group = \"postfix\"; }", findings->rows[1].line);
    free(findings);
}

/* Both sides of each ceiling: at it all is read, one beyond it the answer is "unknown" and never "good". */
static void test_ceilings(void **state)
{
    (void)state;
    struct cm_mta_findings *findings = new_findings();
    char *text = malloc(CM_MTA_TEXT_BYTES + 1);
    assert_non_null(text);
    memset(text, '\n', CM_MTA_TEXT_BYTES + 1);
    memcpy(text, MAIN BOTH, sizeof(MAIN BOTH) - 1);
    struct cm_mta_postfix postfix = {
        .socket = SOCKET, .main = {text, CM_MTA_TEXT_BYTES}, .services = CM_SPAN(SMTP REST)};
    cm_mta_judge_postfix(&postfix, findings);
    assert_int_equal(0, findings->count);
    postfix.main.len++;
    cm_mta_judge_postfix(&postfix, findings);
    assert_int_equal(1, findings->count);
    assert_int_equal(CM_HEALTH_UNKNOWN, findings->rows[0].health);

    findings->count = 0;
    struct cm_text services = cm_text_over(text, CM_MTA_TEXT_BYTES);
    cm_text_add_str(&services, SMTP);
    for (size_t i = 1; i < CM_MTA_SERVICES_MAX; i++) {
        cm_text_add_format(&services, "s%zu unix n - y - - other\n", i);
    }
    postfix.main = CM_SPAN(MAIN BOTH);
    postfix.services = cm_span_of(text);
    cm_mta_judge_postfix(&postfix, findings);
    assert_int_equal(0, findings->count);
    cm_text_add_str(&services, "one inet n - y - - smtpd\n");
    postfix.services = cm_span_of(text);
    cm_mta_judge_postfix(&postfix, findings);
    assert_int_equal(1, findings->count);
    assert_int_equal(CM_HEALTH_UNKNOWN, findings->rows[0].health);

    findings->count = 0;
    for (size_t i = 0; i < CM_MTA_FINDINGS_MAX; i++) {
        char where[32];
        (void)snprintf(where, sizeof(where), "%zu", i); /* fits */
        (void)cm_mta_add(findings, "x", CM_HEALTH_WARN, where, "y", "z");
    }
    assert_string_equal("x", findings->rows[CM_MTA_FINDINGS_MAX - 1].name);
    (void)cm_mta_add(findings, "x", CM_HEALTH_BAD, "one more", "y", "z");
    assert_int_equal(CM_MTA_FINDINGS_MAX, findings->count);
    assert_string_equal("findings", findings->rows[CM_MTA_FINDINGS_MAX - 1].name);
    assert_int_equal(CM_HEALTH_BAD, cm_mta_worst(findings));
    free(text);
    free(findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sendmail), cmocka_unit_test(test_opendkim), cmocka_unit_test(test_macros),
        cmocka_unit_test(test_reach),    cmocka_unit_test(test_ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
