/* Tables for base/time, and its calendar against the C library's. */
#include "base/time.h"

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND ((cm_ms)1000)
#define DAY ((cm_ms)86400000)

static cm_ms at_of(const char *text)
{
    cm_ms at = -1;
    if (!cm_time_parse(cm_span_of(text), &at)) {
        fail_msg("%s", text);
    }
    return at;
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        cm_ms at;
        const char *text;
        const char *day;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z", "19700101"},
        {1, "1970-01-01T00:00:00.001Z", "19700101"},
        {999, "1970-01-01T00:00:00.999Z", "19700101"},
        {1000, "1970-01-01T00:00:01.000Z", "19700101"},
        {DAY - 1, "1970-01-01T23:59:59.999Z", "19700101"},
        {DAY, "1970-01-02T00:00:00.000Z", "19700102"},
        {-1, "1969-12-31T23:59:59.999Z", "19691231"},
        {-DAY, "1969-12-31T00:00:00.000Z", "19691231"},
        {-DAY - 1, "1969-12-30T23:59:59.999Z", "19691230"},
        {951782399999, "2000-02-28T23:59:59.999Z", "20000228"},
        {951782400000, "2000-02-29T00:00:00.000Z", "20000229"},
        {951868800000, "2000-03-01T00:00:00.000Z", "20000301"},
        {1795456800123, "2026-11-23T18:00:00.123Z", "20261123"},
        {4107542399999, "2100-02-28T23:59:59.999Z", "21000228"},
        {4107542400000, "2100-03-01T00:00:00.000Z", "21000301"},
        {253402300799999, "9999-12-31T23:59:59.999Z", "99991231"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[CM_TIME_TEXT_BYTES];
        char day[9];
        cm_time_format(rows[i].at, text);
        assert_string_equal(text, rows[i].text);
        cm_time_day(rows[i].at, day);
        assert_string_equal(day, rows[i].day);
    }
}

/* Beyond the year 9999 the text is cut, but it stays within its storage and ends in a NUL. */
static void test_format_stays_in_bounds(void **state)
{
    (void)state;
    static const cm_ms far[] = {CM_MS_MAX, 253402300800000, INT64_MAX, -CM_MS_MAX, -253402300800000};
    for (size_t i = 0; i < COUNT(far); i++) {
        char text[CM_TIME_TEXT_BYTES + 1];
        char day[10];
        memset(text, '#', sizeof(text));
        memset(day, '#', sizeof(day));
        cm_time_format(far[i], text);
        cm_time_day(far[i], day);
        assert_int_equal(strlen(text), CM_TIME_TEXT_BYTES - 1);
        assert_int_equal(text[CM_TIME_TEXT_BYTES], '#');
        assert_true(strlen(day) <= 8);
        assert_int_equal(day[9], '#');
    }
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        cm_ms at;
    } rows[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00Z", 0},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000Z", 0},
        {"1970-01-01 00:00Z", 0},
        {"1970-01-01 00:01:02.003Z", 62003},
        {"1970-01-01T23:59:59.999Z", DAY - 1},
        {"1970-01-02", DAY},
        {"2000-02-29", 951782400000},
        {"2026-11-23T18:00:00.123Z", 1795456800123},
        {"2026-11-23T18:00:00Z", 1795456800000},
        {"2026-11-23T18:00Z", 1795456800000},
        {"2100-03-01", 4107542400000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(at_of(rows[i].text), rows[i].at);
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const struct cm_span rows[] = {
        {NULL, 0},
        CM_SPAN(""),
        CM_SPAN("1969-12-31"),
        CM_SPAN("0000-01-01"),
        CM_SPAN("10000-01-01"),
        CM_SPAN("2026-00-01"),
        CM_SPAN("2026-13-01"),
        CM_SPAN("2026-01-00"),
        CM_SPAN("2026-01-32"),
        CM_SPAN("2026-04-31"),
        CM_SPAN("2026-02-29"),
        CM_SPAN("2024-02-30"),
        CM_SPAN("2100-02-29"),
        CM_SPAN("2000-02-30"),
        CM_SPAN("2026-1-01"),
        CM_SPAN("2026-01-1"),
        CM_SPAN("20260101"),
        CM_SPAN("2026/01/01"),
        CM_SPAN("2026-01-01T"),
        CM_SPAN("2026-01-01Z"),
        CM_SPAN("2026-01-01 "),
        CM_SPAN(" 2026-01-01"),
        CM_SPAN("2026-01-01\0"),
        CM_SPAN("2026-01-01\0T00:00Z"),
        CM_SPAN("2026-01-01T00Z"),
        CM_SPAN("2026-01-01T0:00Z"),
        CM_SPAN("2026-01-01T24:00Z"),
        CM_SPAN("2026-01-01T23:60Z"),
        CM_SPAN("2026-01-01T23:59:60Z"),
        CM_SPAN("2026-01-01T00:00"),
        CM_SPAN("2026-01-01T00:00:00"),
        CM_SPAN("2026-01-01T00:00:00.000"),
        CM_SPAN("2026-01-01T00:00:00.Z"),
        CM_SPAN("2026-01-01T00:00:00.0Z"),
        CM_SPAN("2026-01-01T00:00:00.00Z"),
        CM_SPAN("2026-01-01T00:00:00.0000Z"),
        CM_SPAN("2026-01-01T00:00:00,000Z"),
        CM_SPAN("2026-01-01T00:00.000Z"),
        CM_SPAN("2026-01-01T00:00:Z"),
        CM_SPAN("2026-01-01T00:00z"),
        CM_SPAN("2026-01-01t00:00Z"),
        CM_SPAN("2026-01-01T00:00+00:00"),
        CM_SPAN("2026-01-01T00:00ZZ"),
        CM_SPAN("2026-01-01T00:00Z\0"),
        CM_SPAN("+026-01-01"),
        CM_SPAN("2026-+1-01"),
        CM_SPAN("2026-01- 1"),
        CM_SPAN("2026-01-01T-1:00Z"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cm_ms at = 4711;
        if (cm_time_parse(rows[i], &at)) {
            fail_msg("%.*s", (int)rows[i].len, rows[i].p);
        }
        assert_int_equal(at, 4711);
    }
}

/* Every prefix of a full text is either one of the shorter forms or refused, and never read beyond its end. */
static void test_parse_of_every_prefix(void **state)
{
    (void)state;
    static const char full[] = "2026-11-23T18:00:00.123Z";
    for (size_t len = 0; len < sizeof(full); len++) {
        cm_ms at = 0;
        bool good = cm_time_parse((struct cm_span){full, len}, &at);
        assert_int_equal(good, len == 10 || len == 24);
    }
}

/* Each day of four centuries and more, at its first and last millisecond, against gmtime_r. */
static void test_calendar_agrees_with_the_library(void **state)
{
    (void)state;
    for (cm_ms day = -800; day < 150000; day++) {
        time_t seconds = (time_t)(day * 86400);
        struct tm tm;
        char want[16];
        char got[9];
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(strftime(want, sizeof(want), "%Y%m%d", &tm), 8);
        cm_time_day(day * DAY, got);
        assert_string_equal(got, want);
        cm_time_day(day * DAY + DAY - 1, got);
        assert_string_equal(got, want);
        assert_int_equal(cm_time_month(day * DAY), (tm.tm_year - 70) * 12 + tm.tm_mon);
        assert_int_equal(cm_time_month(day * DAY + DAY - 1), (tm.tm_year - 70) * 12 + tm.tm_mon);
        if (day >= 0) {
            char text[CM_TIME_TEXT_BYTES];
            cm_time_format(day * DAY + day % DAY, text);
            assert_int_equal(at_of(text), day * DAY + day % DAY);
        }
    }
}

/* LAW-7: windows are calendar months in UTC and run to the end of the day. */
static void test_add_months(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        unsigned months;
        const char *day; /* the last millisecond of it */
    } rows[] = {
        {"2026-11-23T18:00Z", 0, "2026-11-23"},
        {"2026-11-23", 1, "2026-12-23"},
        {"2026-11-23T00:00:00.000Z", 6, "2027-05-23"},
        {"2026-11-23T23:59:59.999Z", 6, "2027-05-23"},
        {"2026-11-24T00:00:00.000Z", 6, "2027-05-24"},
        {"2026-11-23T18:00Z", 24, "2028-11-23"},
        {"2026-12-31", 1, "2027-01-31"},
        {"2026-12-31", 2, "2027-02-28"},
        {"2027-01-28", 1, "2027-02-28"},
        {"2027-01-29", 1, "2027-02-28"},
        {"2027-01-31", 1, "2027-02-28"},
        {"2028-01-28", 1, "2028-02-28"},
        {"2028-01-29", 1, "2028-02-29"},
        {"2028-01-30", 1, "2028-02-29"},
        {"2028-01-31", 1, "2028-02-29"},
        {"2028-02-29", 12, "2029-02-28"},
        {"2028-02-29", 24, "2030-02-28"},
        {"2028-02-29", 48, "2032-02-29"},
        {"2096-02-29", 48, "2100-02-28"}, /* no leap year */
        {"1996-02-29", 48, "2000-02-29"}, /* a leap year */
        {"2026-08-31", 6, "2027-02-28"},
        {"2026-08-31", 1, "2026-09-30"},
        {"2026-08-31", 2, "2026-10-31"},
        {"2026-11-30", 1, "2026-12-30"},
        {"2026-11-30", 13, "2027-12-30"},
        {"1970-01-01", 1200, "2070-01-01"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cm_ms end = cm_time_add_months_end_of_day(at_of(rows[i].from), rows[i].months);
        if (end != at_of(rows[i].day) + DAY - 1) {
            char text[CM_TIME_TEXT_BYTES];
            cm_time_format(end, text);
            fail_msg("%s and %u months: %s", rows[i].from, rows[i].months, text);
        }
    }
}

/* More months never end earlier, and a later start never ends earlier. */
static void test_add_months_is_monotonic(void **state)
{
    (void)state;
    for (cm_ms at = at_of("2027-12-01"); at < at_of("2028-04-01"); at += DAY / 2) {
        for (unsigned months = 0; months < 30; months++) {
            cm_ms end = cm_time_add_months_end_of_day(at, months);
            assert_true(end >= at);
            assert_true(end < cm_time_add_months_end_of_day(at, months + 1));
            assert_true(end <= cm_time_add_months_end_of_day(at + DAY / 2, months));
            assert_int_equal((end + 1) % DAY, 0);
        }
    }
}

static void test_largest_instant_of_a_record(void **state)
{
    (void)state;
    assert_true(CM_MS_MAX == INT64_C(281474976710655));
    assert_true(at_of("9999-12-31T23:59:59.999Z") < CM_MS_MAX);
    assert_true(cm_time_add_months_end_of_day(CM_MS_MAX, 24) > CM_MS_MAX); /* no overflow, but no record holds it */
    assert_true(at_of("1970-01-01T00:00:01Z") == SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_stays_in_bounds),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_of_every_prefix),
        cmocka_unit_test(test_calendar_agrees_with_the_library),
        cmocka_unit_test(test_add_months),
        cmocka_unit_test(test_add_months_is_monotonic),
        cmocka_unit_test(test_largest_instant_of_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
