/*
 * Patterns of the configuration against text from outside. The input is a line that is the pattern, and the text.
 *
 * What must hold: no crash; the answer is that of the plain definition, computed cell by cell; a capture is the longest
 * that lets the rest match.
 */
#include "core/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "core/cidr.h"
#include "core/stream.h"
#include "require.h"

#define PATTERN_MAX (CM_LIMIT_PATTERN_BYTES + 8)
#define TEXT_MAX 512

static const char purpose_name[] = "{purpose}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* matches[j]: what is left of the pattern matches the text from j on. Filled from the pattern's end to its start. */
static void fill_matches(const char *globs, struct cm_span text, bool matches[TEXT_MAX + 1])
{
    bool next[TEXT_MAX + 1] = {false};
    next[text.len] = true;
    for (size_t i = strlen(globs); i-- > 0;) {
        bool now[TEXT_MAX + 1] = {false};
        for (size_t j = text.len + 1; j-- > 0;) {
            if (globs[i] == '*') {
                now[j] = next[j] || (j < text.len && now[j + 1]);
            } else {
                now[j] = j < text.len && cm_ascii_lower(globs[i]) == cm_ascii_lower(text.p[j]) && next[j + 1];
            }
        }
        memcpy(next, now, sizeof(next));
    }
    memcpy(matches, next, sizeof(next));
}

/* The length of the longest capture behind `head` bytes, 0 if there is none. */
static size_t plain_capture(const char *pattern, size_t head, struct cm_span text)
{
    bool matches[TEXT_MAX + 1];
    size_t longest = 0;
    fill_matches(pattern + head + sizeof(purpose_name) - 1, text, matches);
    if (text.len < head || !cm_span_equal_nocase((struct cm_span){pattern, head}, (struct cm_span){text.p, head})) {
        return 0;
    }
    for (size_t end = head; end < text.len; end++) {
        char c = text.p[end];
        if (!cm_ascii_is_alnum(c) && c != '.' && c != '_' && c != '-') {
            break;
        }
        longest = matches[end + 1] ? end + 1 - head : longest;
    }
    return longest;
}

static void require_capture(const char *pattern, size_t head, struct cm_span text)
{
    struct cm_span purpose = {NULL, 0};
    bool got = cm_pattern_match(pattern, text, &purpose);
    size_t want = plain_capture(pattern, head, text);
    REQUIRE(got == (want > 0));
    REQUIRE(cm_pattern_match(pattern, text, NULL) == got);
    REQUIRE(purpose.len == want);
    REQUIRE(!got || purpose.p == text.p + head);
}

static void require_plain(const char *pattern, struct cm_span text)
{
    bool matches[TEXT_MAX + 1];
    struct cm_span purpose = {NULL, 0};
    fill_matches(pattern, text, matches);
    REQUIRE(cm_pattern_match(pattern, text, &purpose) == matches[0]);
    REQUIRE(purpose.p == NULL); /* nothing was captured */
}

static void try_other_readers(struct cm_span text)
{
    struct cm_cidr network;
    struct cm_ip ip;
    if (cm_ip_parse(text, &ip)) {
        REQUIRE(ip.known);
        REQUIRE(cm_cidr_parse(text, &network));
        REQUIRE(cm_cidr_contains(&network, &ip));
    }
    if (cm_purpose_path_is_valid(text)) {
        REQUIRE(text.len <= CM_LIMIT_PURPOSE_BYTES && memchr(text.p, '\0', text.len) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_span text = {(const char *)data, size};
    struct cm_span line = {NULL, 0};
    char pattern[PATTERN_MAX];
    (void)cm_span_next(&text, '\n', &line);        /* without a line end all is the pattern */
    (void)cm_copy(pattern, sizeof(pattern), line); /* a longer one is cut; the cut one is as good */
    text.len = text.len < TEXT_MAX ? text.len : TEXT_MAX;
    const char *name = strstr(pattern, purpose_name);
    if (strlen(pattern) > CM_LIMIT_PATTERN_BYTES) {
        REQUIRE(cm_pattern_problem(pattern, true) != NULL);
    } else if (name != NULL) {
        REQUIRE(cm_pattern_problem(pattern, false) != NULL);
        if (cm_pattern_problem(pattern, true) == NULL) {
            require_capture(pattern, (size_t)(name - pattern), text);
        }
    } else {
        require_plain(pattern, text);
    }
    try_other_readers(text);
    return 0;
}
