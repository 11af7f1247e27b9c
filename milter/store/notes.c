#include "store/admin.h"
#include "store_internal.h"

/* The entry with this id of the registry's ledger: its event and document, borrowed from the reply. *out_found is false
 * if it does not stand there any more. */
static enum cm_trouble read_entry(const redisReply *reply, struct cm_event *out_event, struct cm_span *out_document,
                                  bool *out_found, struct cm_err *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > 1) {
        cm_err_set(err, "XRANGE of one note was answered with something else");
        return CM_TROUBLE_MALFORMED;
    }
    *out_found = reply->elements == 1;
    if (!*out_found) {
        return CM_TROUBLE_NONE;
    }
    const redisReply *entry = reply->element[0];
    const redisReply *fields = entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 ? entry->element[1] : NULL;
    if (fields == NULL || fields->type != REDIS_REPLY_ARRAY || fields->elements != 4 ||
        !cm_event_decode(cm_reply_text(fields->element[1]), out_event) || out_event->act != CM_ACT_NOTE) {
        cm_err_set(err, "the chain of notes leads to something else than a note");
        return CM_TROUBLE_MALFORMED;
    }
    *out_document = cm_reply_text(fields->element[3]);
    return CM_TROUBLE_NONE;
}

enum cm_trouble cm_store_notes(struct cm_store *store, bool (*each)(void *context, cm_ms at, struct cm_span document),
                               void *context, struct cm_err *err)
{
    char key[CM_KEY_BYTES];
    redisReply *reply = NULL;
    uint64_t id = 0;
    struct cm_span last[] = {CM_SPAN("HGET"), cm_store_key(key, 'n', 0, -1), CM_SPAN("note")};
    enum cm_trouble trouble = cm_store_command(store, last, 3, &reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    bool more = reply->type != REDIS_REPLY_NIL && cm_ledger_id_parse(cm_reply_text(reply), &id);
    cm_replies_free(&reply, 1);
    while (trouble == CM_TROUBLE_NONE && more && id != 0) {
        char text[CM_LEDGER_ID_TEXT_BYTES];
        struct cm_event event;
        struct cm_span document;
        cm_ledger_id_format(id, text);
        struct cm_span args[] = {CM_SPAN("XRANGE"), cm_store_key(key, 'l', 0, -1), cm_span_of(text), cm_span_of(text)};
        trouble = cm_store_command(store, args, 4, &reply, err);
        if (trouble != CM_TROUBLE_NONE) {
            break;
        }
        trouble = read_entry(reply, &event, &document, &more, err);
        if (trouble == CM_TROUBLE_NONE && more) {
            more = each(context, (cm_ms)(id >> 16), document) && event.previous < id; /* a chain only leads back */
            id = event.previous;
        }
        cm_replies_free(&reply, 1);
    }
    return trouble;
}
