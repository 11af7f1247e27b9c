#include "core/cidr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const good_addresses[] = {
    "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "2001:DB8:0:0:0:0:0:1", "::ffff:192.0.2.1",
};

static const char *const bad_addresses[] = {
    "",
    " 192.0.2.1",
    "192.0.2.1 ",
    "192.0.2",
    "192.0.2.256",
    "192.0.2.01",
    "0x7f.0.0.1",
    "1.2.3.4.5",
    "[::1]",
    "::1%lo",
    "IPv6:::1",
    "2001:db8::1::",
    ":",
    "localhost",
    "1.2.3.4/8",
    "1:2:3:4:5:6:7",
    "-1.2.3.4",
    "12345::",
    "::ffff:1.2.3",
    "١.2.3.4",
    "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
};

static void addresses_are_told_from_other_text(void **state)
{
    (void)state;
    struct cm_ip ip;
    for (size_t i = 0; i < COUNT(good_addresses); i++) {
        memset(&ip, 0, sizeof(ip));
        if (!cm_ip_parse(cm_span_of(good_addresses[i]), &ip) || !ip.known) {
            fail_msg("refused: %s", good_addresses[i]);
        }
    }
    for (size_t i = 0; i < COUNT(bad_addresses); i++) {
        memset(&ip, 0, sizeof(ip));
        if (cm_ip_parse(cm_span_of(bad_addresses[i]), &ip) || ip.known) {
            fail_msg("taken: %s", bad_addresses[i]);
        }
    }
    assert_false(cm_ip_parse(CM_SPAN("1.2.3.4\0"), &ip));
    assert_false(cm_ip_parse((struct cm_span){NULL, 0}, &ip));
}

static const char *const good_networks[] = {
    "0.0.0.0/0",   "10.0.0.0/8",          "192.0.2.0/31",      "192.0.2.1/32", "192.0.2.1",
    "::/0",        "2001:db8::/32",       "2001:db8::/31",     "::1/128",      "::1",
    "128.0.0.0/1", "::ffff:10.0.0.0/104", "::ffff:0.0.0.0/96",
};

static const char *const bad_networks[] = {
    "",
    "/8",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/ 8",
    "10.0.0.0/8/8",
    "10.0.0.1/8",
    "10.1.0.0/8",
    "192.0.2.1/31",
    "0.0.0.1/0",
    "2001:db8::/129",
    "::1/127",
    "2001:db8::1/32",
    "10/8",
    "10.0.0.0/8 ",
    "10.0.0.0/x",
    "10.0.0.0/0x8",
    "10.0.0.0/255.0.0.0",
    "::ffff:10.0.0.1/104",
    "2001:db8::/0032",
    "10.0.0.0/99999999999999999999",
};

static void networks_are_told_from_other_text(void **state)
{
    (void)state;
    struct cm_cidr network;
    for (size_t i = 0; i < COUNT(good_networks); i++) {
        if (!cm_cidr_parse(cm_span_of(good_networks[i]), &network)) {
            fail_msg("refused: %s", good_networks[i]);
        }
    }
    for (size_t i = 0; i < COUNT(bad_networks); i++) {
        if (cm_cidr_parse(cm_span_of(bad_networks[i]), &network)) {
            fail_msg("taken: %s", bad_networks[i]);
        }
    }
}

static const struct {
    const char *network;
    const char *ip;
    bool want;
} contains_rows[] = {
    {"10.0.0.0/8", "10.0.0.0", true},
    {"10.0.0.0/8", "10.255.255.255", true},
    {"10.0.0.0/8", "9.255.255.255", false},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.0.0.0/8", "::ffff:10.1.2.3", true}, /* a client seen through a dual-stack socket */
    {"::ffff:10.0.0.0/104", "10.1.2.3", true},
    {"10.0.0.0/8", "::10.1.2.3", false}, /* "compatible" is not "mapped" */
    {"192.0.2.128/25", "192.0.2.128", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.2/31", "192.0.2.3", true},
    {"192.0.2.2/31", "192.0.2.4", false},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.0", false},
    {"0.0.0.0/0", "255.255.255.255", true},
    {"0.0.0.0/0", "::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "192.0.2.1", false}, /* each family has its own "everybody" */
    {"::/64", "192.0.2.1", false},
    {"2001:db8::/32", "2001:db8:ffff::1", true},
    {"2001:db8::/32", "2001:db9::", false},
    {"2001:db8::/31", "2001:db9::", true},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"::1", "::1", true},
    {"::1", "::2", false},
};

static void networks_contain_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(contains_rows); i++) {
        struct cm_cidr network;
        struct cm_ip ip;
        assert_true(cm_cidr_parse(cm_span_of(contains_rows[i].network), &network));
        assert_true(cm_ip_parse(cm_span_of(contains_rows[i].ip), &ip));
        if (cm_cidr_contains(&network, &ip) != contains_rows[i].want) {
            fail_msg("%s and %s", contains_rows[i].network, contains_rows[i].ip);
        }
    }
}

static void every_prefix_holds_both_its_ends_and_no_neighbour(void **state)
{
    (void)state;
    for (unsigned bits = 97; bits <= 128; bits++) {
        struct cm_cidr network = {.prefix_bits = (uint8_t)bits};
        struct cm_ip ip = {.known = true};
        network.bytes[10] = network.bytes[11] = 0xff;
        network.bytes[(bits - 1) / 8] |= (uint8_t)(1U << (7 - (bits - 1) % 8));
        memcpy(ip.bytes, network.bytes, sizeof(ip.bytes));
        assert_true(cm_cidr_contains(&network, &ip));
        for (unsigned bit = bits; bit < 128; bit++) {
            ip.bytes[bit / 8] |= (uint8_t)(1U << (7 - bit % 8));
        }
        assert_true(cm_cidr_contains(&network, &ip));
        ip.bytes[(bits - 1) / 8] ^= (uint8_t)(1U << (7 - (bits - 1) % 8));
        assert_false(cm_cidr_contains(&network, &ip));
    }
}

static void an_unknown_address_is_in_no_network(void **state)
{
    (void)state;
    struct cm_cidr network;
    const struct cm_ip unknown = {.known = false};
    assert_true(cm_cidr_parse(CM_SPAN("::/0"), &network));
    assert_false(cm_cidr_contains(&network, &unknown));
    assert_true(cm_cidr_parse(CM_SPAN("0.0.0.0/0"), &network));
    assert_false(cm_cidr_contains(&network, &unknown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_told_from_other_text),
        cmocka_unit_test(networks_are_told_from_other_text),
        cmocka_unit_test(networks_contain_what_the_table_says),
        cmocka_unit_test(every_prefix_holds_both_its_ends_and_no_neighbour),
        cmocka_unit_test(an_unknown_address_is_in_no_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
