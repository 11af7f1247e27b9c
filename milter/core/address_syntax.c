/*
 * Which mailbox an argument names, as MTAs read it: the tokens of RFC 822 with comments and blanks between any two,
 * display names, one-member groups, source routes. Where MTAs differ or guess, this refuses: a refusal costs one odd
 * recipient, a guess would let mail pass to a mailbox that was never checked.
 *
 * Limits: a local part cannot hold blanks outside quotes ("us er" is two addresses to Postfix and "us.er" to Sendmail);
 * a display name cannot hold an at sign; escapes in the domain are refused.
 */
#include "address_internal.h"

#include <string.h>

/* A domain of single letters has 253 tokens, a local part 64, and as much again for a source route. */
#define TOKENS_MAX 640
#define COMMENT_DEPTH_MAX 32

/* The kind of a token is one of these, or the special character itself. */
enum { WORD = 'w', QUOTED = '"', LITERAL = '[' };

struct token {
    char kind;
    uint16_t at; /* where it begins; a quoted string without its quotes, a literal with its brackets */
    uint16_t len;
};

struct tokens {
    struct cm_span text;
    size_t count;
    struct token list[TOKENS_MAX];
};

/* Some of the tokens, borrowed. */
struct run {
    const char *text;
    const struct token *list;
    size_t count;
};

/* ---- Characters to tokens ---- */

/* The index behind the comment that opens at `at`; 0 when it does not end or nests too deep. */
static size_t skip_comment(struct cm_span s, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i < s.len; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '(') {
            if (++depth > COMMENT_DEPTH_MAX) {
                return 0;
            }
        } else if (s.p[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* The index of the byte that closes what opens at `at`; 0 when nothing does. */
static size_t find_close(struct cm_span s, size_t at, char close)
{
    for (size_t i = at + 1; i < s.len; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == close) {
            return i;
        }
    }
    return 0;
}

/* The index behind the word that begins at `at`: atom characters and escaped ones. 0 when the text ends in a lone
 * backslash. */
static size_t skip_word(struct cm_span s, size_t at)
{
    size_t i = at;
    while (i < s.len && (s.p[i] == '\\' || cm_address_is_atom_char(s.p[i]))) {
        i += s.p[i] == '\\' ? 2 : 1;
    }
    return i <= s.len ? i : 0;
}

/* Reads the token at `at` and returns the index behind it; 0 when there is none. */
static size_t read_token(struct cm_span s, size_t at, struct token *out)
{
    size_t first = at;
    size_t next = at + 1;
    size_t end = next;
    char kind = s.p[at];
    if (kind == '"') {
        first = at + 1;
        end = find_close(s, at, '"');
        next = end + 1;
    } else if (kind == '[') {
        next = find_close(s, at, ']') + 1;
        end = next > 1 ? next : 0;
    } else if (kind == '\\' || cm_address_is_atom_char(kind)) {
        kind = WORD;
        end = skip_word(s, at);
        next = end;
    } else if (strchr(".@<>,;:", kind) == NULL) {
        return 0; /* a stray closing bracket or parenthesis */
    }
    if (end == 0) {
        return 0;
    }
    *out = (struct token){kind, (uint16_t)first, (uint16_t)(end - first)};
    return next;
}

static enum cm_address_status tokenize(struct cm_span s, struct tokens *out)
{
    out->text = s;
    out->count = 0;
    for (size_t i = 0; i < s.len;) {
        if (s.p[i] == ' ' || s.p[i] == '\t') {
            i++;
            continue;
        }
        if (s.p[i] == '(') {
            i = skip_comment(s, i);
        } else if (out->count == TOKENS_MAX) {
            return CM_ADDRESS_TOO_LONG;
        } else {
            i = read_token(s, i, &out->list[out->count++]);
        }
        if (i == 0) {
            return CM_ADDRESS_SYNTAX;
        }
    }
    return CM_ADDRESS_OK;
}

/* ---- Tokens to a mailbox ---- */

static struct run run_part(struct run r, size_t first, size_t end)
{
    return (struct run){r.text, r.list + first, end - first};
}

/* The index of the first token of this kind; r.count when there is none. */
static size_t run_find(struct run r, char kind)
{
    size_t i = 0;
    while (i < r.count && r.list[i].kind != kind) {
        i++;
    }
    return i;
}

static bool run_holds_only(struct run r, const char *kinds)
{
    for (size_t i = 0; i < r.count; i++) {
        if (strchr(kinds, r.list[i].kind) == NULL) {
            return false;
        }
    }
    return true;
}

/* Appends the bytes of a token to `out`, without its escapes. */
static enum cm_address_status append_unescaped(const char *text, struct token token, char *out, size_t max,
                                               size_t *in_out_len)
{
    for (size_t i = 0; i < token.len; i++) {
        const char *at = text + token.at + i;
        if (*at == '\\') {
            i++;
            at++;
        }
        if (*at == '\t') {
            return CM_ADDRESS_SYNTAX; /* a control character inside the local part */
        }
        if (*in_out_len == max) {
            return CM_ADDRESS_TOO_LONG;
        }
        out[(*in_out_len)++] = *at;
    }
    return CM_ADDRESS_OK;
}

/* Words with dots between them. Dots at the ends or in a row are not valid, but delivered; and MTAs split at the last
 * at sign, so that earlier ones belong to the local part. */
static enum cm_address_status read_local(struct run r, struct cm_address_parts *out)
{
    bool after_word = false;
    out->local_len = 0;
    for (size_t i = 0; i < r.count; i++) {
        bool is_word = r.list[i].kind == WORD || r.list[i].kind == QUOTED;
        if ((is_word && after_word) || (!is_word && r.list[i].kind != '.' && r.list[i].kind != '@')) {
            return CM_ADDRESS_SYNTAX;
        }
        enum cm_address_status status = append_unescaped(r.text, r.list[i], out->local, sizeof(out->local),
                                                         &out->local_len);
        if (status != CM_ADDRESS_OK) {
            return status;
        }
        after_word = is_word;
    }
    return out->local_len > 0 ? CM_ADDRESS_OK : CM_ADDRESS_SYNTAX;
}

/* One address literal, or words with dots between them; that the labels are good is not looked at here. */
static enum cm_address_status read_domain(struct run r, struct cm_address_parts *out)
{
    bool after_word = false;
    out->has_domain = true;
    out->domain_len = 0;
    for (size_t i = 0; i < r.count; i++) {
        struct token token = r.list[i];
        bool is_word = token.kind == WORD || token.kind == LITERAL;
        if ((is_word && after_word) || (token.kind == LITERAL && r.count > 1) || (!is_word && token.kind != '.')) {
            return CM_ADDRESS_SYNTAX;
        }
        if (memchr(r.text + token.at, '\\', token.len) != NULL) {
            return CM_ADDRESS_SYNTAX;
        }
        if (token.len > sizeof(out->domain) - out->domain_len) {
            return CM_ADDRESS_TOO_LONG;
        }
        memcpy(out->domain + out->domain_len, r.text + token.at, token.len);
        out->domain_len += token.len;
        after_word = is_word;
    }
    return out->domain_len > 0 ? CM_ADDRESS_OK : CM_ADDRESS_BAD_DOMAIN;
}

/* "[@route,@route:]local@domain" */
static enum cm_address_status read_mailbox(struct run r, struct cm_address_parts *out)
{
    if (r.count == 0) {
        return CM_ADDRESS_EMPTY;
    }
    if (r.list[0].kind == '@') {
        size_t colon = run_find(r, ':');
        if (colon == r.count || !run_holds_only(run_part(r, 0, colon), "@.,w[")) {
            return CM_ADDRESS_SYNTAX;
        }
        r = run_part(r, colon + 1, r.count);
    }
    size_t at = r.count;
    while (at > 0 && r.list[at - 1].kind != '@') {
        at--;
    }
    if (at == 0) {
        enum cm_address_status status = read_local(r, out);
        return status == CM_ADDRESS_OK ? CM_ADDRESS_NO_DOMAIN : status;
    }
    enum cm_address_status status = read_local(run_part(r, 0, at - 1), out);
    return status == CM_ADDRESS_OK ? read_domain(run_part(r, at, r.count), out) : status;
}

/* "mailbox" or "Display Name <mailbox>" */
static enum cm_address_status read_named(struct run r, struct cm_address_parts *out)
{
    size_t open = run_find(r, '<');
    if (open == r.count) {
        return read_mailbox(r, out);
    }
    if (r.list[r.count - 1].kind != '>' || !run_holds_only(run_part(r, 0, open), "w\".")) {
        return CM_ADDRESS_SYNTAX;
    }
    return read_mailbox(run_part(r, open + 1, r.count - 1), out);
}

enum cm_address_status cm_address_split(struct cm_span text, struct cm_address_parts *out)
{
    struct tokens tokens;
    enum cm_address_status status = tokenize(text, &tokens);
    if (status != CM_ADDRESS_OK) {
        return status;
    }
    struct run all = {text.p, tokens.list, tokens.count};
    out->has_domain = false;
    if (all.count == 0 || all.list[all.count - 1].kind != ';') {
        return read_named(all, out);
    }
    /* "name: mailbox;": delivered when the group has one member. */
    size_t colon = run_find(all, ':');
    if (colon == 0 || colon == all.count || !run_holds_only(run_part(all, 0, colon), "w\".")) {
        return CM_ADDRESS_SYNTAX;
    }
    return read_named(run_part(all, colon + 1, all.count - 1), out);
}
