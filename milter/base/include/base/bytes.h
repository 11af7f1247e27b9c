/* Packed bytes: big-endian integers, and what must be zero. Pure; the caller answers for the bounds. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void cm_put_be(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i-- > 0; value >>= 8) {
        out[i] = (uint8_t)value;
    }
}

static inline uint64_t cm_get_be(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | in[i];
    }
    return value;
}

static inline bool cm_is_zero(const uint8_t *in, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && in[i] == 0) {
        i++;
    }
    return i == bytes;
}

#endif
