#include "service/declaration.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/write.h"

#define ROW_BYTES 512

struct cm_declaration {
    char *document;
    struct cm_note note;
    bool written;
};

static const char *mode_name(enum cm_mode mode)
{
    return mode == CM_MODE_OBSERVE ? "observe" : "enforce";
}

/* One line for a stream: its name and all that decides what may pass it. */
static void describe_stream(const struct cm_stream *stream, struct cm_text *out)
{
    static const char *const classes[] = {[CM_CLASS_UNSET] = "unset",
                                          [CM_CLASS_MARKETING] = "marketing",
                                          [CM_CLASS_SERVICE] = "service",
                                          [CM_CLASS_CONSENT_REQUEST] = "consent_request"};
    static const char *const origins[] = {[CM_PURPOSE_UNSET] = "-",
                                          [CM_PURPOSE_FIXED] = "-",
                                          [CM_PURPOSE_MAIL_FROM] = "mail_from",
                                          [CM_PURPOSE_HEADER] = "header",
                                          [CM_PURPOSE_NONE] = "-"};
    static const struct {
        unsigned bit;
        const char *name;
    } bases[] = {{CM_BASIS_EXPRESS, " express"},
                 {CM_BASIS_IMPLIED, " implied"},
                 {CM_BASIS_SOFT_OPTIN, " soft_optin"},
                 {CM_BASIS_ASSERTED, " asserted"}};
    cm_text_add_format(out, "%s %s %s %s/%s", stream->name, classes[stream->class], mode_name(stream->mode),
                       stream->sender, stream->purpose != NULL ? stream->purpose : origins[stream->purpose_from]);
    for (size_t i = 0; stream->class == CM_CLASS_MARKETING && i < sizeof(bases) / sizeof(bases[0]); i++) {
        if ((stream->accept_basis & bases[i].bit) != 0) {
            cm_text_add_str(out, bases[i].name);
        }
    }
}

static json_t *list_streams(const struct cm_stream_table *table)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < table->count; i++) {
        char storage[ROW_BYTES];
        struct cm_text row = cm_text_over(storage, sizeof(storage)); /* a longer row is cut; the SHA-256 tells all */
        describe_stream(&table->streams[i], &row);
        ok = json_array_append_new(list, json_stringn(storage, row.len)) == 0;
    }
    if (!ok) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* The document; without the rows if they would make it too long. */
static char *make_document(const char *program, const struct cm_settings *settings)
{
    char host[256] = "";
    char actor[320];
    struct cm_text text = cm_text_over(actor, sizeof(actor));
    (void)gethostname(host, sizeof(host) - 1); /* a host without a name stays without one here */
    cm_text_add_format(&text, "%s on %s", program, host);
    json_t *document = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o}", "note", "configuration", "actor", actor, "file",
                                 settings->file, "sha256", settings->sha256, "mode", mode_name(settings->streams.mode),
                                 "unmatched_bulk_refused", settings->streams.refuse_unmatched_bulk, "streams",
                                 list_streams(&settings->streams));
    char *dumped = json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (dumped != NULL && cm_span_of(dumped).len > CM_LIMIT_NOTE_BYTES) {
        free(dumped);
        (void)json_object_set_new(document, "streams", json_integer((json_int_t)settings->streams.count)); /* or rows */
        dumped = json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII);
    }
    json_decref(document);
    return dumped;
}

/* Takes the document over; NULL: it could not be made. */
static struct cm_declaration *declare(char *document, struct cm_err *err)
{
    struct cm_declaration *declaration = calloc(1, sizeof(*declaration));
    if (declaration == NULL || document == NULL) {
        cm_err_set(err, "out of memory, or a name that is not UTF-8 in the configuration");
        free(document);
        free(declaration);
        return NULL;
    }
    declaration->document = document;
    if (cm_note_make(cm_span_of(declaration->document), &declaration->note, err) != CM_TROUBLE_NONE) {
        cm_declaration_free(declaration);
        return NULL;
    }
    return declaration;
}

struct cm_declaration *cm_declaration_new(const char *program, const struct cm_settings *settings, struct cm_err *err)
{
    return declare(make_document(program, settings), err);
}

struct cm_declaration *cm_declaration_of_note(json_t *document, struct cm_err *err)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(document);
    return declare(text, err);
}

void cm_declaration_free(struct cm_declaration *declaration)
{
    if (declaration != NULL) {
        free(declaration->document);
        free(declaration);
    }
}

enum cm_trouble cm_declaration_write(struct cm_declaration *declaration, struct cm_store *store, struct cm_err *err)
{
    struct cm_write_result result;
    if (declaration->written) {
        return CM_TROUBLE_NONE;
    }
    cm_store_note(store, CM_RANK_SYSTEM, &declaration->note, &result, err);
    declaration->written = result.status == CM_WRITE_APPLIED || result.status == CM_WRITE_DUPLICATE;
    if (declaration->written) {
        return CM_TROUBLE_NONE;
    }
    return result.trouble != CM_TROUBLE_NONE && result.trouble != CM_TROUBLE_UNSET ? result.trouble
                                                                                   : CM_TROUBLE_ERROR_REPLY;
}
