/*
 * A keeper: takes acts into its journal, writes them into the store, and beats (LAW-12). It joins the journal
 * (journal/journal.h), what may be said (keeper_state.h) and the store, which is a table of functions so that tests may
 * play it. Sockets and callers are the program's.
 *
 * The way of an act: cm_keeper_take seals it and adds it to the journal; one cm_keeper_commit makes all taken acts
 * durable; cm_keeper_work writes them. Only after the commit may anything be said about an act. LAW-11
 *
 * Acts that forbid are taken always and kept until they are in the store. All others are taken only while the store
 * answers, and given up if it does not take them at once: whoever asked may ask again.
 *
 * A keeper belongs to one thread. It logs its changes of state and what somebody must act on.
 */
#ifndef SERVICE_KEEPER_H
#define SERVICE_KEEPER_H

#include "service/keeper_state.h"
#include "service/keeper_wire.h"

struct cm_keeper;

/* The store as a keeper uses it; each as the function of store/beat.h and store/write.h whose name it has. */
struct cm_keeper_store {
    enum cm_trouble (*beats)(void *context, struct cm_beats *out, struct cm_err *err);
    void (*beat)(void *context, const struct cm_beat *beat, struct cm_beat_result *out, struct cm_err *err);
    enum cm_trouble (*seal)(void *context, const struct cm_write *write, struct cm_sealed_document *out,
                            struct cm_err *err);
    bool (*seal_newly)(void *context, const struct cm_write *write, struct cm_sealed_document *out, struct cm_err *err);
    enum cm_trouble (*reseal)(void *context, const struct cm_write *write, struct cm_sealed_document *document,
                              struct cm_err *err);
    void (*write)(void *context, const struct cm_write *write, const struct cm_sealed_document *document,
                  struct cm_write_result *out, struct cm_err *err);
    void *context;
};

/* The real one, over one connection (a pool of 1), so that one server at a time is followed. What `store` points to is
 * borrowed, and may be another object from one call to the next. */
struct cm_keeper_store cm_keeper_store_of(struct cm_store **store);

struct cm_keeper_options {
    const char *name;              /* borrowed */
    const char *directory;         /* of the journal */
    size_t file_bytes;             /* of one file of it */
    struct cm_keeper_store store;  /* what its context points to is borrowed */
    int64_t (*clock)(void *clock); /* ms of CLOCK_BOOTTIME */
    void *clock_context;
    /* An act that was taken by this process is in the store, or never will be; err is empty if it is. NULL: nobody
     * asks. */
    void (*settled)(void *context, uint64_t number, const struct cm_write_result *result, const struct cm_err *err);
    void *settled_context;
};

/* Locks and reads the journal. NULL and err. LOCKED tells that another keeper has it. */
enum cm_journal_status cm_keeper_open(const struct cm_keeper_options *options, struct cm_keeper **out,
                                      struct cm_err *err);
void cm_keeper_close(struct cm_keeper *keeper); /* NULL is harmless */

/* True: the act is in the journal as *out_number, but not durable yet. False: it was not taken, and *out_answer says
 * why. `write` needs rank, event id and all that the act needs; its date may be 0 for the present. */
bool cm_keeper_take(struct cm_keeper *keeper, const struct cm_write *write, uint64_t *out_number,
                    struct cm_keeper_answer *out_answer);
/* Makes all taken acts durable. False and err: the journal is in doubt, nothing may be said about them, and the keeper
 * must be closed. `now_s` is the wall clock. */
bool cm_keeper_commit(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err);

/*
 * Does what is due, for at most about `budget_ms`; one call of the store may take longer. *out_due_ms is the instant at
 * which there is something to do again. False and err: as cm_keeper_commit.
 */
bool cm_keeper_work(struct cm_keeper *keeper, int64_t now_s, int64_t budget_ms, int64_t *out_due_ms,
                    struct cm_err *err);

/* LAW-12: whether no filter permits any more what the stop `number` forbids. */
bool cm_keeper_act_is_in_effect(const struct cm_keeper *keeper, uint64_t number);
/* The store did not take what it was last told, or another one answers. */
bool cm_keeper_is_cut_off(const struct cm_keeper *keeper);
/* All acts are in the store. */
bool cm_keeper_has_written_all(const struct cm_keeper *keeper);
/* Writes the whole journal once more. */
void cm_keeper_write_all_again(struct cm_keeper *keeper);

/* Signs off if all acts are in the store and filters may know: true, and they need no beat of this keeper any more
 * while the store lives. False and err: they defer as soon as its beat is stale. */
bool cm_keeper_sign_off(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err);

/* Removes files of the journal whose acts are all older than `before_s` (wall clock) and in the store. */
bool cm_keeper_expire(struct cm_keeper *keeper, int64_t before_s, struct cm_err *err);

void cm_keeper_describe(const struct cm_keeper *keeper, struct cm_keeper_report *out);
/* Whether it beats, and for which incarnation. */
bool cm_keeper_is_beating(const struct cm_keeper *keeper, struct cm_incarnation *out_incarnation);

#endif
