#include "ops/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

void cm_notify(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        !cm_copy(address.sun_path, sizeof(address.sun_path), cm_span_of(path))) {
        return;
    }
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* the abstract namespace; such a name has no end but its length */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address, len);
        (void)close(fd); /* told, or nobody to tell */
    }
}

void cm_notify_reloading(void)
{
    char lines[96];
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    (void)snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000); /* fits */
    cm_notify(lines);
}

unsigned cm_notify_watchdog_ms(void)
{
    uint64_t micros = 0;
    uint64_t pid = 0;
    const char *period = getenv("WATCHDOG_USEC");
    const char *whose = getenv("WATCHDOG_PID");
    if (period == NULL || !cm_parse_u64(cm_span_of(period), 3600000000U, &micros) || micros < 2000 ||
        (whose != NULL && (!cm_parse_u64(cm_span_of(whose), INT32_MAX, &pid) || pid != (uint64_t)getpid()))) {
        return 0;
    }
    return (unsigned)(micros / 2000);
}
