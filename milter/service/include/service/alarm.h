/*
 * Canaries that were written to: each is logged and counted at once, and the officer gets a mail, but not for each, by
 * a thread of its own. What comes between two mails is told by the next.
 *
 * Nothing of it holds an address: a canary is the line of its file.
 */
#ifndef SERVICE_ALARM_H
#define SERVICE_ALARM_H

#include <stdint.h>

#include "base/text.h"
#include "settings/settings.h"

/* What is known of it. Texts may be cut; printable ASCII only. */
struct cm_alarm_report {
    unsigned line; /* of the file of canaries */
    char stream[64];
    char session[24];
    char queue_id[32]; /* empty: none yet */
    char client[48];
    char auth[64];
    char daemon[64];
};

struct cm_alarm;

/* How often it mails at most, and when it tries again what could not be handed over. NULL without memory. */
struct cm_alarm *cm_alarm_new(unsigned every_s, unsigned again_s);
/* Begins to mail; apart from new, because a daemon forks in between. */
bool cm_alarm_start(struct cm_alarm *alarm, struct cm_err *err);
/* Stops without waiting for the mail server, and frees. NULL is harmless. */
void cm_alarm_free(struct cm_alarm *alarm);

/* `settings` say where the mail goes and are copied. Thread-safe; NULL is harmless. */
void cm_alarm_raise(struct cm_alarm *alarm, const struct cm_settings *settings, const struct cm_alarm_report *report);

struct cm_alarm_counts {
    uint64_t raised;
    uint64_t mailed;
    uint64_t failed; /* tries to mail */
};
/* Since the start. Thread-safe. */
struct cm_alarm_counts cm_alarm_counts(const struct cm_alarm *alarm);

#endif
