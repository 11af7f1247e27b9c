/* One connection to the keeper's socket. */
#ifndef CONSENT_KEEPER_CLIENT_H
#define CONSENT_KEEPER_CLIENT_H

#include "callers.h"
#include "service/keeper.h"

#define CM_CLIENT_PENDING 32        /* requests under way; more are not read yet */
#define CM_CLIENT_OUT_BYTES 16384   /* answers not yet taken; more are not made yet */
#define CM_CLIENT_ANSWER_BYTES 4096 /* one answer fits */
#define CM_CLIENT_IDLE_MS 60000     /* without a whole request, or without taking what is sent */

/* One request under way. */
struct cm_pending {
    uint64_t number; /* of its act in the journal; 0: `answer` is ready */
    bool is_settled; /* `answer` tells what became of the act */
    bool forbids;
    int64_t asked_ms;
    unsigned wait_ms;
    struct cm_keeper_answer answer;
    bool is_report; /* `report` is the answer */
    struct cm_keeper_report report;
    char what[160]; /* for the log; empty: nothing */
};

struct cm_client {
    int fd;
    struct cm_caller caller;
    int64_t active_ms;
    bool has_ended;  /* says nothing more */
    bool is_failing; /* to be closed once its answers are sent */
    size_t in_len;
    size_t out_len;
    size_t pending_from; /* a ring */
    size_t pending_count;
    struct cm_pending pending[CM_CLIENT_PENDING];
    char in[CM_KEEPER_LINE_MAX];
    char out[CM_CLIENT_OUT_BYTES];
};

struct cm_client *cm_client_new(int fd, const struct cm_caller *caller, int64_t now_ms);
void cm_client_free(struct cm_client *client); /* closes; NULL is harmless */

/* Whether more requests may be read from it. */
bool cm_client_may_read(const struct cm_client *client);
/* Whether a line is there that cm_client_read would take without anything more to come. */
bool cm_client_has_line(const struct cm_client *client);
/* Reads what has come and hands whole lines to the keeper. False: it is gone. */
bool cm_client_read(struct cm_client *client, struct cm_keeper *keeper, struct cm_keeper_request *scratch,
                    int64_t now_ms);
/* NULL if no request of it is about this act. */
struct cm_pending *cm_client_find(struct cm_client *client, uint64_t number);
/* Makes the answers that are due, with `is_last` all, and sends what it takes. False: it is to be closed. */
bool cm_client_answer(struct cm_client *client, const struct cm_keeper *keeper, int64_t now_ms, bool is_last);

#endif
