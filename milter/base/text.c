#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char base32_alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char hex_digits[] = "0123456789abcdef";

struct cm_span cm_span_of(const char *s)
{
    return (struct cm_span){s, s != NULL ? strlen(s) : 0};
}

bool cm_span_equal(struct cm_span a, struct cm_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

char cm_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool cm_ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool cm_ascii_is_alnum(char c)
{
    c = cm_ascii_lower(c);
    return cm_ascii_is_digit(c) || (c >= 'a' && c <= 'z');
}

bool cm_span_equal_nocase(struct cm_span a, struct cm_span b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (cm_ascii_lower(a.p[i]) != cm_ascii_lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool cm_span_starts_with(struct cm_span s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && memcmp(s.p, prefix, len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct cm_span cm_span_trim(struct cm_span s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool cm_span_next(struct cm_span *rest, char separator, struct cm_span *out_part)
{
    if (rest->p == NULL) {
        return false;
    }
    const char *at = rest->len > 0 ? memchr(rest->p, separator, rest->len) : NULL;
    if (at == NULL) {
        *out_part = *rest;
        *rest = (struct cm_span){NULL, 0};
        return true;
    }
    size_t len = (size_t)(at - rest->p);
    *out_part = (struct cm_span){rest->p, len};
    *rest = (struct cm_span){at + 1, rest->len - len - 1};
    return true;
}

struct cm_text cm_text_over(char *storage, size_t size)
{
    storage[0] = '\0';
    return (struct cm_text){.p = storage, .size = size};
}

void cm_text_add(struct cm_text *t, struct cm_span s)
{
    size_t room = t->size - 1 - t->len;
    if (s.len > room) {
        s.len = room;
        t->truncated = true;
    }
    if (s.len > 0) {
        memcpy(t->p + t->len, s.p, s.len);
        t->len += s.len;
    }
    t->p[t->len] = '\0';
}

void cm_text_add_str(struct cm_text *t, const char *s)
{
    cm_text_add(t, cm_span_of(s));
}

void cm_text_add_char(struct cm_text *t, char c)
{
    cm_text_add(t, (struct cm_span){&c, 1});
}

void cm_text_add_format(struct cm_text *t, const char *format, ...)
{
    size_t room = t->size - t->len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->p + t->len, room, format, args);
    va_end(args);
    if (n < 0) {
        t->p[t->len] = '\0';
        t->truncated = true;
    } else if ((size_t)n >= room) {
        t->len = t->size - 1;
        t->truncated = true;
    } else {
        t->len += (size_t)n;
    }
}

void cm_text_add_hex(struct cm_text *t, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cm_text_add_char(t, hex_digits[bytes[i] >> 4]);
        cm_text_add_char(t, hex_digits[bytes[i] & 15]);
    }
}

bool cm_copy(char *out, size_t size, struct cm_span s)
{
    struct cm_text t = cm_text_over(out, size);
    cm_text_add(&t, s);
    return !t.truncated;
}

bool cm_parse_u64(struct cm_span s, uint64_t max, uint64_t *out_value)
{
    uint64_t value = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!cm_ascii_is_digit(s.p[i])) {
            return false;
        }
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (value > (max - digit) / 10 || digit > max) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out_value = value;
    return true;
}

void cm_base32(const uint8_t *bytes, size_t bits, char *out)
{
    size_t chars = (bits + 4) / 5;
    for (size_t i = 0; i < chars; i++) {
        unsigned value = 0;
        for (size_t bit = i * 5; bit < i * 5 + 5; bit++) {
            unsigned one = bit < bits ? ((unsigned)bytes[bit / 8] >> (7 - bit % 8)) & 1U : 0U;
            value = value << 1 | one;
        }
        out[i] = base32_alphabet[value];
    }
    out[chars] = '\0';
}

bool cm_base32_decode(const char *text, size_t chars, uint8_t *out)
{
    size_t out_bytes = chars * 5 / 8;
    memset(out, 0, out_bytes);
    for (size_t i = 0; i < chars; i++) {
        const char *at = text[i] != '\0' ? strchr(base32_alphabet, text[i]) : NULL;
        if (at == NULL) {
            return false;
        }
        unsigned value = (unsigned)(at - base32_alphabet);
        for (size_t bit = 0; bit < 5; bit++) {
            size_t position = i * 5 + bit;
            if (position / 8 < out_bytes) {
                unsigned one = (value >> (4 - bit)) & 1U;
                out[position / 8] = (uint8_t)(out[position / 8] | one << (7 - position % 8));
            }
        }
    }
    return true;
}

bool cm_hex_decode(struct cm_span hex, uint8_t *out, size_t out_size)
{
    if (hex.len != out_size * 2) {
        return false;
    }
    for (size_t i = 0; i < hex.len; i++) {
        const char *at = hex.p[i] != '\0' ? strchr(hex_digits, cm_ascii_lower(hex.p[i])) : NULL;
        if (at == NULL) {
            return false;
        }
        unsigned value = (unsigned)(at - hex_digits);
        out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : out[i / 2] | value);
    }
    return true;
}
