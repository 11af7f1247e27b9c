/* What the files of the keeper share. */
#ifndef SERVICE_KEEPER_INTERNAL_H
#define SERVICE_KEEPER_INTERNAL_H

#include "service/keeper.h"

/* What is known of one act in the journal. */
struct cm_keeper_row {
    uint64_t number;
    uint64_t ledger; /* 0: not known */
    cm_ms event_at;
    enum cm_write_status status; /* UNSET: it may or may not have been written */
    bool forbids;
    bool is_old;   /* taken by an earlier process, which may have answered for it */
    bool is_tried; /* it may have been written */
};

/* All of them, by rising number. */
struct cm_keeper_index {
    struct cm_keeper_row *rows;
    size_t count;
    size_t size;
};

/* False without memory. */
bool cm_keeper_index_add(struct cm_keeper_index *index, const struct cm_keeper_row *row);
/* NULL if there is none of this number. */
struct cm_keeper_row *cm_keeper_index_find(const struct cm_keeper_index *index, uint64_t number);
/* Place of the first one with at least this number; `count` if there is none. */
size_t cm_keeper_index_from(const struct cm_keeper_index *index, uint64_t number);
void cm_keeper_index_drop_before(struct cm_keeper_index *index, uint64_t number);

/* Contents of acts that are about to be written, so that the journal is not read for each of them. */
struct cm_keeper_queue {
    struct cm_keeper_item {
        uint64_t number;
        size_t len;
        char *content;
    } * items;
    size_t from; /* those before it are used up */
    size_t count;
    size_t size;
    size_t bytes;
    bool ends_before_tail; /* later acts are in the journal only */
};

void cm_keeper_queue_push(struct cm_keeper_queue *queue, uint64_t number, struct cm_span content);
void cm_keeper_queue_clear(struct cm_keeper_queue *queue);
/* The content of this act, reading on in the journal where needed; borrowed until the next call. p == NULL and err. */
struct cm_span cm_keeper_queue_get(struct cm_keeper_queue *queue, struct cm_journal *journal, uint64_t number,
                                   struct cm_err *err);

struct cm_keeper {
    struct cm_keeper_options options;
    struct cm_journal *journal;
    struct cm_keeper_state state;
    struct cm_keeper_index index;
    struct cm_keeper_queue queue;
    uint64_t late_through;   /* acts up to this number waited for the store: the journal dates them, not the store */
    uint64_t told_through;   /* whoever asked for acts up to this number may have had an answer */
    uint16_t mark_partition; /* the last one written, and the number of its act: the mark that the store must hold */
    uint64_t mark;
    bool noted_off; /* what the journal's notes say */
    bool noted_lost;
    bool has_uncommitted;
    bool has_beaten;
    const char *logged_word;
    uint64_t alarmed; /* the act that was complained about last */
};

int64_t cm_keeper_now(const struct cm_keeper *keeper);
bool cm_keeper_add_outcome(struct cm_keeper *keeper, const struct cm_keeper_outcome *outcome, struct cm_err *err);
/* Adds the notes that the state has become due for; `err` as cm_keeper_commit. */
bool cm_keeper_add_notes(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err);
void cm_keeper_log_state(struct cm_keeper *keeper);
/* Writes the act `number`, or the next one after it that needs it. */
bool cm_keeper_write_next(struct cm_keeper *keeper, uint64_t number, int64_t now_s, struct cm_err *err);

#endif
