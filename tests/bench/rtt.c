/*
 * The plain round trip to Redis through hiredis over a unix socket: what a look-up costs when nothing is decided.
 *
 *     rtt REDIS-SOCKET COUNT MEASURE...      prints one JSON object, {"MEASURE_p50_us": ...}
 *
 * Measures: ping; get (a key of the naive filter); get10 (ten of them in one pipeline); hmget (one bucket of the
 * consent store); lookup (what consent-milter asks for one recipient: the store's facts, the bucket, the facts again
 * and the time, in one pipeline); lookup1, lookup3 (the same with the beats of one and of three keepers, which are
 * written for the time of the measurement). They take turns, so that what the machine does meanwhile befalls all alike.
 */
#include "latency.h"
#include "recipients.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { PARTITIONS = 1024, BUCKETS = 1024, TURNS = 20, MEASURES_MAX = 8 };

#define FACTS "HMGET m:{p000} store epoch schema canon peppers doctor"

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

static void append_frame(redisContext *redis, uint64_t *random, const char *facts)
{
    (void)redisAppendCommand(redis, facts);
    append_hmget(redis, random);
    (void)redisAppendCommand(redis, "HMGET m:{p000} store epoch registry");
    (void)redisAppendCommand(redis, "TIME");
}

static void append_lookup(redisContext *redis, uint64_t *random)
{
    append_frame(redis, random, FACTS);
}

static void append_lookup1(redisContext *redis, uint64_t *random)
{
    append_frame(redis, random, FACTS " beat:bench1");
}

static void append_lookup3(redisContext *redis, uint64_t *random)
{
    append_frame(redis, random, FACTS " beat:bench1 beat:bench2 beat:bench3");
}

static const struct measure measures[] = {
    {"ping", 1, append_ping},       {"get", 1, append_get},       {"get10", 10, append_get10},
    {"hmget", 1, append_hmget},     {"lookup", 4, append_lookup}, {"lookup1", 4, append_lookup1},
    {"lookup3", 4, append_lookup3},
};

static bool run(redisContext *redis, const struct measure *m, unsigned count, uint64_t *random,
                struct cm_latency *latency)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t start;

        m->append(redis, random);
        start = cm_latency_now_ns();
        for (unsigned r = 0; r < m->replies; r++) {
            void *reply = NULL;

            if (redisGetReply(redis, &reply) != REDIS_OK) {
                return false;
            }
            freeReplyObject(reply);
        }
        cm_latency_add(latency, cm_latency_now_ns() - start);
    }
    return true;
}

/* Three beats as keepers write them; without `present`, none again. */
static void put_beats(redisContext *redis, bool present)
{
    static const char beat[] = "on 1234567890123456789012345678901234567890 1234567890123456789012345678901234567890 "
                               "1790000000000 123456";

    for (int i = 1; i <= 3; i++) {
        freeReplyObject(present ? redisCommand(redis, "HSET m:{p000} beat:bench%d %s", i, beat)
                                : redisCommand(redis, "HDEL m:{p000} beat:bench%d", i));
    }
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

/* All measures in turns. False and the name of the one that failed, or that nobody knows. */
static bool run_all(redisContext *redis, char *const *names, int count, unsigned each, const char **out_failed)
{
    static struct cm_latency latencies[MEASURES_MAX];
    uint64_t random = 88172645463325252u;

    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < count; i++) {
            const struct measure *m = find(names[i]);

            if (m == NULL || !run(redis, m, each / TURNS + 1, &random, &latencies[i])) {
                *out_failed = names[i];
                return false;
            }
        }
    }
    for (int i = 0; i < count; i++) {
        printf("%c\"%s_p50_us\":%.2f,\"%s_p99_us\":%.2f", i == 0 ? '{' : ',', names[i],
               cm_latency_quantile_us(&latencies[i], 0.5), names[i], cm_latency_quantile_us(&latencies[i], 0.99));
    }
    puts("}");
    return true;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 3 && argc - 3 <= MEASURES_MAX ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    const char *failed = NULL;
    redisContext *redis;

    if (count == 0) {
        fputs("usage: rtt REDIS-SOCKET COUNT ping|get|get10|hmget|lookup|lookup1|lookup3...\n", stderr);
        return EX_USAGE;
    }
    redis = redisConnectUnix(argv[1]);
    if (redis == NULL || redis->err != 0) {
        fprintf(stderr, "rtt: cannot connect to %s\n", argv[1]);
        return EX_UNAVAILABLE;
    }
    put_beats(redis, true);
    if (!run_all(redis, argv + 3, argc - 3, count, &failed)) {
        fprintf(stderr, "rtt: %s failed\n", failed);
        return EX_SOFTWARE;
    }
    put_beats(redis, false);
    redisFree(redis);
    return EX_OK;
}
