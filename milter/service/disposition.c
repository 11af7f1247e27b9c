/* What becomes of a message some of whose recipients may have it and others may not, and of its status header. */
#include <stdio.h>
#include <string.h>

#include "ops/log.h"
#include "session_internal.h"

#define FORMS 3 /* a recipient may need to be named so many times to be removed */

/* What is done about recipients who are refused. */
enum remedy { REJECT, REMOVE, QUARANTINE };

struct tally {
    size_t accepted;
    size_t refused;
    size_t deferred;
    bool readable; /* all who are refused have an address that we could read */
};

/* Of those whom nothing lets pass the verdict stands; all others count as accepted. */
static struct tally count(const struct cm_session *session, const struct cm_prospect *prospects)
{
    struct tally tally = {.readable = true};
    for (size_t i = 0; i < session->open_count; i++) {
        if (cm_prospect_lets_pass(&prospects[i])) {
            tally.accepted++;
        } else if (prospects[i].decision.verdict == CM_VERDICT_REFUSE) {
            tally.refused++;
            tally.readable = tally.readable && session->open[i].status == CM_RECIPIENT_OK;
        } else {
            tally.deferred++;
        }
    }
    return tally;
}

/* Nobody is removed whom we cannot be sure to remove: who cannot be read, or who came by the sendmail command, of whom
 * Postfix shows another text than the one it compares. And none left to get the message means that it is refused, or it
 * would vanish without a word. */
static enum remedy remedy_for(struct cm_session *session, const struct cm_conclusion *conclusion,
                              const struct tally *tally)
{
    size_t stream = conclusion->prospects[0].stream;
    if (conclusion->is_whole || stream == CM_NO_STREAM || tally->deferred > 0 || tally->refused == 0 ||
        tally->accepted + session->passed == 0) {
        return REJECT;
    }
    enum cm_mixed mixed = session->table->streams[stream].mixed;
    unsigned needed = mixed == CM_MIXED_REMOVE ? CM_CAN_REMOVE : CM_CAN_QUARANTINE;
    if (mixed != CM_MIXED_REMOVE && mixed != CM_MIXED_QUARANTINE) {
        return REJECT;
    }
    if ((conclusion->abilities & needed) == 0) {
        if (!atomic_exchange(&session->filter->told_of_mixed, true)) {
            cm_log(CM_LOG_WARNING, "the mail server does not let us %s; mixed = \"reject\" is done instead",
                   mixed == CM_MIXED_REMOVE ? "remove recipients" : "quarantine messages");
        }
        return REJECT;
    }
    if (mixed == CM_MIXED_QUARANTINE) {
        return QUARANTINE;
    }
    return tally->readable && !session->local ? REMOVE : REJECT;
}

static bool is_there(const char *const *forms, size_t count, const char *form)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(forms[i], form) == 0) {
            return true;
        }
    }
    return false;
}

static const char *in_brackets(struct cm_arena *arena, struct cm_span text)
{
    char *copy = cm_arena_alloc(arena, text.len + 3);
    if (copy != NULL) {
        copy[0] = '<';
        memcpy(copy + 1, text.p, text.len);
        memcpy(copy + 1 + text.len, ">", 2);
    }
    return copy;
}

/*
 * Adds the forms under which the MTA may hold a recipient: as the client gave it, with a source route cut, and the
 * address read out of it with its case kept. Postfix compares exactly and says nothing if it finds none; each form is
 * the only one that it finds for some recipients. False without memory.
 */
static bool add_forms(struct cm_arena *arena, struct cm_span argument, const char **forms, size_t *count)
{
    char written[CM_ADDRESS_MAX + 1];
    struct cm_span cut;
    size_t first = *count;
    const char *made[FORMS] = {cm_arena_copy(arena, argument).p};
    size_t made_count = 1;
    if (cm_address_cut_route(argument, &cut)) {
        made[made_count++] = in_brackets(arena, cut);
    }
    if (cm_address_as_written(argument, written)) {
        made[made_count++] = in_brackets(arena, cm_span_of(written));
    }
    for (size_t i = 0; i < made_count; i++) {
        if (made[i] == NULL) {
            return false;
        }
        if (made[i][0] != '\0' && !is_there(forms + first, *count - first, made[i])) {
            forms[(*count)++] = made[i];
        }
    }
    return true;
}

/* False without memory. */
static bool make_removals(struct cm_session *session, const struct cm_prospect *prospects, size_t refused,
                          struct cm_disposition *disposition)
{
    const char **forms = cm_arena_array(&session->scratch, refused * FORMS, sizeof(*forms));
    size_t count = 0;
    bool done = forms != NULL;
    for (size_t i = 0; done && i < session->open_count; i++) {
        if (!cm_prospect_lets_pass(&prospects[i])) {
            done = add_forms(&session->scratch, session->open[i].argument, forms, &count);
        }
    }
    if (done) {
        disposition->removed = forms;
        disposition->removed_count = count;
    }
    return done;
}

/* The reply of a message that does not go, as it grows with each recipient who stands in the way. */
struct answer {
    struct cm_reply_facts facts;
    const struct cm_prospect *first;
    char id[CM_DECISION_ID_CHARS + 1];
};

static void name_in(struct answer *answer, const struct cm_prospect *prospect, struct cm_span argument, const char *id)
{
    struct cm_reply_facts *facts = &answer->facts;
    if (answer->first == NULL) {
        answer->first = prospect;
        (void)cm_copy(answer->id, sizeof(answer->id), cm_span_of(id)); /* same size */
    }
    if (facts->recipient_count < CM_REPLY_NAMED_RECIPIENTS) {
        facts->recipients[facts->recipient_count++] = argument;
    } else {
        facts->more++;
    }
}

static void make_reply(const struct cm_session *session, struct answer *answer, struct cm_reply *out)
{
    answer->facts.url = session->settings->url;
    answer->facts.decision_id = answer->id;
    answer->facts.decision = &answer->first->decision;
    answer->facts.purpose = answer->first->purpose;
    answer->facts.tell_state = cm_session_is_own_sender(session, answer->first->stream);
    cm_reply_make(&answer->facts, out);
}

/* Books all. Those who stand in the way are named in `answer`; if the message does not go, those permitted do not get
 * it either. */
static void book_all(struct cm_session *session, const struct cm_conclusion *conclusion, enum remedy remedy,
                     enum cm_verdict verdict, struct answer *answer)
{
    for (size_t i = 0; i < session->open_count; i++) {
        char id[CM_DECISION_ID_CHARS + 1];
        struct cm_prospect *prospect = &conclusion->prospects[i];
        bool passes = cm_prospect_lets_pass(prospect);
        bool stands_in_the_way = !passes && prospect->decision.verdict == verdict;
        const char *action = remedy == REMOVE && !passes ? "removed" : NULL;
        if (remedy == QUARANTINE) {
            action = "quarantined";
        } else if (remedy == REJECT && verdict != CM_VERDICT_ACCEPT && !prospect->observed &&
                   prospect->decision.verdict == CM_VERDICT_ACCEPT) {
            prospect->decision = cm_decision_of(verdict, CM_REASON_OTHER_RECIPIENT);
        }
        cm_book(session,
                &(struct cm_booking){.prospect = prospect,
                                     .recipient = &session->open[i],
                                     .queue_id = conclusion->queue_id,
                                     .action = action},
                id);
        cm_session_note(session, prospect, id, 1);
        if (stands_in_the_way) {
            name_in(answer, prospect, session->open[i].argument, id);
        }
    }
}

void cm_conclude_open(struct cm_session *session, const struct cm_conclusion *conclusion,
                      struct cm_disposition *disposition)
{
    struct answer answer = {.first = NULL};
    for (size_t i = 0; i < session->open_count; i++) {
        struct cm_prospect *prospect = &conclusion->prospects[i];
        if (prospect->decision.verdict == CM_VERDICT_UNDECIDED) { /* LAW-1: it is not ACCEPT, hence don't know */
            prospect->decision = cm_decision_trouble(CM_TROUBLE_INTERNAL);
        }
        cm_session_count_permitted(session, prospect);
    }
    struct tally tally = count(session, conclusion->prospects);
    enum remedy remedy = remedy_for(session, conclusion, &tally);
    if (remedy == REMOVE && !make_removals(session, conclusion->prospects, tally.refused, disposition)) {
        cm_conclude_limit(session, &session->open[0], conclusion->queue_id, &disposition->reply);
        return;
    }
    enum cm_verdict verdict = CM_VERDICT_ACCEPT; /* one don't-know defers, else one refusal refuses. DESIGN 4 */
    if (tally.deferred > 0) {
        verdict = CM_VERDICT_DEFER;
    } else if (tally.refused > 0) {
        verdict = CM_VERDICT_REFUSE;
    }
    book_all(session, conclusion, remedy, verdict, &answer);
    if (remedy == QUARANTINE) {
        (void)snprintf(session->quarantine, sizeof(session->quarantine),
                       "consent: %zu of %zu recipients may not have this message (id %s)", tally.refused,
                       tally.accepted + tally.refused, answer.id); /* fits */
        disposition->quarantine = session->quarantine;
    } else if (remedy == REJECT && answer.first != NULL) {
        make_reply(session, &answer, &disposition->reply);
    }
}

void cm_dispose_headers(struct cm_session *session, struct cm_disposition *disposition)
{
    const struct cm_would_be *would_be = &session->would_be;
    bool is_ours = session->claim.claimed || session->candidate_count > 0 || would_be->recipients > 0;
    disposition->forged = is_ours ? session->forged : 0;
    disposition->observed = cm_session_only_observes(session);
    if (would_be->recipients > 0) {
        (void)snprintf(session->status, sizeof(session->status),
                       "observe; verdict=%s; reason=%s; id=%s; recipients=%zu", cm_verdict_name(would_be->verdict),
                       cm_reason_name(would_be->reason), would_be->id, would_be->recipients); /* fits */
        disposition->status = session->status;
    }
}
