/*
 * Party (b) of the benchmark: the consent milter that anyone would write in an afternoon.  One Redis connection for
 * each milter session, one GET for each RCPT, 550 when there is no key.  It does not canonicalise, hash, log, time
 * out, or tell a foreign store from its own; that is the point of the comparison.
 *
 *     filter_naive SOCKET REDIS-SOCKET
 */
#include "negotiate.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const char *redis_socket;

/* Without Redis the session has no connection, and RCPT answers 4xx: at CONNECT nobody waits for a reply. */
static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    redisContext *redis = redisConnectUnix(redis_socket);

    (void)host;
    (void)address;
    if (redis == NULL || redis->err != 0 || smfi_setpriv(ctx, redis) != MI_SUCCESS) {
        redisFree(redis);
    }
    return SMFIS_NOREPLY;
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
    (void)ctx;
    (void)argv;
    return SMFIS_NOREPLY;
}

static sfsistat refuse(SMFICTX *ctx)
{
    static char code[] = "550";
    static char status[] = "5.7.1";
    static char text[] = "no consent on record";

    (void)smfi_setreply(ctx, code, status, text); /* without it the MTA has a text of its own */
    return SMFIS_REJECT;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
    redisContext *redis = smfi_getpriv(ctx);
    const char *address = argv[0][0] == '<' ? argv[0] + 1 : argv[0];
    size_t length = strcspn(address, ">");
    redisReply *reply;
    sfsistat result = SMFIS_TEMPFAIL;

    if (redis == NULL) {
        return SMFIS_TEMPFAIL;
    }
    reply = redisCommand(redis, "GET consent:%b", address, length);
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        result = SMFIS_CONTINUE;
    } else if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
        result = refuse(ctx);
    }
    freeReplyObject(reply);
    return result;
}

static sfsistat on_message(SMFICTX *ctx)
{
    (void)ctx;
    return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
    redisContext *redis = smfi_getpriv(ctx);

    redisFree(redis);
    (void)smfi_setpriv(ctx, NULL); /* the session ends here whatever it says */
    return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
    static char name[] = "bench-naive";
    struct smfiDesc filter = {
        .xxfi_name = name,
        .xxfi_version = SMFI_VERSION,
        .xxfi_connect = on_connect,
        .xxfi_envfrom = on_mail,
        .xxfi_envrcpt = on_rcpt,
        .xxfi_eom = on_message,
        .xxfi_abort = on_message,
        .xxfi_close = on_close,
        .xxfi_negotiate = cm_bench_negotiate,
    };

    if (argc != 3) {
        fputs("usage: filter_naive SOCKET REDIS-SOCKET\n", stderr);
        return EX_USAGE;
    }
    redis_socket = argv[2];
    return cm_bench_filter_main(&filter, argv[1]);
}
