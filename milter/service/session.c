#include "service/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ops/log.h"
#include "session_internal.h"

#define FIRST_ROOM 16 /* of the lists that grow with a message */

struct cm_filter *cm_filter_new(const struct cm_filter_parts *parts)
{
    struct cm_filter *filter = calloc(1, sizeof(*filter));
    if (filter != NULL) {
        filter->parts = *parts;
        cm_recorder_keep(parts->recorder, parts->generation->settings->explain_days);
        filter->generation = cm_generation_ref(parts->generation);
        filter->number = parts->generation->number;
        (void)pthread_mutex_init(&filter->mutex, NULL); /* cannot fail with these attributes */
    }
    return filter;
}

void cm_filter_free(struct cm_filter *filter)
{
    if (filter != NULL) {
        cm_generation_unref(filter->generation);
        cm_overrides_free(&filter->overrides);
        (void)pthread_mutex_destroy(&filter->mutex);
        free(filter);
    }
}

struct cm_generation *cm_filter_generation(struct cm_filter *filter)
{
    (void)pthread_mutex_lock(&filter->mutex);
    struct cm_generation *generation = cm_generation_ref(filter->generation);
    (void)pthread_mutex_unlock(&filter->mutex);
    return generation;
}

unsigned cm_filter_generation_number(const struct cm_filter *filter)
{
    return filter->number;
}

void cm_filter_install(struct cm_filter *filter, struct cm_generation *generation)
{
    (void)pthread_mutex_lock(&filter->mutex);
    struct cm_generation *old = filter->generation;
    filter->generation = cm_generation_ref(generation);
    filter->number = generation->number;
    struct cm_view *view = filter->overrides.view;
    filter->overrides.view = NULL; /* of the old generation; the next session makes one */
    (void)pthread_mutex_unlock(&filter->mutex);
    cm_view_unref(view);
    cm_generation_unref(old);
    cm_recorder_keep(filter->parts.recorder, generation->settings->explain_days);
}

struct cm_session *cm_session_new(struct cm_filter *filter, struct cm_generation *generation)
{
    struct cm_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return NULL;
    }
    session->generation = cm_generation_ref(generation);
    session->settings = generation->settings;
    session->table = &session->settings->streams;
    session->filter = filter;
    session->hasher = cm_keys_hasher(filter->parts.keys, &session->peppers);
    session->candidates = calloc(session->settings->streams.count + 1, sizeof(*session->candidates));
    cm_arena_init(&session->arena, CM_LIMIT_MESSAGE_BYTES);
    cm_arena_init(&session->scratch, CM_LIMIT_SCRATCH_BYTES);
    if (session->hasher == NULL || session->candidates == NULL) {
        cm_session_free(session);
        return NULL;
    }
    (void)snprintf(session->id, sizeof(session->id), "%08x-%llx", filter->parts.daemon,
                   (unsigned long long)atomic_fetch_add(&filter->sessions, 1)); /* a counter of 14 hex digits lasts */
    return session;
}

void cm_session_free(struct cm_session *session)
{
    if (session == NULL) {
        return;
    }
    cm_arena_done(&session->arena);
    cm_arena_done(&session->scratch);
    cm_hasher_free(session->hasher);
    free(session->candidates);
    cm_view_unref(session->view);
    cm_generation_unref(session->generation);
    free(session);
}

void cm_session_connect(struct cm_session *session, struct cm_span daemon, struct cm_span client,
                        struct cm_span own_domain)
{
    session->facts_are_whole = cm_copy(session->daemon, sizeof(session->daemon), daemon);
    (void)cm_copy(session->client, sizeof(session->client),
                  client.len > 0 ? client : CM_SPAN("unknown"));                 /* for the log */
    (void)cm_copy(session->own_domain, sizeof(session->own_domain), own_domain); /* cut: no domain, hence no subject */
    if (!cm_ip_parse(client, &session->client_ip)) {
        session->client_ip = (struct cm_ip){0};
    }
}

void cm_session_reset(struct cm_session *session)
{
    cm_session_forget(session);
    cm_arena_reset(&session->scratch);
}

void cm_session_forget(struct cm_session *session)
{
    cm_arena_reset(&session->arena);
    session->in_message = false;
    session->local = false;
    session->auth[0] = '\0';
    session->mail_from[0] = '\0';
    session->claim = (struct cm_claim){0};
    session->candidate_count = 0;
    session->concerns_subjects = false;
    session->open = NULL;
    session->open_count = 0;
    session->open_room = 0;
    session->headers = NULL;
    session->header_count = 0;
    session->header_room = 0;
    session->header_bytes = 0;
    session->is_over = false;
    session->passed = 0;
    session->permitted = 0;
    session->forged = 0;
    session->would_be = (struct cm_would_be){0};
}

void cm_session_mail(struct cm_session *session, struct cm_span argument, struct cm_span auth, bool local)
{
    struct cm_address address;
    cm_session_reset(session);
    session->knows_modes = cm_session_look(session);
    const struct cm_stream_table *table = session->table;
    session->in_message = true;
    session->local = local;
    session->auth_is_whole = cm_copy(session->auth, sizeof(session->auth), auth);
    enum cm_address_status status = cm_address_parse(argument, &address);
    if (status == CM_ADDRESS_OK || status == CM_ADDRESS_NO_DOMAIN) {
        (void)cm_copy(session->mail_from, sizeof(session->mail_from), cm_span_of(address.exact)); /* same size */
    }
    struct cm_session_facts facts = {
        .auth = cm_span_of(session->auth),
        .daemon = cm_span_of(session->daemon),
        .client = session->client_ip,
        .local = local,
    };
    session->candidate_count = cm_stream_candidates(table, &facts, cm_span_of(session->mail_from), session->candidates,
                                                    &session->claim);
    for (size_t i = 0; i < session->candidate_count; i++) {
        if (table->streams[session->candidates[i]].class != CM_CLASS_SERVICE || table->service_stops != 0) {
            session->concerns_subjects = true;
        }
    }
}

/* The hasher of the peppers in use; false without memory: the old one is kept. */
static bool renew_hasher(struct cm_session *session)
{
    uint32_t peppers = 0;
    struct cm_hasher *fresh = cm_keys_hasher(session->filter->parts.keys, &peppers);
    if (fresh == NULL) {
        return false;
    }
    cm_hasher_free(session->hasher);
    session->hasher = fresh;
    session->peppers = peppers;
    return true;
}

/* Reads who the recipient is. Only for mail that may still concern a subject; all other mail is not ours to judge. */
static struct cm_recipient read_recipient(struct cm_session *session, struct cm_span argument, struct cm_span rcpt_addr)
{
    struct cm_address address;
    struct cm_recipient recipient = {.argument = argument, .rcpt_addr = rcpt_addr};
    if (!session->concerns_subjects) {
        return recipient;
    }
    recipient.status = cm_address_recipient(argument, rcpt_addr, cm_span_of(session->own_domain), &address, NULL);
    if (recipient.status == CM_RECIPIENT_OK) {
        recipient.canary = cm_canaries_find(&session->settings->canaries, &address);
    }
    if (recipient.status == CM_RECIPIENT_OK && !cm_subject_of(session->hasher, &address, &recipient.subject)) {
        recipient.status = CM_RECIPIENT_UNSET; /* libcrypto failed: don't know */
    }
    return recipient;
}

bool cm_session_rehash(struct cm_session *session, struct cm_recipient *recipients, size_t count)
{
    if (session->peppers == cm_keys_in_use(session->filter->parts.keys) || !renew_hasher(session)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        recipients[i] = read_recipient(session, recipients[i].argument, recipients[i].rcpt_addr);
    }
    return true;
}

/*
 * The prospects of all candidates and, where it may come to that, of belonging to none. Returns their number, 0 without
 * memory. Of several, one that lets pass or is not known yet decides that the message's end must be awaited; then the
 * rest is not asked for, and that one stands last.
 */
static size_t collect_prospects(struct cm_session *session, struct cm_recipient *recipient, struct cm_prospect **out)
{
    size_t count = session->candidate_count + (session->claim.may_match_none ? 1 : 0);
    struct cm_prospect *prospects = cm_arena_array(&session->scratch, count + 1, sizeof(*prospects));
    if (prospects == NULL) {
        return 0;
    }
    *out = prospects;
    for (size_t i = 0; i < count; i++) {
        if (i < session->candidate_count) {
            cm_prospects_of_stream(session, session->candidates[i], false, recipient, 1, &prospects[i]);
        } else {
            prospects[i] = cm_prospect_of_none(session, false);
        }
        if (count > 1 && (!prospects[i].known || cm_prospect_lets_pass(&prospects[i]))) {
            return i + 1 > 1 ? i + 1 : 2; /* never 1: a single prospect would be taken for the only one */
        }
    }
    return count;
}

/*
 * What can be said at RCPT: the prospect to act on now, or NULL to wait for the end of the message. DESIGN 4
 */
static struct cm_prospect *early_prospect(const struct cm_session *session, struct cm_prospect *prospects, size_t count)
{
    struct cm_prospect *defer = NULL;
    if (session->local) {
        return NULL; /* a refused RCPT of the sendmail command would wedge the message in maildrop */
    }
    if (count == 1 && prospects[0].known && cm_prospect_lets_pass(&prospects[0])) {
        return &prospects[0];
    }
    for (size_t i = 0; i < count; i++) {
        if (!prospects[i].known || cm_prospect_lets_pass(&prospects[i])) {
            return NULL;
        }
        if (defer == NULL && prospects[i].decision.verdict == CM_VERDICT_DEFER) {
            defer = &prospects[i];
        }
    }
    /* Nothing would accept. If all refuse, the first says why; if some do not know, neither do we. LAW-2 */
    return defer != NULL ? defer : &prospects[0];
}

static void reply_to_one(const struct cm_session *session, const struct cm_prospect *prospect, struct cm_span argument,
                         const char *id, struct cm_reply *out)
{
    struct cm_reply_facts facts = {
        .decision = &prospect->decision,
        .recipients = {argument},
        .recipient_count = 1,
        .purpose = prospect->purpose,
        .decision_id = id,
        .url = session->settings->url,
        .tell_state = cm_session_is_own_sender(session, prospect->stream),
    };
    cm_reply_make(&facts, out);
}

bool cm_make_room(struct cm_arena *arena, void **items, size_t item_size, size_t count, size_t *room, size_t max)
{
    if (count >= max) {
        return false;
    }
    if (count < *room) {
        return true;
    }
    size_t more = *room == 0 ? FIRST_ROOM : *room * 2;
    void *copy = cm_arena_array(arena, more, item_size);
    if (copy == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(copy, *items, count * item_size);
    }
    *items = copy;
    *room = more;
    return true;
}

/* Keeps a recipient for the end of the message. False at a ceiling. */
static bool keep_open(struct cm_session *session, const struct cm_recipient *recipient)
{
    void *items = session->open;
    struct cm_span copy = cm_arena_copy(&session->arena, recipient->argument);
    bool has_addr = recipient->rcpt_addr.p != NULL;
    struct cm_span rcpt_addr = cm_arena_copy(&session->arena, recipient->rcpt_addr);
    if (copy.p == NULL || rcpt_addr.p == NULL ||
        !cm_make_room(&session->arena, &items, sizeof(*session->open), session->open_count, &session->open_room,
                      session->settings->limits.recipients)) {
        bool is_memory = session->open_count < session->settings->limits.recipients;
        cm_session_reach(session, is_memory ? CM_CEILING_MEMORY : CM_CEILING_RECIPIENTS);
        return false;
    }
    session->open = items;
    session->open[session->open_count] = *recipient;
    session->open[session->open_count].argument = copy;
    session->open[session->open_count].rcpt_addr = has_addr ? rcpt_addr : recipient->rcpt_addr;
    session->open_count++;
    return true;
}

void cm_session_reach(struct cm_session *session, enum cm_ceiling ceiling)
{
    cm_tally_count_ceiling(session->filter->parts.tally, ceiling);
}

bool cm_session_only_observes(const struct cm_session *session)
{
    for (size_t i = 0; i < session->candidate_count; i++) {
        if (session->table->streams[session->candidates[i]].mode != CM_MODE_OBSERVE) {
            return false;
        }
    }
    return !session->claim.may_match_none || cm_prospect_of_none(session, false).observed;
}

struct cm_prospect cm_prospect_of_limit(const struct cm_session *session)
{
    return (struct cm_prospect){
        .stream = CM_NO_STREAM,
        .known = true,
        .observed = cm_session_only_observes(session),
        .decision = cm_decision_of(CM_VERDICT_DEFER, CM_REASON_LIMIT),
    };
}

/* A ceiling of ours was reached: this recipient, or the message, is deferred. */
void cm_conclude_limit(struct cm_session *session, const struct cm_recipient *recipient, struct cm_span queue_id,
                       struct cm_reply *out)
{
    char id[CM_DECISION_ID_CHARS + 1];
    struct cm_prospect prospect = cm_prospect_of_limit(session);
    cm_book(session, &(struct cm_booking){.prospect = &prospect, .recipient = recipient, .queue_id = queue_id}, id);
    cm_session_note(session, &prospect, id, 1);
    if (!prospect.observed) {
        reply_to_one(session, &prospect, recipient->argument, id, out);
    }
}

bool cm_session_can_judge(const struct cm_session *session)
{
    return session->in_message && session->knows_modes && session->facts_are_whole && session->auth_is_whole;
}

void cm_conclude_blind(struct cm_session *session, struct cm_span argument, struct cm_span queue_id,
                       struct cm_reply *out)
{
    char id[CM_DECISION_ID_CHARS + 1];
    struct cm_prospect prospect = {
        .stream = CM_NO_STREAM,
        .known = true,
        .observed = session->table->mode == CM_MODE_OBSERVE,
        .decision = cm_decision_trouble(CM_TROUBLE_INTERNAL),
    };
    struct cm_recipient recipient = {.argument = argument};
    cm_book(session, &(struct cm_booking){.prospect = &prospect, .recipient = &recipient, .queue_id = queue_id}, id);
    cm_session_note(session, &prospect, id, 1);
    if (!prospect.observed) {
        reply_to_one(session, &prospect, argument, id, out);
    }
}

/* One more recipient than its message may have, of those permitted. The count is of the message, so that it holds
 * also for those who wait for its end. */
void cm_session_count_permitted(struct cm_session *session, struct cm_prospect *prospect)
{
    unsigned max = prospect->stream != CM_NO_STREAM ? session->table->streams[prospect->stream].max_recipients : 0;
    if (prospect->decision.verdict == CM_VERDICT_ACCEPT && max > 0 && ++session->permitted > max) {
        prospect->decision = cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_TOO_MANY_RECIPIENTS);
    }
}

void cm_session_note(struct cm_session *session, const struct cm_prospect *prospect, const char *id, size_t recipients)
{
    struct cm_would_be *would_be = &session->would_be;
    if (!prospect->observed || prospect->decision.verdict == CM_VERDICT_ACCEPT) {
        return;
    }
    if (would_be->recipients == 0) {
        would_be->verdict = prospect->decision.verdict;
        would_be->reason = prospect->decision.reason;
        (void)cm_copy(would_be->id, sizeof(would_be->id), cm_span_of(id)); /* same size */
    }
    would_be->recipients += recipients;
}

/* What is decided at RCPT: booked, and answered if it stands in the way. */
static void conclude_early(struct cm_session *session, struct cm_prospect *prospect,
                           const struct cm_recipient *recipient, struct cm_span queue_id, struct cm_reply *out)
{
    char id[CM_DECISION_ID_CHARS + 1];
    cm_session_count_permitted(session, prospect);
    cm_book(session, &(struct cm_booking){.prospect = prospect, .recipient = recipient, .queue_id = queue_id}, id);
    cm_session_note(session, prospect, id, 1);
    if (cm_prospect_lets_pass(prospect)) {
        session->passed++;
    } else {
        reply_to_one(session, prospect, recipient->argument, id, out);
    }
}

void cm_session_rcpt(struct cm_session *session, struct cm_span argument, struct cm_span rcpt_addr,
                     struct cm_span queue_id, struct cm_reply *out)
{
    struct cm_prospect *prospects = NULL;
    *out = (struct cm_reply){0};
    cm_arena_reset(&session->scratch);
    if (!cm_session_can_judge(session)) {
        if (!session->local) { /* such mail hears it at its end */
            cm_conclude_blind(session, argument, queue_id, out);
        }
        return;
    }
    if (!session->claim.claimed && session->candidate_count == 0) {
        session->passed++;
        return; /* not ours; bulk marks, if they matter, are looked for at the end */
    }
    if (session->peppers != cm_keys_in_use(session->filter->parts.keys)) {
        (void)renew_hasher(session); /* the old one serves as long as the store needs no other */
    }
    session->deadline_ms = cm_clock_monotonic_ms() + CM_BUDGET_RCPT_MS;
    struct cm_recipient recipient = read_recipient(session, argument, rcpt_addr);
    if (recipient.canary != 0) {
        cm_session_raise_alarm(session, recipient.canary, queue_id);
    }
    size_t count = collect_prospects(session, &recipient, &prospects);
    struct cm_prospect *prospect = count > 0 ? early_prospect(session, prospects, count) : NULL;
    if (prospect != NULL) {
        conclude_early(session, prospect, &recipient, queue_id, out);
    } else if (count > 0 && keep_open(session, &recipient)) {
        return;
    } else if (session->local) {
        session->is_over = true; /* said at the end of the message */
    } else {
        cm_conclude_limit(session, &recipient, queue_id, out);
    }
}
