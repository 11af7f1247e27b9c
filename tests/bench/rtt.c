/*
 * The plain round trip to Redis through hiredis over a unix socket: what a look-up costs when nothing is decided.
 *
 *     rtt REDIS-SOCKET COUNT MEASURE...      prints one JSON object, {"MEASURE_p50_us": ...}
 *
 * Measures: ping; get (a key of the naive filter); get10 (ten of them in one pipeline); hmget (one bucket of the
 * consent store); lookup (what consent-milter asks for one recipient: the store's marks, the bucket, the marks again
 * and the time, in one pipeline).
 */
#include "latency.h"
#include "recipients.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { PARTITIONS = 1024, BUCKETS = 1024 };

struct measure {
    const char *name;
    unsigned replies;
    void (*append)(redisContext *redis, uint64_t *random);
};

static void append_ping(redisContext *redis, uint64_t *random)
{
    (void)random;
    (void)redisAppendCommand(redis, "PING"); /* out of memory shows at the reply */
}

static void append_get(redisContext *redis, uint64_t *random)
{
    char address[CM_BENCH_ADDRESS_BYTES];

    (void)cm_bench_address(address, cm_bench_pick(random, 0.3));
    (void)redisAppendCommand(redis, "GET consent:%s", address);
}

static void append_get10(redisContext *redis, uint64_t *random)
{
    for (int i = 0; i < 10; i++) {
        append_get(redis, random);
    }
}

static void append_bucket(redisContext *redis, unsigned partition, uint64_t *random)
{
    uint64_t field = cm_bench_random(random);
    unsigned bucket = (unsigned)(cm_bench_random(random) >> 40) % BUCKETS;

    (void)redisAppendCommand(redis, "HMGET c:{p%03x}:%04x %b", partition, bucket, &field, sizeof(field));
}

static void append_hmget(redisContext *redis, uint64_t *random)
{
    append_bucket(redis, (unsigned)(cm_bench_random(random) >> 40) % PARTITIONS, random);
}

static void append_lookup(redisContext *redis, uint64_t *random)
{
    unsigned partition = (unsigned)(cm_bench_random(random) >> 40) % PARTITIONS;

    (void)redisAppendCommand(redis, "HMGET m:{p%03x} store epoch schema canon pepper1 registry", partition);
    append_bucket(redis, partition, random);
    (void)redisAppendCommand(redis, "HMGET m:{p%03x} store epoch schema canon pepper1 registry", partition);
    (void)redisAppendCommand(redis, "TIME");
}

static const struct measure measures[] = {
    {"ping", 1, append_ping},   {"get", 1, append_get},       {"get10", 10, append_get10},
    {"hmget", 1, append_hmget}, {"lookup", 4, append_lookup},
};

static bool run(redisContext *redis, const struct measure *m, unsigned count)
{
    static struct cm_latency latency;
    uint64_t random = 88172645463325252u;

    memset(&latency, 0, sizeof(latency));
    for (unsigned i = 0; i < count; i++) {
        uint64_t start;

        m->append(redis, &random);
        start = cm_latency_now_ns();
        for (unsigned r = 0; r < m->replies; r++) {
            void *reply = NULL;

            if (redisGetReply(redis, &reply) != REDIS_OK) {
                return false;
            }
            freeReplyObject(reply);
        }
        cm_latency_add(&latency, cm_latency_now_ns() - start);
    }
    printf("\"%s_p50_us\":%.2f,\"%s_p99_us\":%.2f", m->name, cm_latency_quantile_us(&latency, 0.5), m->name,
           cm_latency_quantile_us(&latency, 0.99));
    return true;
}

static const struct measure *find(const char *name)
{
    for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++) {
        if (strcmp(measures[i].name, name) == 0) {
            return &measures[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    redisContext *redis;

    if (count == 0) {
        fputs("usage: rtt REDIS-SOCKET COUNT ping|get|get10|hmget|lookup...\n", stderr);
        return EX_USAGE;
    }
    redis = redisConnectUnix(argv[1]);
    if (redis == NULL || redis->err != 0) {
        fprintf(stderr, "rtt: cannot connect to %s\n", argv[1]);
        return EX_UNAVAILABLE;
    }
    putchar('{');
    for (int i = 3; i < argc; i++) {
        const struct measure *m = find(argv[i]);

        if (i > 3) {
            putchar(',');
        }
        if (m == NULL || !run(redis, m, count)) {
            fprintf(stderr, "rtt: %s failed\n", argv[i]);
            return EX_SOFTWARE;
        }
    }
    puts("}");
    redisFree(redis);
    return EX_OK;
}
