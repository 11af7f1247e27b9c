#include "core/pattern.h"

#include <string.h>

#include "base/limits.h"

static const char purpose_name[] = "{purpose}";
#define PURPOSE_NAME_LEN (sizeof(purpose_name) - 1)

/*
 * How the time stays bounded: a run of literal bytes between two stars is placed as far right as it fits, from the last
 * one to the first. What that leaves for the front is the most that any placement leaves, so nothing is tried twice.
 */

static bool is_purpose_byte(char c)
{
    return cm_ascii_is_alnum(c) || c == '.' || c == '_' || c == '-';
}

static bool literal_at(struct cm_span literal, struct cm_span text, size_t at)
{
    if (literal.len > text.len || at > text.len - literal.len) {
        return false;
    }
    return literal.len == 0 || cm_span_equal_nocase(literal, (struct cm_span){text.p + at, literal.len});
}

/* Cuts the literal behind the last star off *globs. False when there was no star left: the whole of it is taken. */
static bool take_last_literal(struct cm_span *globs, struct cm_span *out_literal)
{
    size_t at = globs->len;
    while (at > 0 && globs->p[at - 1] != '*') {
        at--;
    }
    *out_literal = (struct cm_span){globs->p + at, globs->len - at};
    globs->len = at > 0 ? at - 1 : 0;
    return at > 0;
}

/* The last position from which a star followed by `globs` matches up to the end of text. Every earlier position
 * matches too, because the star takes what is between. False when there is none. */
static bool latest_start(struct cm_span globs, struct cm_span text, size_t *out_start)
{
    struct cm_span literal;
    bool more = take_last_literal(&globs, &literal);
    if (literal.len > text.len || !literal_at(literal, text, text.len - literal.len)) {
        return false;
    }
    size_t end = text.len - literal.len;
    while (more) {
        more = take_last_literal(&globs, &literal);
        if (literal.len > end) {
            return false;
        }
        size_t at = end - literal.len;
        while (!literal_at(literal, text, at)) {
            if (at-- == 0) {
                return false;
            }
        }
        end = at;
    }
    *out_start = end;
    return true;
}

/* Splits at the first star into the literal before it and all that follows it. False when there is no star. */
static bool split_at_star(struct cm_span globs, struct cm_span *out_literal, struct cm_span *out_rest)
{
    const char *star = globs.len > 0 ? memchr(globs.p, '*', globs.len) : NULL;
    if (star == NULL) {
        *out_literal = globs;
        return false;
    }
    *out_literal = (struct cm_span){globs.p, (size_t)(star - globs.p)};
    *out_rest = (struct cm_span){star + 1, globs.len - out_literal->len - 1};
    return true;
}

static bool glob_match(struct cm_span globs, struct cm_span text)
{
    struct cm_span literal;
    struct cm_span rest;
    size_t latest = 0;
    if (!split_at_star(globs, &literal, &rest)) {
        return cm_span_equal_nocase(literal, text);
    }
    return literal_at(literal, text, 0) && latest_start(rest, text, &latest) && latest >= literal.len;
}

/* Matches {purpose} followed by `globs` against the whole of text. */
static bool capture_match(struct cm_span globs, struct cm_span text, struct cm_span *out_purpose)
{
    struct cm_span literal;
    struct cm_span rest;
    size_t longest = 0;
    size_t shortest = 1;
    while (longest < text.len && is_purpose_byte(text.p[longest])) {
        longest++;
    }
    size_t latest = 0;
    if (!split_at_star(globs, &literal, &rest)) {
        /* Without a star the end of the capture is fixed. */
        if (text.len < literal.len || text.len - literal.len > longest) {
            return false;
        }
        shortest = longest = text.len - literal.len;
        shortest = shortest > 0 ? shortest : 1;
    } else if (!latest_start(rest, text, &latest) || latest < literal.len) {
        return false;
    } else {
        longest = longest < latest - literal.len ? longest : latest - literal.len;
    }
    for (size_t len = longest; len >= shortest; len--) {
        if (literal_at(literal, text, len)) {
            *out_purpose = (struct cm_span){text.p, len};
            return true;
        }
    }
    return false;
}

bool cm_pattern_match(const char *pattern, struct cm_span text, struct cm_span *out_purpose)
{
    const char *name = strstr(pattern, purpose_name);
    if (name == NULL) {
        return glob_match(cm_span_of(pattern), text);
    }
    struct cm_span head = {pattern, (size_t)(name - pattern)};
    struct cm_span globs = cm_span_of(name + PURPOSE_NAME_LEN);
    struct cm_span purpose;
    if (memchr(head.p, '*', head.len) != NULL || strstr(globs.p, purpose_name) != NULL) {
        return false; /* cm_pattern_problem refuses it: no capture would be the right one */
    }
    if (text.len <= head.len || !literal_at(head, text, 0) ||
        !capture_match(globs, (struct cm_span){text.p + head.len, text.len - head.len}, &purpose)) {
        return false;
    }
    if (out_purpose != NULL) {
        *out_purpose = purpose;
    }
    return true;
}

const char *cm_pattern_problem(const char *pattern, bool purpose_allowed)
{
    bool star = false;
    bool purpose = false;
    if (strlen(pattern) > CM_LIMIT_PATTERN_BYTES) {
        return "is longer than 255 bytes; write '*' for a part of it";
    }
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '*') {
            star = true;
        } else if (*p == '{') {
            if (strncmp(p, purpose_name, PURPOSE_NAME_LEN) != 0) {
                return "holds a '{' that does not begin {purpose}, the only name a pattern knows; write '*' for any "
                       "text";
            }
            if (!purpose_allowed) {
                return "holds {purpose}, which only mail_from patterns know; write '*' for any text";
            }
            if (purpose) {
                return "holds {purpose} twice; keep one";
            }
            if (star) {
                return "has a '*' before {purpose}, so what {purpose} stands for would be ambiguous; write the '*' "
                       "behind it";
            }
            purpose = true;
        }
    }
    return NULL;
}
