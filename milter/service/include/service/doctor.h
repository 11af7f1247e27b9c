/*
 * The doctor: is this Redis fit to be the consent store, and what is to be done if not. The judgement is pure and
 * table-driven; cm_doctor_run gathers the facts for it and leaves the verdict on this run of the server where filters
 * look: in m:{p000}, field `doctor`, "RUNID good|bad MS TEXT".
 *
 * The verdict is about what an acknowledgement needs (LAW-11; `cm_server_needs`) and nothing else, since it stands
 * until the server restarts or the doctor comes again: a keeper that was down, or a clock that was wrong, must not
 * defer mail after it was put right. Filters see those themselves.
 *
 * Thread-safe, as the store is.
 */
#ifndef SERVICE_DOCTOR_H
#define SERVICE_DOCTOR_H

#include "settings/settings.h"
#include "store/beat.h"
#include "store/server.h"

/* In the order of weight: the whole is as good as its worst part. */
enum cm_health {
    CM_HEALTH_UNSET = 0,
    CM_HEALTH_GOOD,
    CM_HEALTH_WARN,
    CM_HEALTH_UNKNOWN, /* we may not ask, or the server does not say */
    CM_HEALTH_BAD,
};

/* "good", "warn", "unknown", "bad". */
const char *cm_health_name(enum cm_health health);

struct cm_finding {
    const char *name; /* a fixed word, the same whatever the outcome */
    enum cm_health health;
    char found[240];
    const char *advice; /* what to do; "" if nothing */
};

/* Room for all the rows and CM_BEATS_MAX keepers; if there is more, a last finding says so. */
#define CM_FINDINGS_MAX 128

struct cm_findings {
    struct cm_finding rows[CM_FINDINGS_MAX];
    size_t count;
};

enum cm_health cm_findings_worst(const struct cm_findings *findings);

/* All that is judged. */
struct cm_doctor_facts {
    struct cm_server server;
    cm_ms asked_at; /* our clock around server.now */
    cm_ms answered_at;
    enum cm_server_door door;
    bool partitions_known;
    struct cm_server_partitions partitions;
    bool ledger_known;
    cm_ms newest_ledger;
    bool beats_known;
    struct cm_beats beats;
    const char *const *keepers; /* those that the filters are configured to wait for */
    size_t keeper_count;
};

/* Pure. Adds to `findings`. */
void cm_doctor_judge(const struct cm_doctor_facts *facts, struct cm_findings *findings);
/* The same for the keepers alone. */
void cm_doctor_judge_keepers(const struct cm_doctor_facts *facts, struct cm_findings *findings);
/* BAD, GOOD, or UNKNOWN if that is not known, for this run of the server. `out_text` names what is bad. */
enum cm_health cm_doctor_verdict(const struct cm_server *server, char out_text[201]);

void cm_findings_add(struct cm_findings *findings, const char *name, enum cm_health health, const char *advice,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * Asks, judges, and writes the verdict if it is known. NONE, or why the server could not be asked, with err; findings
 * are whole in both cases, and empty in the second. A replica is an answer: it is bad.
 */
enum cm_trouble cm_doctor_run(struct cm_store *store, const struct cm_settings *settings, struct cm_findings *findings,
                              struct cm_err *err);

#endif
