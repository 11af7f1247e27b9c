#include "service/mbox.h"

#include <string.h>

void cm_mbox_open(struct cm_mbox *mbox, FILE *file)
{
    mbox->file = file;
    mbox->line = 0;
    mbox->has_line = false;
    mbox->after_empty = true;
}

/* Reads one line into `text`; false at the end. */
static bool read_line(struct cm_mbox *mbox)
{
    mbox->after_empty = mbox->line == 0 || (mbox->has_line && mbox->text[0] == '\0');
    mbox->has_line = fgets(mbox->text, sizeof(mbox->text), mbox->file) != NULL;
    if (!mbox->has_line) {
        return false;
    }
    mbox->line++;
    size_t len = strlen(mbox->text);
    if (len > 0 && mbox->text[len - 1] != '\n') { /* too long: the rest goes */
        int c;
        while ((c = fgetc(mbox->file)) != EOF && c != '\n') {
        }
    }
    while (len > 0 && (mbox->text[len - 1] == '\n' || mbox->text[len - 1] == '\r')) {
        mbox->text[--len] = '\0';
    }
    return true;
}

/* Such a line holds a time of day; a sentence of a body that begins alike seldom does. */
static bool begins_message(const struct cm_mbox *mbox)
{
    if (!mbox->has_line || !mbox->after_empty || strncmp(mbox->text, "From ", 5) != 0) {
        return false;
    }
    for (const char *p = mbox->text + 5; *p != '\0'; p++) {
        if (*p == ':' && cm_ascii_is_digit(p[-1]) && cm_ascii_is_digit(p[1])) {
            return true;
        }
    }
    return false;
}

/* Adds a header, or a further line of the last one. False if there is no room. */
static bool take_header(struct cm_arena *arena, struct cm_mbox_message *message, struct cm_span line)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        if (message->header_count == 0) {
            return true; /* the fold of nothing */
        }
        struct cm_header *last = &message->headers[message->header_count - 1];
        if (last->value.len >= CM_LIMIT_HEADER_BYTES) {
            return false;
        }
        size_t size = last->value.len + line.len + 1;
        char *both = cm_arena_array(arena, size, 1);
        if (both == NULL) {
            return false;
        }
        memcpy(both, last->value.p, last->value.len);
        memcpy(both + last->value.len, line.p, line.len);
        last->value = cm_span_trim((struct cm_span){both, size - 1});
        return true;
    }
    struct cm_span name;
    if (!cm_span_next(&line, ':', &name) || line.p == NULL) {
        return true; /* no header */
    }
    struct cm_header header = {cm_arena_copy(arena, name), cm_arena_copy(arena, cm_span_trim(line))};
    if (header.name.p == NULL || header.value.p == NULL || message->header_count == CM_LIMIT_HEADERS_KEPT) {
        return false;
    }
    message->headers[message->header_count++] = header;
    return true;
}

bool cm_mbox_next(struct cm_mbox *mbox, struct cm_arena *arena, struct cm_mbox_message *out)
{
    while (!begins_message(mbox)) {
        if (!read_line(mbox)) {
            return false;
        }
    }
    struct cm_span rest = cm_span_of(mbox->text + 5);
    struct cm_span sender = {NULL, 0};
    (void)cm_span_next(&rest, ' ', &sender); /* an empty line has an empty sender */
    *out = (struct cm_mbox_message){.line = mbox->line, .sender = cm_arena_copy(arena, sender)};
    out->headers = cm_arena_array(arena, CM_LIMIT_HEADERS_KEPT, sizeof(*out->headers));
    out->is_cut = out->headers == NULL || out->sender.p == NULL;
    while (read_line(mbox) && mbox->text[0] != '\0') {
        out->is_cut = out->is_cut || !take_header(arena, out, cm_span_of(mbox->text));
    }
    return true;
}

/* The length of what stands in quotes or brackets from `at` on, with both ends. */
static size_t skip_enclosed(struct cm_span text, size_t at, char end)
{
    size_t i = at + 1;
    while (i < text.len && text.p[i] != end) {
        i += text.p[i] == '\\' && i + 1 < text.len ? 2 : 1;
    }
    return (i < text.len ? i + 1 : text.len) - at;
}

/* One entry of the list: *out_word what stands bare in it, *out_angle what stands in <> (p == NULL: nothing). Returns
 * how long it is, with the separator. */
static size_t scan_entry(struct cm_span text, struct cm_span *out_word, struct cm_span *out_angle)
{
    size_t from = 0;
    size_t word_end = 0;
    size_t i = 0;
    for (; i < text.len && text.p[i] != ',' && text.p[i] != ';'; i++) {
        size_t start = i;
        char c = text.p[i];
        if (c == ':' && out_angle->p == NULL) {
            from = i + 1; /* the name of a group */
            word_end = from;
            continue;
        }
        if (c == '"' || c == '(' || c == '<') {
            i += skip_enclosed(text, i, c == '(' ? ')' : c == '<' ? '>' : '"') - 1;
        }
        if (c == '<' && text.p[i] == '>') { /* one that does not end is no address */
            *out_angle = (struct cm_span){text.p + start + 1, i > start + 1 ? i - start - 1 : 0};
        }
        word_end = c == '(' ? word_end : i + 1;
    }
    *out_word = cm_span_trim((struct cm_span){text.p + from, word_end > from ? word_end - from : 0});
    return i < text.len ? i + 1 : i;
}

bool cm_address_list_next(struct cm_span *rest, struct cm_span *out_address)
{
    while (rest->len > 0) {
        struct cm_span word = {NULL, 0};
        struct cm_span angle = {NULL, 0};
        size_t used = scan_entry(*rest, &word, &angle);
        struct cm_span found = angle.p != NULL ? cm_span_trim(angle) : word;
        *rest = (struct cm_span){rest->p + used, rest->len - used};
        if (found.len > 0) {
            *out_address = found;
            return true;
        }
    }
    return false;
}
