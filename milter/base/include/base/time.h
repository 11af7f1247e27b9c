/*
 * Instants and durations. An instant is milliseconds since 1970-01-01 UTC (cm_ms); a duration is plain
 * milliseconds and says so in its name (`_for_ms`). Nothing here reads a clock.
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/text.h"

typedef int64_t cm_ms;

/* The largest instant that the 48 bits of a record can hold. */
#define CM_MS_MAX ((cm_ms)0xffffffffffff)

/* "2026-11-23T18:00:00.123Z" and a NUL. */
#define CM_TIME_TEXT_BYTES 25
void cm_time_format(cm_ms at, char out[CM_TIME_TEXT_BYTES]);

/* Reads "YYYY-MM-DD", "YYYY-MM-DDTHH:MM[:SS[.mmm]]Z" (a blank may stand for T). A date alone is its first
 * millisecond. False on anything else, dates that do not exist, and years outside 1970-9999. */
bool cm_time_parse(struct cm_span s, cm_ms *out_at);

/* The last millisecond of the UTC day that lies `months` calendar months after the day of `at`. A day that the
 * target month lacks becomes its last day (31 Jan + 1 month = 28 or 29 Feb). LAW-7 */
cm_ms cm_time_add_months_end_of_day(cm_ms at, unsigned months);

/* The calendar month of `at` in UTC, counted from 1970-01, which is 0. */
int64_t cm_time_month(cm_ms at);

/* "YYYYMMDD" and a NUL, UTC. */
void cm_time_day(cm_ms at, char out[9]);

#endif
