/*
 * Configuration files as a tired administrator may write them. The input is the main file.
 *
 * What must hold: no crash and no exit; an error exactly when nothing is loaded, on one line and without control
 * characters; and whatever is loaded keeps the promises of settings.h.
 */
#include "require.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void); /* NOLINT: the sanitizer looks for this name */

/* libconfig 1.5 loses the token it was reading when a syntax error ends the parse; that is not ours to free. */
const char *__lsan_default_suppressions(void) /* NOLINT: as above */
{
    return "leak:libconfig\n";
}

static void require_printable(const char *text)
{
    REQUIRE(text[0] != '\0');
    for (; *text != '\0'; text++) {
        REQUIRE((unsigned char)*text >= ' ' && *text != 0x7f);
    }
}

static bool has_session_condition(const struct cm_stream *stream)
{
    return stream->session.auth.count > 0 || stream->session.daemon.count > 0 || stream->session.client.count > 0 ||
           stream->session.local;
}

static void require_stream(const struct cm_stream *stream)
{
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1];
    require_printable(stream->name);
    require_printable(stream->sender);
    REQUIRE(has_session_condition(stream));
    REQUIRE(stream->class != CM_CLASS_UNSET);
    REQUIRE(stream->mode != CM_MODE_UNSET);
    REQUIRE(stream->accept_basis > 0 && stream->accept_basis < 16);
    REQUIRE(stream->class == CM_CLASS_MARKETING || stream->accept_basis == CM_BASIS_EXPRESS);
    REQUIRE(stream->purpose_from != CM_PURPOSE_UNSET);
    REQUIRE(stream->purpose_from != CM_PURPOSE_NONE || stream->class == CM_CLASS_SERVICE);
    if (stream->purpose_from == CM_PURPOSE_FIXED) {
        REQUIRE(cm_stream_purpose(stream, CM_SPAN(""), NULL, 0, purpose) == CM_PURPOSE_FOUND);
    }
    REQUIRE((stream->purpose_from == CM_PURPOSE_HEADER) == (stream->purpose_header != NULL));
}

static void hear(void *context, const char *text)
{
    (void)context;
    require_printable(text);
}

static void require_settings(const struct cm_settings *settings)
{
    REQUIRE(strlen(settings->sha256) == 64);
    REQUIRE(settings->store.scheme != CM_STORE_UNSET);
    REQUIRE((settings->store.scheme == CM_STORE_UNIX) == (settings->store.path != NULL));
    REQUIRE((settings->store.scheme == CM_STORE_TCP) == (settings->store.host != NULL && settings->store.port != NULL));
    REQUIRE(settings->store.timeout_ms >= 10 && settings->store.timeout_ms <= 10000);
    REQUIRE(settings->store.pool >= 1 && settings->store.pool <= 1024);
    REQUIRE(settings->keys[0] == '/');
    REQUIRE(settings->milter.mode <= 0775 && (settings->milter.mode & 0602) == 0600);
    require_printable(settings->milter.socket);
    REQUIRE(settings->state[0] == '/' && settings->keeper.socket[0] == '/');
    REQUIRE(settings->keeper.mode <= 0775 && (settings->keeper.mode & 0602) == 0600);
    REQUIRE(settings->keeper.retain_days >= 1 && settings->keeper.retain_days <= 3650);
    REQUIRE(settings->keeper_count <= CM_LIMIT_KEEPERS);
    for (size_t i = 0; i < settings->keeper_count; i++) {
        REQUIRE(strlen(settings->keepers[i]) >= 1 && strlen(settings->keepers[i]) <= CM_LIMIT_KEEPER_NAME_BYTES);
        require_printable(settings->keepers[i]);
    }
    for (size_t i = 0; i < settings->keeper.caller_count; i++) {
        const struct cm_caller_settings *caller = &settings->keeper.callers[i];
        REQUIRE((caller->user == NULL) != (caller->group == NULL));
        REQUIRE(caller->rank >= CM_RANK_SUBJECT && caller->rank <= CM_RANK_SYSTEM);
    }
    REQUIRE(settings->streams.count <= CM_LIMIT_STREAMS);
    for (size_t i = 0; i < settings->streams.count; i++) {
        require_stream(&settings->streams.streams[i]);
    }
    cm_settings_warn(settings, hear, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("settings", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
    struct cm_err err = {.text = ""};
    struct cm_settings *settings = cm_settings_load(path, &err);
    REQUIRE((settings == NULL) == (err.text[0] != '\0'));
    if (settings != NULL) {
        require_settings(settings);
        cm_settings_free(settings);
    } else {
        require_printable(err.text);
    }
    REQUIRE(close(fd) == 0);
    return 0;
}
