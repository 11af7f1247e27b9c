#include "macros.h"

#include <stdatomic.h>

static const struct {
    const char *stage;
    const char *name;
} names[CM_MACRO_COUNT] = {
    [CM_MACRO_J] = {"connect", "j"},
    [CM_MACRO_DAEMON] = {"connect", "{daemon_name}"},
    [CM_MACRO_ID_AT_MAIL] = {"mail", "i"},
    [CM_MACRO_AUTH] = {"mail", "{auth_authen}"},
    [CM_MACRO_MAILER] = {"mail", "{mail_mailer}"},
    [CM_MACRO_MAIL_ADDR] = {"mail", "{mail_addr}"},
    [CM_MACRO_ID_AT_RCPT] = {"rcpt", "i"},
    [CM_MACRO_RCPT] = {"rcpt", "{rcpt_addr}"},
    [CM_MACRO_ID_AT_END] = {"eom", "i"},
};
static _Atomic uint64_t seen[CM_MACRO_COUNT];

struct cm_span cm_macro_read(SMFICTX *ctx, enum cm_macro macro)
{
    const char *value = smfi_getsymval(ctx, (char *)names[macro].name);
    if (value != NULL) {
        atomic_fetch_add_explicit(&seen[macro], 1, memory_order_relaxed);
    }
    return cm_span_of(value);
}

struct cm_macro_count cm_macro_count(enum cm_macro macro)
{
    return (struct cm_macro_count){names[macro].stage, names[macro].name, atomic_load(&seen[macro])};
}
