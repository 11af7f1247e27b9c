/*
 * Servers for a keeper that never existed: several nodes, each with its own incarnation and content, a connection that
 * is cut and moved, answers that are lost, beats that arrive late. Time is the test's.
 */
#ifndef TESTS_KEEPER_WORLD_H
#define TESTS_KEEPER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/keeper.h"

#define NODES 3
#define ACTS 512
#define SERVER_TIME 1790000000000

/* What a server holds, and so what a backup of it holds. */
struct content {
    bool has[ACTS];
    uint64_t mark;
    bool has_beat;
    struct cm_kept_beat beat;
};

struct node {
    struct content content;
    struct cm_incarnation incarnation;
};

enum fault {
    FAULT_NONE,
    FAULT_AWAY,         /* nothing arrives */
    FAULT_ANSWER_LOST,  /* it arrives, and its answer does not */
    FAULT_REQUEST_LOST, /* it may have arrived, and did not */
    FAULT_NO_PERMISSION,
    FAULT_REFUSES, /* by the functions' rules */
    FAULT_FOREIGN,
    FAULT_OTHER_SEAL,
};

struct world {
    int64_t now_ms;
    struct node nodes[NODES];
    size_t target; /* the node that the keeper's connection reaches */
    enum fault fault;
    bool beat_hangs; /* the next beat arrives later, if its deadline lets it */
    bool has_late_beat;
    struct cm_beat late_beat;
    char late_name[CM_LIMIT_KEEPER_NAME_BYTES + 1];
    size_t late_target;
    unsigned incarnations;
    struct cm_keeper *keeper;
    char directory[64];
    struct cm_write last_write; /* what arrived last, if anything */
    unsigned writes;
    unsigned beats;
    unsigned looks;
    unsigned settled;
    enum cm_write_status settled_status;
};

static void world_new_incarnation(struct world *world, struct node *node)
{
    unsigned n = ++world->incarnations;
    (void)snprintf(node->incarnation.run_id, sizeof(node->incarnation.run_id), "%040x", n); /* fits */
    (void)snprintf(node->incarnation.replication_id, sizeof(node->incarnation.replication_id), "%040x", n + 1);
}

static int64_t world_clock(void *context)
{
    const struct world *world = context;
    return world->now_ms;
}

static cm_ms world_time(const struct world *world)
{
    return SERVER_TIME + world->now_ms;
}

static enum cm_trouble world_look(void *context, struct cm_beats *out, struct cm_err *err)
{
    struct world *world = context;
    const struct node *node = &world->nodes[world->target];
    world->looks++;
    if (world->fault == FAULT_AWAY || world->fault == FAULT_FOREIGN) {
        cm_err_set(err, "scripted");
        return world->fault == FAULT_AWAY ? CM_TROUBLE_UNREACHABLE : CM_TROUBLE_FOREIGN;
    }
    memset(out, 0, sizeof(*out));
    out->now = world_time(world);
    out->incarnation = node->incarnation;
    if (node->content.has_beat) {
        out->beats[out->count++] = node->content.beat;
    }
    return CM_TROUBLE_NONE;
}

/* What the function keeper_beat does. */
static enum cm_beat_status world_apply_beat(struct world *world, size_t target, const struct cm_beat *beat)
{
    struct content *content = &world->nodes[target].content;
    if (world_time(world) > beat->deadline) {
        return CM_BEAT_LATE;
    }
    if (content->mark < beat->mark) {
        return CM_BEAT_ROLLBACK;
    }
    if (content->has_beat && content->beat.state == CM_BEAT_RETIRED) {
        return CM_BEAT_KEEPER_RETIRED;
    }
    content->has_beat = true;
    content->beat = (struct cm_kept_beat){
        .state = beat->state, .incarnation = beat->incarnation, .at = world_time(world), .journal = beat->journal};
    (void)snprintf(content->beat.keeper, sizeof(content->beat.keeper), "%s", beat->keeper); /* fits */
    bool is_same = cm_incarnation_is_same(&beat->incarnation, &world->nodes[target].incarnation);
    return is_same ? CM_BEAT_DONE : CM_BEAT_OTHER_INCARNATION;
}

static void world_beat(void *context, const struct cm_beat *beat, struct cm_beat_result *out, struct cm_err *err)
{
    struct world *world = context;
    world->beats++;
    cm_err_set(err, "scripted");
    *out = (struct cm_beat_result){.status = CM_BEAT_TROUBLE, .trouble = CM_TROUBLE_TIMEOUT};
    if (world->fault == FAULT_FOREIGN) {
        *out = (struct cm_beat_result){.status = CM_BEAT_FOREIGN};
    } else if (world->beat_hangs) {
        world->beat_hangs = false;
        world->has_late_beat = true;
        world->late_beat = *beat;
        world->late_target = world->target;
        (void)snprintf(world->late_name, sizeof(world->late_name), "%s", beat->keeper); /* fits */
    } else if (world->fault != FAULT_AWAY && world->fault != FAULT_REQUEST_LOST) {
        enum cm_beat_status status = world_apply_beat(world, world->target, beat);
        if (world->fault != FAULT_ANSWER_LOST) {
            *out = (struct cm_beat_result){
                .status = status, .at = world_time(world), .incarnation = world->nodes[world->target].incarnation};
        }
    }
}

static inline void world_deliver(struct world *world)
{
    if (world->has_late_beat) {
        world->has_late_beat = false;
        world->late_beat.keeper = world->late_name;
        (void)world_apply_beat(world, world->late_target, &world->late_beat); /* nobody waits for the answer */
    }
}

static enum cm_trouble world_seal(void *context, const struct cm_write *write, struct cm_sealed_document *out,
                                  struct cm_err *err)
{
    const struct world *world = context;
    if (world->fault != FAULT_NONE) {
        cm_err_set(err, "scripted");
        return CM_TROUBLE_TIMEOUT;
    }
    memcpy(out->salt, "standing salt---", CM_SALT_BYTES);
    memcpy(out->sealed.bytes, write->document.p, write->document.len);
    out->sealed.len = write->document.len;
    out->was_standing = false;
    return CM_TROUBLE_NONE;
}

static bool world_seal_newly(void *context, const struct cm_write *write, struct cm_sealed_document *out,
                             struct cm_err *err)
{
    struct world calm = {.fault = FAULT_NONE};
    (void)context;
    (void)world_seal(&calm, write, out, err); /* without a fault it cannot fail */
    memcpy(out->salt, "a new salt------", CM_SALT_BYTES);
    return true;
}

static enum cm_trouble world_reseal(void *context, const struct cm_write *write, struct cm_sealed_document *document,
                                    struct cm_err *err)
{
    struct world *world = context;
    (void)write;
    (void)err;
    world->fault = FAULT_NONE;
    memcpy(document->salt, "standing salt---", CM_SALT_BYTES);
    return CM_TROUBLE_NONE;
}

static void world_write(void *context, const struct cm_write *write, const struct cm_sealed_document *document,
                        struct cm_write_result *out, struct cm_err *err)
{
    static const struct {
        enum cm_write_status status;
        enum cm_trouble trouble;
    } answers[] = {
        [FAULT_NONE] = {CM_WRITE_APPLIED, CM_TROUBLE_NONE},
        [FAULT_AWAY] = {CM_WRITE_NOT_DONE, CM_TROUBLE_UNREACHABLE},
        [FAULT_ANSWER_LOST] = {CM_WRITE_UNCERTAIN, CM_TROUBLE_TIMEOUT},
        [FAULT_REQUEST_LOST] = {CM_WRITE_UNCERTAIN, CM_TROUBLE_TIMEOUT},
        [FAULT_NO_PERMISSION] = {CM_WRITE_NOT_DONE, CM_TROUBLE_NO_PERMISSION},
        [FAULT_REFUSES] = {CM_WRITE_REFUSED, CM_TROUBLE_NONE},
        [FAULT_FOREIGN] = {CM_WRITE_NOT_DONE, CM_TROUBLE_FOREIGN},
        [FAULT_OTHER_SEAL] = {CM_WRITE_OTHER_SEAL, CM_TROUBLE_NONE},
    };
    struct world *world = context;
    struct node *node = &world->nodes[world->target];
    (void)document;
    cm_err_set(err, "scripted");
    *out = (struct cm_write_result){.status = answers[world->fault].status,
                                    .trouble = answers[world->fault].trouble,
                                    .partition = write->subject.partition};
    world->last_write = *write;
    world->writes++;
    if (world->fault == FAULT_NONE || world->fault == FAULT_ANSWER_LOST) {
        size_t act = (size_t)write->event_id[0] << 8 | write->event_id[1];
        if (world->fault == FAULT_NONE) {
            out->status = node->content.has[act] ? CM_WRITE_DUPLICATE : CM_WRITE_APPLIED;
            out->incarnation = node->incarnation;
            out->ledger = 1000 + act;
            out->event_at = write->record.event_at != 0 ? write->record.event_at : world_time(world);
        }
        node->content.has[act] = true;
        node->content.mark = write->mark > node->content.mark ? write->mark : node->content.mark;
    }
}

static void world_settled(void *context, uint64_t number, const struct cm_write_result *result,
                          const struct cm_err *err)
{
    struct world *world = context;
    (void)number;
    (void)err;
    world->settled++;
    world->settled_status = result->status;
}

static enum cm_journal_status world_open(struct world *world, struct cm_err *err)
{
    struct cm_keeper_options options = {
        .name = "mx1",
        .directory = world->directory,
        .file_bytes = 65536,
        .store = {world_look, world_beat, world_seal, world_seal_newly, world_reseal, world_write, world},
        .clock = world_clock,
        .clock_context = world,
        .settled = world_settled,
        .settled_context = world,
    };
    return cm_keeper_open(&options, &world->keeper, err);
}

static void world_start(struct world *world)
{
    struct cm_err err;
    memset(world, 0, sizeof(*world));
    world->now_ms = 1000000;
    (void)snprintf(world->directory, sizeof(world->directory), "/tmp/cm-keeper-XXXXXX"); /* fits */
    assert_non_null(mkdtemp(world->directory));
    for (size_t i = 0; i < NODES; i++) {
        world_new_incarnation(world, &world->nodes[i]);
    }
    assert_int_equal(world_open(world, &err), CM_JOURNAL_OK);
}

/* A crash of the keeper: what was not committed is gone, and a new process begins. */
static inline void world_restart(struct world *world)
{
    struct cm_err err = {{0}};
    cm_keeper_close(world->keeper);
    world->keeper = NULL;
    if (world_open(world, &err) != CM_JOURNAL_OK) {
        fail_msg("%s", err.text);
    }
}

static void world_stop(struct world *world)
{
    char command[128];
    cm_keeper_close(world->keeper);
    (void)snprintf(command, sizeof(command), "rm -r %s", world->directory); /* fits */
    assert_int_equal(system(command), 0);
}

/* Lets the keeper do what is due. Returns when something is due again. */
static int64_t world_work(struct world *world)
{
    struct cm_err err;
    int64_t due_ms = 0;
    assert_true(cm_keeper_work(world->keeper, 1000, 1000, &due_ms, &err));
    return due_ms;
}

/* Time passes, and the keeper does everything as it falls due. */
static inline void world_pass(struct world *world, int64_t for_ms)
{
    int64_t until_ms = world->now_ms + for_ms;
    while (world->now_ms < until_ms) {
        int64_t due_ms = world_work(world);
        int64_t next_ms = due_ms > world->now_ms ? due_ms : world->now_ms + 1;
        world->now_ms = next_ms < until_ms ? next_ms : until_ms;
    }
    (void)world_work(world); /* what is due just then */
}

static struct cm_write world_stop_of(size_t act)
{
    struct cm_write write = {
        .rank = CM_RANK_SUBJECT,
        .act = CM_ACT_WITHDRAW,
        .record = {.scope = 7, .kind = CM_KIND_STOP, .state = CM_STATE_WITHDRAWN},
        .event_id = {(uint8_t)(act >> 8), (uint8_t)act},
    };
    return write;
}

static inline struct cm_write world_grant_of(size_t act)
{
    struct cm_write write = world_stop_of(act);
    write.rank = CM_RANK_ADMIN;
    write.act = CM_ACT_GRANT;
    write.record.kind = CM_KIND_ASSERTED;
    write.record.state = CM_STATE_GIVEN;
    return write;
}

/* Takes and commits one act, and lets the keeper work. 0: it was not taken. */
static inline uint64_t world_take(struct world *world, const struct cm_write *write,
                                  struct cm_keeper_answer *out_answer)
{
    uint64_t number = 0;
    struct cm_err err;
    if (!cm_keeper_take(world->keeper, write, &number, out_answer)) {
        return 0;
    }
    assert_true(cm_keeper_commit(world->keeper, 1000, &err));
    (void)world_work(world); /* what is due after it, the test asks for itself */
    return number;
}

static inline const char *world_word(const struct world *world)
{
    static struct cm_keeper_report report;
    cm_keeper_describe(world->keeper, &report);
    return report.state;
}

/* Whether a filter that is connected to this node trusts its look-ups. */
static inline bool world_is_trusted(const struct world *world, const struct node *node)
{
    const struct content *content = &node->content;
    if (!content->has_beat || content->beat.state == CM_BEAT_RETIRED ||
        !cm_incarnation_is_same(&content->beat.incarnation, &node->incarnation)) {
        return false;
    }
    return content->beat.state == CM_BEAT_OFF || world_time(world) - content->beat.at < CM_BEAT_FRESH_MS;
}

#endif
