/*
 * Text from outside, and text we build.
 *
 * A span is borrowed bytes with a length; a NUL inside it is ordinary data. A text is a bounded builder over
 * storage of the caller: it never allocates and never overruns. What does not fit is cut and remembered in
 * `truncated`, and the storage always ends in a NUL.
 *
 * Thread-safety: pure functions over their arguments. Errors: none but truncation.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cm_span {
    const char *p;
    size_t len;
};

struct cm_text {
    char *p;
    size_t len;
    size_t size;
    bool truncated;
};

#define CM_SPAN(literal) ((struct cm_span){(literal), sizeof(literal) - 1})

/* The span of a C string; NULL gives an empty span. */
struct cm_span cm_span_of(const char *s);
bool cm_span_equal(struct cm_span a, struct cm_span b);
/* Equality after folding ASCII A-Z only. */
bool cm_span_equal_nocase(struct cm_span a, struct cm_span b);
bool cm_span_starts_with(struct cm_span s, const char *prefix);
/* Without leading and trailing space, tab, CR and LF. */
struct cm_span cm_span_trim(struct cm_span s);
/* Takes the part before the first `separator` (or all) out of *rest and returns it; *rest becomes what follows.
 * False when *rest was already used up (p == NULL). */
bool cm_span_next(struct cm_span *rest, char separator, struct cm_span *out_part);

/* ASCII only, whatever the locale. */
char cm_ascii_lower(char c);
bool cm_ascii_is_digit(char c);
bool cm_ascii_is_alnum(char c);

/* `size` must be at least 1. */
struct cm_text cm_text_over(char *storage, size_t size);
void cm_text_add(struct cm_text *t, struct cm_span s);
void cm_text_add_str(struct cm_text *t, const char *s);
void cm_text_add_char(struct cm_text *t, char c);
void cm_text_add_format(struct cm_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cm_text_add_hex(struct cm_text *t, const uint8_t *bytes, size_t count);

/* Copies at most size-1 bytes and ends with a NUL. False when it had to cut. */
bool cm_copy(char *out, size_t size, struct cm_span s);

/* Decimal digits only, no sign or blanks. False on anything else or above `max`. */
bool cm_parse_u64(struct cm_span s, uint64_t max, uint64_t *out_value);

/* Lower-case RFC 4648 base32 without padding: five bits a character, first bit first. `out` takes
 * (bits + 4) / 5 characters and a NUL. */
void cm_base32(const uint8_t *bytes, size_t bits, char *out);
/* Reverse of cm_base32 for `chars` characters into (chars * 5) / 8 bytes. False on a foreign character. */
bool cm_base32_decode(const char *text, size_t chars, uint8_t *out);
bool cm_hex_decode(struct cm_span hex, uint8_t *out, size_t out_size);

#endif
