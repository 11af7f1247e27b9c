#include "core/canaries.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct cm_canary *first = a;
    const struct cm_canary *second = b;
    return strcmp(first->family, second->family);
}

/* The address of one line, copied to the arena; NULL and the problem. */
static const char *read_family(struct cm_span text, struct cm_arena *arena, const char **out_problem)
{
    struct cm_address address;
    enum cm_address_status status = cm_address_parse(text, &address);
    if (status == CM_ADDRESS_NO_DOMAIN) {
        *out_problem = "is an address without a domain; write it whole, as in seed@acme.example";
        return NULL;
    }
    if (status != CM_ADDRESS_OK) {
        *out_problem = "is no mail address; write one a line, and comments behind a '#' at its beginning";
        return NULL;
    }
    const char *family = cm_arena_copy(arena, cm_span_of(address.family)).p;
    if (family == NULL) {
        *out_problem = "cannot be kept: out of memory";
    }
    return family;
}

static size_t count_lines(struct cm_span text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.len; i++) {
        count += text.p[i] == '\n' ? 1 : 0;
    }
    return count;
}

bool cm_canaries_parse(struct cm_span text, struct cm_arena *arena, struct cm_canaries *out, unsigned *out_line,
                       const char **out_problem)
{
    size_t lines = count_lines(text);
    size_t count = 0;
    struct cm_span line;
    struct cm_canary *items = cm_arena_array(arena, lines < CM_CANARIES_MAX ? lines : CM_CANARIES_MAX, sizeof(*items));
    for (unsigned number = 1; cm_span_next(&text, '\n', &line); number++) {
        line = cm_span_trim(line);
        if (line.len == 0 || line.p[0] == '#') {
            continue;
        }
        *out_line = number;
        *out_problem = items == NULL ? "cannot be kept: out of memory" : "is one too many; 10000 canaries are enough";
        const char *family = items != NULL && count < CM_CANARIES_MAX ? read_family(line, arena, out_problem) : NULL;
        if (family == NULL) {
            return false;
        }
        items[count++] = (struct cm_canary){family, number};
    }
    if (count > 0) {
        qsort(items, count, sizeof(*items), compare);
    }
    *out = (struct cm_canaries){items, count};
    return true;
}

unsigned cm_canaries_find(const struct cm_canaries *canaries, const struct cm_address *address)
{
    const struct cm_canary wanted = {.family = address->family};
    const struct cm_canary *found = canaries->count == 0 ? NULL
                                                         : bsearch(&wanted, canaries->items, canaries->count,
                                                                   sizeof(*canaries->items), compare);
    return found != NULL ? found->line : 0;
}
