/* Postfix: each way around the filter has its finding and its line; a good configuration has none. */
#include "mta_case.h"

#define TABLE "# office\n10.0.0.0/8   DISABLE\n192.0.2.0/24 " OURS "\n"

static const struct mta_case postfix_cases[] = {
    {.what = "good", .main = BOTH},
    {.what = "good, in braces",
     .main = "smtpd_milters = { " OURS ", command_timeout=15s, default_action=tempfail }\n"
             "non_smtpd_milters = { " OURS ", command_timeout=15s, default_action=tempfail }\n"
             "milter_default_action = accept\nmilter_command_timeout = 1s\n"},
    {.what = "default action of all",
     .main = BOTH "milter_default_action = accept\n",
     .finding = "default-action",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: milter_default_action",
     .line = "milter_default_action = tempfail"},
    {.what = "default action of ours",
     .main = "smtpd_milters = { " OURS ", default_action=accept }\n"
             "non_smtpd_milters = " OURS "\nmilter_default_action = tempfail\n",
     .finding = "default-action",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milters",
     .line = "default_action=tempfail"},
    {.what = "default action of one service",
     .main = BOTH,
     .overrides = "smtp/inet/milter_default_action = accept\n",
     .finding = "default-action",
     .health = CM_HEALTH_BAD,
     .where = "master.cf: smtp/inet: -o milter_default_action",
     .line = "  -o { milter_default_action = tempfail }"},
    {.what = "quarantine",
     .main = BOTH "milter_default_action = quarantine\n",
     .finding = "default-action",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: milter_default_action",
     .line = "tempfail"},
    {.what = "in no list",
     .main = "smtpd_milters = unix:/x\nnon_smtpd_milters = " OURS "\n",
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milters",
     .line = "smtpd_milters = { " OURS ", connect_timeout=5s, command_timeout=15s, content_timeout=60s, "
             "default_action=tempfail }, unix:/x"},
    {.what = "not in the list of submission",
     .main = BOTH,
     .services = SMTP "submission inet n - n - - smtpd\n" REST,
     .overrides = "submission/inet/smtpd_milters = \n",
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "master.cf: submission/inet: -o smtpd_milters",
     .line = "  -o { smtpd_milters = { " OURS},
    {.what = "the sendmail command",
     .main = "smtpd_milters = " OURS "\nnon_smtpd_milters =\n",
     .finding = "non_smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: non_smtpd_milters",
     .line = "non_smtpd_milters = { " OURS},
    {.what = "no_milters",
     .main = BOTH "receive_override_options = no_milters, no_address_mappings\n",
     .finding = "no-milters",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: receive_override_options",
     .line = "receive_override_options = no_address_mappings"},
    {.what = "no_milters of pickup",
     .main = BOTH,
     .overrides = "pickup/unix/receive_override_options = no_milters\n",
     .finding = "no-milters",
     .health = CM_HEALTH_BAD,
     .where = "master.cf: pickup/unix: -o receive_override_options",
     .line = "  -o { receive_override_options = }"},
    {.what = "exempted in a table",
     .main = BOTH "smtpd_milter_maps = cidr:/etc/maps\n",
     .finding = "milter-maps",
     .health = CM_HEALTH_BAD,
     .where = "/etc/maps:2",
     .line = ""},
    {.what = "exempted in the line",
     .main = BOTH "smtpd_milter_maps = inline:{ {192.0.2.1 = disable}, 10.0.0.1=" OURS " }\n",
     .finding = "milter-maps",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milter_maps",
     .line = ""},
    {.what = "a list of their own",
     .main = BOTH "smtpd_milter_maps = inline:{192.0.2.1=unix:/other}\n",
     .finding = "milter-maps",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milter_maps",
     .line = ""},
    {.what = "all",
     .main = BOTH "smtpd_milter_maps = static:DISABLE\n",
     .finding = "milter-maps",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milter_maps",
     .line = ""},
    {.what = "a table that cannot be read",
     .main = BOTH "smtpd_milter_maps = pcre:/etc/maps\n",
     .finding = "milter-maps",
     .health = CM_HEALTH_UNKNOWN,
     .where = "main.cf: smtpd_milter_maps",
     .line = ""},
    {.what = "a table that is not there",
     .main = BOTH "smtpd_milter_maps = hash:/none\n",
     .finding = "milter-maps",
     .health = CM_HEALTH_UNKNOWN,
     .where = "main.cf: smtpd_milter_maps",
     .line = ""},
    {.what = "always_bcc",
     .main = BOTH "always_bcc = all@x.test\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: always_bcc",
     .line = "smtp/inet: -o receive_override_options=no_address_mappings"},
    {.what = "recipient_bcc_maps",
     .main = BOTH "recipient_bcc_maps = hash:/x\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: recipient_bcc_maps",
     .line = "no_address_mappings"},
    {.what = "sender_bcc_maps",
     .main = BOTH "sender_bcc_maps = hash:/x\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: sender_bcc_maps",
     .line = "no_address_mappings"},
    {.what = "virtual_alias_maps",
     .main = BOTH "virtual_alias_maps = hash:/x\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: virtual_alias_maps",
     .line = "no_address_mappings"},
    {.what = "canonical_maps",
     .main = BOTH "canonical_maps = hash:/x\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: canonical_maps",
     .line = "no_address_mappings"},
    {.what = "recipient_canonical_maps",
     .main = BOTH "recipient_canonical_maps = hash:/x\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: recipient_canonical_maps",
     .line = "no_address_mappings"},
    {.what = "maps that nobody meets",
     .main = BOTH "receive_override_options = no_address_mappings\n"
                  "virtual_alias_maps = hash:/x\n"},
    {.what = "alias_maps",
     .main = BOTH "alias_maps = hash:/etc/aliases\nmydestination = mx.test\n",
     .finding = "added-recipients",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: alias_maps",
     .line = ""},
    {.what = "alias_maps of nothing", .main = BOTH "alias_maps = hash:/etc/aliases\nmydestination =\n"},
    {.what = "content_filter",
     .main = BOTH "content_filter = smtp:[127.0.0.1]:10024\n",
     .finding = "content-filter",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: content_filter",
     .line = ""},
    {.what = "a listener on loopback, for no content filter",
     .main = BOTH,
     .services = SMTP "127.0.0.1:10025 inet n - y - - smtpd\n" REST,
     .overrides = "127.0.0.1:10025/inet/smtpd_milters = \n",
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "master.cf: 127.0.0.1:10025/inet: -o smtpd_milters",
     .line = "smtpd_milters = { " OURS},
    {.what = "smtpd_proxy_filter",
     .main = BOTH "smtpd_proxy_filter = 127.0.0.1:10024\n",
     .finding = "proxy-filter",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_proxy_filter",
     .line = "smtpd_proxy_filter ="},
    {.what = "after the signer",
     .main = "smtpd_milters = inet:localhost:11332, " OURS "\nnon_smtpd_milters = " OURS "\n",
     .finding = "signer-order",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: smtpd_milters",
     .line = ""},
    {.what = "before the signer",
     .main = "smtpd_milters = " OURS ", inet:localhost:11332\nnon_smtpd_milters = " OURS "\n"},
    {.what = "outside the chroot",
     .main = "smtpd_milters = unix:/run/c.sock\nnon_smtpd_milters = unix:/run/c.sock\n",
     .services = SMTP "cleanup unix n - n - 0 cleanup\n",
     .socket = "unix:/run/c.sock",
     .finding = "chroot",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milters",
     .line = "unix:" QUEUE "/consent-milter"},
    {.what = "the whole path in a chroot",
     .main = "smtpd_milters = " SOCKET "\nnon_smtpd_milters = " OURS "\n",
     .finding = "chroot",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milters",
     .line = "socket = "},
    {.what = "the whole path without a chroot",
     .main = "smtpd_milters = " SOCKET "\nnon_smtpd_milters = " SOCKET "\n",
     .services = "smtp inet n - n - - smtpd\ncleanup unix n - - - 0 cleanup\n"},
    {.what = "connect timeout",
     .main = BOTH "milter_connect_timeout = 0s\n",
     .finding = "connect-timeout",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: milter_connect_timeout",
     .line = "milter_connect_timeout = 5s"},
    {.what = "command timeout",
     .main = BOTH "milter_command_timeout = 1s\n",
     .finding = "command-timeout",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: milter_command_timeout",
     .line = "milter_command_timeout = 15s"},
    {.what = "command timeout that is enough", .main = BOTH "milter_command_timeout = 2s\n"},
    {.what = "content timeout",
     .main = BOTH "milter_content_timeout = 5\n",
     .finding = "content-timeout",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: milter_content_timeout",
     .line = "milter_content_timeout = 60s"},
    {.what = "content timeout that is enough", .main = BOTH "milter_content_timeout = 6s\n"},
    {.what = "protocol",
     .main = BOTH "milter_protocol = 2\n",
     .finding = "protocol",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: milter_protocol",
     .line = "milter_protocol = 6"},
    {.what = "soft_bounce",
     .main = BOTH "soft_bounce = yes\n",
     .finding = "soft-bounce",
     .health = CM_HEALTH_WARN,
     .where = "main.cf: soft_bounce",
     .line = "soft_bounce = no"},
    {.what = "no smtpd",
     .main = BOTH,
     .services = REST,
     .finding = "services",
     .health = CM_HEALTH_UNKNOWN,
     .where = "master.cf",
     .line = ""},
    {.what = "over TCP",
     .main = "smtpd_milters = inet:127.0.0.1:9000\nnon_smtpd_milters = inet:localhost:9000\n",
     .socket = "inet:9000@localhost"},
    {.what = "another port",
     .main = "smtpd_milters = inet:127.0.0.1:9001\nnon_smtpd_milters = inet:[::1]:9000\n",
     .socket = "inet:9000@127.0.0.1",
     .finding = "smtpd_milters",
     .health = CM_HEALTH_BAD,
     .where = "main.cf: smtpd_milters",
     .line = "{ inet:127.0.0.1:9000, "},
};

static bool read_table(void *context, struct cm_span path, struct cm_span *out_text)
{
    (void)context;
    if (!cm_span_equal(path, CM_SPAN("/etc/maps"))) {
        return false;
    }
    *out_text = CM_SPAN(TABLE);
    return true;
}

static void test_postfix(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(postfix_cases); i++) {
        const struct mta_case *row = &postfix_cases[i];
        char main_text[2048];
        struct cm_mta_findings *findings = new_findings();
        (void)snprintf(main_text, sizeof(main_text), "%s%s", MAIN, row->main); /* fits */
        struct cm_mta_postfix postfix = {
            .socket = row->socket != NULL ? row->socket : SOCKET,
            .main = cm_span_of(main_text),
            .services = cm_span_of(row->services != NULL ? row->services : SMTP REST),
            .overrides = cm_span_of(row->overrides),
            .opendkim = CM_SPAN(SIGNED),
            .read = read_table,
        };
        cm_mta_judge_postfix(&postfix, findings);
        check(row, findings);
        free(findings);
    }
}

/* Where a content filter hands mail back, a listener on loopback without us is right, and only there. */
static void test_reinjection(void **state)
{
    (void)state;
    struct cm_mta_findings *findings = new_findings();
    struct cm_mta_postfix postfix = {
        .socket = SOCKET,
        .main = CM_SPAN(MAIN BOTH "content_filter = smtp:[127.0.0.1]:10024\n"),
        .services = CM_SPAN(SMTP "127.0.0.1:10025 inet n - y - - smtpd\n10026 inet n - y - - smtpd\n" REST),
        .overrides = CM_SPAN(
            "127.0.0.1:10025/inet/smtpd_milters =\n127.0.0.1:10025/inet/content_filter =\n"
            "127.0.0.1:10025/inet/receive_override_options = no_milters\n10026/inet/smtpd_milters =\n"),
    };
    cm_mta_judge_postfix(&postfix, findings);
    assert_int_equal(4, findings->count);
    assert_string_equal("content-filter", findings->rows[0].name);
    assert_string_equal("no-milters", findings->rows[1].name);
    assert_int_equal(CM_HEALTH_WARN, findings->rows[1].health);
    assert_int_equal(CM_HEALTH_WARN, findings->rows[2].health);
    assert_string_equal("master.cf: 10026/inet: -o smtpd_milters", findings->rows[3].where);
    assert_int_equal(CM_HEALTH_BAD, findings->rows[3].health);
    free(findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_postfix), cmocka_unit_test(test_reinjection)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
