/* Local parts, which may hold any Unicode text. The one file that knows libunistring. */
#include "address_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

/* NFC makes UTF-8 at most three times as long. Case folding may exceed this; then the library allocates. */
#define WORK_BYTES ((size_t)4 * CM_ADDRESS_LOCAL_MAX)

/* What no mailbox may hold: text that changes how its surroundings are shown or read, and code points whose meaning
 * is not fixed yet (their normal form could still change). */
#define REFUSED_CATEGORIES \
    (UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cn | UC_CATEGORY_MASK_Cs | UC_CATEGORY_MASK_Zl | UC_CATEGORY_MASK_Zp)

bool cm_address_is_utf8(struct cm_span s)
{
    return u8_check((const uint8_t *)s.p, s.len) == NULL;
}

static bool is_ascii(struct cm_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.p[i] >= 128) {
            return false;
        }
    }
    return true;
}

static bool holds_refused(const uint8_t *s, size_t len)
{
    while (len > 0) {
        ucs4_t point = 0;
        int step = u8_mbtouc(&point, s, len);
        if (uc_is_general_category_withtable(point, REFUSED_CATEGORIES) || uc_is_property_bidi_control(point)) {
            return true;
        }
        s += step;
        len -= (size_t)step;
    }
    return false;
}

/* NFC of `s`, which is no longer than WORK_BYTES / 3 or in NFC but for its case, into `out`. False when memory ran out.
 */
static bool to_nfc(const uint8_t *s, size_t len, uint8_t out[WORK_BYTES], size_t *out_len)
{
    *out_len = WORK_BYTES;
    uint8_t *made = u8_normalize(UNINORM_NFC, s, len, out, out_len);
    if (made != out) {
        free(made); /* NULL: the library allocates its result only where `out` is too short, which it never is */
        return false;
    }
    return true;
}

static void fold_ascii(char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        s[i] = cm_ascii_lower(s[i]);
    }
}

enum cm_address_status cm_address_canon_local(struct cm_span local, char out[CM_ADDRESS_LOCAL_MAX + 1])
{
    uint8_t first[WORK_BYTES];
    uint8_t second[WORK_BYTES];
    size_t len = 0;
    if (is_ascii(local)) {
        memcpy(out, local.p, local.len);
        fold_ascii(out, local.len);
        out[local.len] = '\0';
        return CM_ADDRESS_OK;
    }
    /* Normalised before folding, so that equivalent spellings fold alike, and after it, because some small letters
     * compose where the capitals do not (h with macron below). A third pass would change nothing. */
    if (!to_nfc((const uint8_t *)local.p, local.len, first, &len)) {
        return CM_ADDRESS_UNSET;
    }
    fold_ascii((char *)first, len);
    if (!to_nfc(first, len, second, &len)) {
        return CM_ADDRESS_UNSET;
    }
    if (len > CM_ADDRESS_LOCAL_MAX) {
        return CM_ADDRESS_TOO_LONG;
    }
    if (holds_refused(second, len)) {
        return CM_ADDRESS_BAD_UTF8;
    }
    memcpy(out, second, len);
    out[len] = '\0';
    return CM_ADDRESS_OK;
}

bool cm_address_fold_equal(const char *a, const char *b, bool *out_same)
{
    struct cm_span sides[2] = {cm_span_of(a), cm_span_of(b)};
    uint8_t storage[2][WORK_BYTES];
    uint8_t *folded[2] = {NULL, NULL};
    size_t len[2] = {WORK_BYTES, WORK_BYTES};
    if (cm_span_equal(sides[0], sides[1]) || (is_ascii(sides[0]) && is_ascii(sides[1]))) {
        *out_same = cm_span_equal(sides[0], sides[1]); /* canonical local parts are folded as far as ASCII goes */
        return true;
    }
    for (size_t i = 0; i < 2; i++) {
        folded[i] = u8_casefold((const uint8_t *)sides[i].p, sides[i].len, NULL, UNINORM_NFC, storage[i], &len[i]);
    }
    bool known = folded[0] != NULL && folded[1] != NULL;
    if (known) {
        *out_same = len[0] == len[1] && memcmp(folded[0], folded[1], len[0]) == 0;
    }
    for (size_t i = 0; i < 2; i++) {
        if (folded[i] != storage[i]) {
            free(folded[i]);
        }
    }
    return known;
}
