/*
 * What the Redis server says of itself, beside the records: its setup, its functions, its clock, whether the facts of
 * the store are the same in all its partitions. Nothing here judges (service/doctor.h does), but for what an
 * acknowledgement needs (LAW-11), which `init` asks too.
 *
 * What the present user may not ask, or what a server does not know, is told as such and is no failure: a value is
 * told, absent or forbidden. Every function asks over a connection of its own. Thread-safe, as the store is.
 */
#ifndef STORE_SERVER_H
#define STORE_SERVER_H

#include "store/store.h"

#define CM_SERVER_TEXT_BYTES 96

enum cm_server_answer { CM_SERVER_UNASKED = 0, CM_SERVER_TOLD, CM_SERVER_ABSENT, CM_SERVER_FORBIDDEN };

/* From INFO, which every user of ours may call, then from CONFIG GET, which is the doctor's alone. */
enum cm_server_item {
    CM_SERVER_VERSION,
    CM_SERVER_RUN_ID,
    CM_SERVER_REPLICATION_ID,
    CM_SERVER_ROLE,
    CM_SERVER_REPLICAS,
    CM_SERVER_CLUSTER,
    CM_SERVER_AOF,
    CM_SERVER_AOF_WRITE,
    CM_SERVER_POLICY,
    CM_SERVER_MAXMEMORY,
    CM_SERVER_USED,
    CM_SERVER_RESIDENT,
    CM_SERVER_SYSTEM_MEMORY,
    CM_SERVER_INFO_COUNT,
    CM_SERVER_FSYNC = CM_SERVER_INFO_COUNT,
    CM_SERVER_NO_FSYNC_ON_REWRITE,
    CM_SERVER_SAVE,
    CM_SERVER_LISTPACK_ENTRIES,
    CM_SERVER_LISTPACK_VALUE,
    CM_SERVER_BUSY_THRESHOLD,
    CM_SERVER_MIN_REPLICAS,
    CM_SERVER_MAX_LAG,
    CM_SERVER_ITEM_COUNT,
};

struct cm_server_value {
    enum cm_server_answer answer;
    char text[CM_SERVER_TEXT_BYTES]; /* if told; cut where it is longer */
};

enum cm_server_library {
    CM_LIBRARY_UNSET = 0,
    CM_LIBRARY_SAME,  /* the code that this program carries */
    CM_LIBRARY_OTHER, /* of another version */
    CM_LIBRARY_NONE,
    CM_LIBRARY_FORBIDDEN, /* or a server without functions */
};

struct cm_server {
    cm_ms now; /* TIME, in the same pipeline as all here */
    struct cm_server_value items[CM_SERVER_ITEM_COUNT];
    struct cm_server_value user;
    enum cm_server_library library;
};

/* One pipeline over one connection, so that all of it is of one run of the server. `out` is filled on NONE only. */
enum cm_trouble cm_server_read(struct cm_store *store, struct cm_server *out, struct cm_err *err);

/* What of the facts is not as it must be in every partition. */
struct cm_server_partitions {
    unsigned wrong;          /* how many partitions do not hold the facts of our store, or another epoch */
    unsigned first_wrong;    /* if any */
    enum cm_trouble trouble; /* of that one; NONE if all are right */
    char text[200];          /* what is wrong there */
    unsigned unannounced;    /* partitions that know an older registry version than others */
};

/* Compares the facts in all partitions. */
enum cm_trouble cm_server_read_partitions(struct cm_store *store, struct cm_server_partitions *out, struct cm_err *err);
/* The newest ledger entry's time by the server's clock, over all partitions; 0: none. NO_PERMISSION is a likely answer
 * for others than the doctor. */
enum cm_trouble cm_server_read_ledger_end(struct cm_store *store, cm_ms *out_newest, struct cm_err *err);

enum cm_server_door {
    CM_DOOR_UNSET = 0,
    CM_DOOR_CLOSED,  /* without a password Redis answers nothing */
    CM_DOOR_OPEN,    /* without a password it answers what we ask */
    CM_DOOR_AJAR,    /* it lets in whoever comes, but not to this */
    CM_DOOR_UNKNOWN, /* err says why */
};
/* Whether somebody without a password gets in: tries it, over a connection of its own. */
enum cm_server_door cm_server_knock(struct cm_store *store, struct cm_err *err);

/* Writes the verdict on the run `run_id` for filters to see: good, or bad with `text` (at most 200 bytes, no line
 * ends). */
enum cm_trouble cm_server_write_verdict(struct cm_store *store, const char *run_id, bool good, cm_ms at,
                                        const char *text, struct cm_err *err);

/* What an acknowledgement needs of Redis. LAW-11 */
struct cm_server_need {
    enum cm_server_item item;
    const char *wanted;
    const char *setting; /* the lines of redis.conf that make it so */
};
const struct cm_server_need *cm_server_needs(size_t *out_count);

#endif
