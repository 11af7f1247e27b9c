/*
 * The enforcing service: one look-up, then the law, for any number of subjects and questions about them. It does not
 * know through which door a question came: the filter and `consentctl check` ask here, and so cannot answer
 * differently.
 *
 * Thread-safe, as the store is.
 */
#ifndef SERVICE_ENFORCE_H
#define SERVICE_ENFORCE_H

#include "store/store.h"

struct cm_enforce_question {
    const char *purpose; /* "sender/purpose"; of service mail it may be the sender alone */
    enum cm_stream_class class;
    unsigned accept_basis;
    unsigned service_stops; /* bits 1 << enum cm_reason: what stops service mail; other classes heed every stop */
    bool purpose_is_fixed;  /* by configuration: not being registered is then our fault (defer), else the message's
                               (refuse) */
};

struct cm_enforce_context {
    cm_ms now; /* of the server; 0 if it could not answer */
    uint16_t statement_floor;
    cm_ms at;            /* in: decide as of then instead of now; 0: now */
    int64_t deadline_ms; /* in: of CLOCK_MONOTONIC; no batch begins after it; 0: none */
};

/*
 * Fills out[subject * question_count + question] for all of them; `subject_count` may exceed one batch. Never leaves
 * one undecided: trouble becomes DEFER, and so does what the deadline left unasked (TIMEOUT). `context`, if not NULL,
 * carries `at` and `deadline_ms` in and the rest (of the last question) out. Returns CM_TROUBLE_NONE or the trouble
 * that all deferred answers share, with err filled.
 */
enum cm_trouble cm_enforce(struct cm_store *store, const struct cm_subject *subjects, size_t subject_count,
                           const struct cm_enforce_question *questions, size_t question_count, struct cm_arena *arena,
                           struct cm_decision *out, struct cm_enforce_context *context, struct cm_err *err);

/* The same for records that the caller has, as of `now`: the law alone. *out_floor is written if the purpose is known.
 */
struct cm_decision cm_enforce_records(const struct cm_registry *registry, const struct cm_subject_records *records,
                                      const struct cm_enforce_question *question, cm_ms now, uint16_t *out_floor);

#endif
