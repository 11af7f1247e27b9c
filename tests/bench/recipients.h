/*
 * The people of the benchmark: user<N>@example<N mod 97>.test for N below a million.  Who consents follows from N
 * alone, so the generator knows the right verdict for every recipient without asking anybody.
 *
 * What the stores hold (fill.c, bench.py):  N mod 10   0..6  a grant
 *                                                      7     a grant and a later withdrawal
 *                                                      8     a withdrawal only
 *                                                      9     nothing
 * That is 1,000,000 records, and every way of not consenting has its share.
 */
#ifndef CM_BENCH_RECIPIENTS_H
#define CM_BENCH_RECIPIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CM_BENCH_RECIPIENTS = 1000000, CM_BENCH_DOMAINS = 97, CM_BENCH_ADDRESS_BYTES = 48 };

static inline bool cm_bench_consents(unsigned n)
{
    return n % 10 < 7;
}

/* Writes the address of person n without angle brackets and returns its length. */
static inline unsigned cm_bench_address(char out[CM_BENCH_ADDRESS_BYTES], unsigned n)
{
    return (unsigned)snprintf(out, CM_BENCH_ADDRESS_BYTES, "user%u@example%u.test", n, n % CM_BENCH_DOMAINS);
}

/* xorshift64*: good enough to spread keys, and the same numbers on every machine.  The state must not be zero. */
static inline uint64_t cm_bench_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Du;
}

/* A person, without consent with the given probability. */
static inline unsigned cm_bench_pick(uint64_t *state, double share_without)
{
    uint64_t r = cm_bench_random(state);
    unsigned group = (unsigned)((r >> 32) % (CM_BENCH_RECIPIENTS / 10));
    bool without = (double)(uint32_t)r < share_without * 4294967296.0;
    unsigned digit = (unsigned)(cm_bench_random(state) >> 33);

    return group * 10 + (without ? 7 + digit % 3 : digit % 7);
}

#endif
