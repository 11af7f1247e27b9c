#include "core/decision_id.h"

#include <string.h>

#include "base/bytes.h"

#define PACKED_BYTES 17 /* 130 bits; the last byte holds two of them */

void cm_decision_id_format(const struct cm_decision_id *id, char out[CM_DECISION_ID_CHARS + 1])
{
    uint8_t bits[PACKED_BYTES] = {0};
    uint64_t low = (id->counter & 0x3fffffffffU) << 10 | (id->partition & 0x3ffU);
    uint8_t whole[16];
    cm_put_be(whole, (uint64_t)id->at & 0xffffffffffffU, 6);
    cm_put_be(whole + 6, id->daemon, 4);
    cm_put_be(whole + 10, low, 6);
    for (size_t i = 0; i < sizeof(whole); i++) { /* shifted by the two zero bits in front */
        bits[i] = (uint8_t)(bits[i] | whole[i] >> 2);
        bits[i + 1] = (uint8_t)(whole[i] << 6);
    }
    cm_base32(bits, CM_DECISION_ID_CHARS * 5, out);
}

bool cm_decision_id_parse(struct cm_span text, struct cm_decision_id *out)
{
    char chars[CM_DECISION_ID_CHARS + 4] = {0};
    uint8_t bits[PACKED_BYTES + 3];
    if (text.len != CM_DECISION_ID_CHARS) {
        return false;
    }
    memcpy(chars, text.p, text.len);
    memset(chars + text.len, 'a', 2); /* zero bits, so that the last two bits of the id become a whole byte */
    if (memchr(chars, '\0', CM_DECISION_ID_CHARS) != NULL || !cm_base32_decode(chars, CM_DECISION_ID_CHARS + 2, bits) ||
        bits[0] >> 6 != 0) {
        return false;
    }
    uint8_t whole[16];
    for (size_t i = 0; i < sizeof(whole); i++) {
        whole[i] = (uint8_t)(bits[i] << 2 | bits[i + 1] >> 6);
    }
    uint64_t low = cm_get_be(whole + 10, 6);
    *out = (struct cm_decision_id){
        .at = (cm_ms)cm_get_be(whole, 6),
        .daemon = (uint32_t)cm_get_be(whole + 6, 4),
        .counter = low >> 10,
        .partition = (uint16_t)(low & 0x3ff),
    };
    return true;
}
