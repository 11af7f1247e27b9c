#include "format.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

#define VERSION 1

static const char file_magic[8] = "cmjourn";
static const char record_magic[4] = {'C', 'm', 'R', 1};

void cm_journal_header_put(uint8_t out[CM_JOURNAL_HEADER_BYTES], uint64_t first,
                           const uint8_t key[CM_SIPHASH_KEY_BYTES])
{
    memcpy(out, file_magic, sizeof(file_magic));
    cm_put_be(out + 8, VERSION, 4);
    cm_put_be(out + 12, first, 8);
    memcpy(out + 20, key, CM_SIPHASH_KEY_BYTES);
    cm_put_be(out + 36, cm_siphash(key, out, 36), 8);
}

bool cm_journal_header_get(const uint8_t in[CM_JOURNAL_HEADER_BYTES], uint64_t *out_first,
                           uint8_t out_key[CM_SIPHASH_KEY_BYTES])
{
    if (memcmp(in, file_magic, sizeof(file_magic)) != 0 || cm_get_be(in + 8, 4) != VERSION ||
        cm_get_be(in + 36, 8) != cm_siphash(in + 20, in, 36)) {
        return false;
    }
    *out_first = cm_get_be(in + 12, 8);
    memcpy(out_key, in + 20, CM_SIPHASH_KEY_BYTES);
    return true;
}

void cm_journal_record_put(uint8_t *out, const struct cm_journal_head *head, struct cm_span content)
{
    assert(content.len <= CM_JOURNAL_RECORD_MAX && head->bytes == CM_JOURNAL_AROUND_BYTES + content.len);
    memcpy(out, record_magic, sizeof(record_magic));
    cm_put_be(out + 4, content.len, 4);
    cm_put_be(out + 8, head->number, 8);
    cm_put_be(out + 16, head->commit, 8);
    if (content.len > 0) {
        memcpy(out + CM_JOURNAL_HEAD_BYTES, content.p, content.len);
    }
}

size_t cm_journal_record_seal(uint8_t *record, int64_t at_s, const uint8_t key[CM_SIPHASH_KEY_BYTES])
{
    size_t summed = CM_JOURNAL_HEAD_BYTES + (size_t)cm_get_be(record + 4, 4);
    cm_put_be(record + 24, (uint64_t)at_s, 8);
    cm_put_be(record + 32, cm_siphash(key, record, 32), 8);
    cm_put_be(record + summed, cm_siphash(key, record, summed), 8);
    return summed + CM_JOURNAL_SUM_BYTES;
}

bool cm_journal_head_get(const uint8_t in[CM_JOURNAL_HEAD_BYTES], const uint8_t key[CM_SIPHASH_KEY_BYTES],
                         struct cm_journal_head *out)
{
    uint64_t len = cm_get_be(in + 4, 4);
    if (memcmp(in, record_magic, sizeof(record_magic)) != 0 || len > CM_JOURNAL_RECORD_MAX ||
        cm_get_be(in + 32, 8) != cm_siphash(key, in, 32)) {
        return false;
    }
    *out = (struct cm_journal_head){
        .bytes = CM_JOURNAL_AROUND_BYTES + (size_t)len,
        .number = cm_get_be(in + 8, 8),
        .commit = cm_get_be(in + 16, 8),
        .at_s = (int64_t)cm_get_be(in + 24, 8),
    };
    return true;
}

bool cm_journal_record_is_sound(const uint8_t *record, size_t bytes, const uint8_t key[CM_SIPHASH_KEY_BYTES])
{
    size_t summed = bytes - CM_JOURNAL_SUM_BYTES;
    return cm_get_be(record + summed, 8) == cm_siphash(key, record, summed);
}
