#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS ((cm_ms)86400000)

struct date {
    int64_t year;
    unsigned month; /* 1-12 */
    unsigned day;   /* 1-31 */
};

/* Days since 1970-01-01 in the proleptic Gregorian calendar; the year starts in March so that the leap day is last. */
static int64_t days_from_date(struct date d)
{
    int64_t year = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = (int64_t)(d.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + (int64_t)d.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct date date_from_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    struct date d = {
        .year = year_of_era + era * 400,
        .month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9),
        .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
    };
    if (d.month <= 2) {
        d.year++;
    }
    return d;
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static int64_t day_number(cm_ms at)
{
    return at / DAY_MS - (at % DAY_MS < 0); /* rounded down, also before 1970 */
}

void cm_time_format(cm_ms at, char out[CM_TIME_TEXT_BYTES])
{
    int64_t days = day_number(at);
    struct date d = date_from_days(days);
    unsigned rest = (unsigned)(at - days * DAY_MS);
    char text[64];
    (void)snprintf(text, sizeof(text), "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", (int)d.year, d.month, d.day,
                   rest / 3600000, rest / 60000 % 60, rest / 1000 % 60,
                   rest % 1000);                              /* the longest year fits the buffer */
    (void)cm_copy(out, CM_TIME_TEXT_BYTES, cm_span_of(text)); /* a year beyond 9999 is cut */
}

/* Reads exactly `digits` digits at *at and moves on. */
static bool take_number(struct cm_span *s, size_t digits, unsigned *out)
{
    uint64_t value = 0;
    if (s->len < digits || !cm_parse_u64((struct cm_span){s->p, digits}, 9999, &value)) {
        return false;
    }
    *out = (unsigned)value;
    *s = (struct cm_span){s->p + digits, s->len - digits};
    return true;
}

static bool take_char(struct cm_span *s, const char *any_of)
{
    if (s->len == 0 || s->p[0] == '\0' || strchr(any_of, s->p[0]) == NULL) {
        return false;
    }
    *s = (struct cm_span){s->p + 1, s->len - 1};
    return true;
}

static bool parse_clock(struct cm_span s, unsigned *out_ms_of_day)
{
    unsigned hour = 0;
    unsigned minute = 0;
    unsigned second = 0;
    unsigned milli = 0;
    if (!take_char(&s, "T ") || !take_number(&s, 2, &hour) || !take_char(&s, ":") || !take_number(&s, 2, &minute)) {
        return false;
    }
    if (take_char(&s, ":")) {
        if (!take_number(&s, 2, &second)) {
            return false;
        }
        if (take_char(&s, ".") && !take_number(&s, 3, &milli)) {
            return false;
        }
    }
    if (!take_char(&s, "Z") || s.len != 0 || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *out_ms_of_day = ((hour * 60 + minute) * 60 + second) * 1000 + milli;
    return true;
}

bool cm_time_parse(struct cm_span s, cm_ms *out_at)
{
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;
    unsigned clock = 0;
    if (!take_number(&s, 4, &year) || !take_char(&s, "-") || !take_number(&s, 2, &month) || !take_char(&s, "-") ||
        !take_number(&s, 2, &day)) {
        return false;
    }
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    if (s.len > 0 && !parse_clock(s, &clock)) {
        return false;
    }
    *out_at = days_from_date((struct date){year, month, day}) * DAY_MS + clock;
    return true;
}

cm_ms cm_time_add_months_end_of_day(cm_ms at, unsigned months)
{
    struct date d = date_from_days(day_number(at));
    int64_t month_index = d.year * 12 + (d.month - 1) + months;
    d.year = month_index / 12;
    d.month = (unsigned)(month_index % 12) + 1;
    unsigned last = days_in_month(d.year, d.month);
    d.day = d.day < last ? d.day : last;
    return (days_from_date(d) + 1) * DAY_MS - 1;
}

int64_t cm_time_month(cm_ms at)
{
    struct date d = date_from_days(day_number(at));
    return (d.year - 1970) * 12 + d.month - 1;
}

void cm_time_day(cm_ms at, char out[9])
{
    struct date d = date_from_days(day_number(at));
    char text[48];
    (void)snprintf(text, sizeof(text), "%04d%02u%02u", (int)d.year, d.month, d.day); /* the longest year fits */
    (void)cm_copy(out, 9, cm_span_of(text));                                         /* a year beyond 9999 is cut */
}
