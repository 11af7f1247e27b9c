/*
 * libmilter decides alone what SIGTERM does (it stops serving at once, with sessions in the middle of a message) and
 * what happens when descriptors run out (it spins on accept). It offers no hook for either, but it calls sigwait and
 * accept through the dynamic linker, and a program may define these itself. Both stay what POSIX says they are, with
 * one difference each, said below. Nothing else in this program calls them.
 */
#include "interpose.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "callbacks.h"
#include "ops/log.h"
#include "wire_guard.h"

#define POLL_MS 20
#define STARVED_PAUSE_MS 100
#define STARVED_LOG_EVERY_S 10

#define EXPORTED __attribute__((visibility("default")))

static atomic_uint drain_for_s;

/* Set once, before libmilter's signal thread exists. */
static struct {
    void (*call)(void *context);
    void *context;
} on_reload;

void cm_interpose_on_reload(void (*reload)(void *context), void *context)
{
    on_reload.context = context;
    on_reload.call = reload;
}

void cm_interpose_drain_for(unsigned seconds)
{
    atomic_store(&drain_for_s, seconds);
}

static void drain(int signal_number)
{
    int64_t until = cm_clock_monotonic_ms() + (int64_t)atomic_load(&drain_for_s) * 1000;
    cm_door_stop();
    cm_log(CM_LOG_NOTICE, "stopping on signal %d, %d messages under way", signal_number, cm_door_transactions());
    while (cm_door_transactions() > 0 && cm_clock_monotonic_ms() < until) {
        (void)poll(NULL, 0, POLL_MS); /* a short pause; being interrupted is as good */
    }
    if (cm_door_transactions() > 0) {
        cm_log(CM_LOG_WARNING, "%d messages are still under way; the MTA will try them again", cm_door_transactions());
    }
}

/* The differences: a signal to reload is obeyed here and never returned, for libmilter would stop at SIGHUP; another
 * returns only when the messages under way have ended, or the time for that is up. Signals that come meanwhile wait and
 * become one, so no burst of them can end us. */
EXPORTED int sigwait(const sigset_t *set, int *out_signal)
{
    int signal_number = -1;
    sigset_t all = *set;
    (void)sigaddset(&all, SIGUSR1); /* a valid signal */
    while (signal_number < 0) {
        signal_number = sigwaitinfo(&all, NULL);
        if (signal_number < 0 && errno != EINTR) {
            return errno;
        }
        if (signal_number == SIGHUP || signal_number == SIGUSR1) {
            on_reload.call(on_reload.context);
            signal_number = -1;
        }
    }
    drain(signal_number);
    *out_signal = signal_number;
    return 0;
}

/* The difference: without a free descriptor it says so and pauses, instead of letting its caller spin. */
EXPORTED int accept(int fd, struct sockaddr *address, socklen_t *len)
{
    static _Atomic int64_t logged_at_ms = -STARVED_LOG_EVERY_S * 1000;
    int connection = accept4(fd, address, len, SOCK_CLOEXEC);
    if (connection >= 0) {
        cm_wire_guard_opened(connection);
        return connection;
    }
    if (errno != EMFILE && errno != ENFILE) {
        return connection;
    }
    int saved = errno;
    int64_t now = cm_clock_monotonic_ms();
    if (now - atomic_load(&logged_at_ms) >= STARVED_LOG_EVERY_S * 1000) {
        atomic_store(&logged_at_ms, now);
        cm_log(CM_LOG_ERROR, "out of file descriptors: new sessions wait; raise LimitNOFILE (ulimit -n)");
    }
    (void)poll(NULL, 0, STARVED_PAUSE_MS); /* only the pause matters */
    errno = saved;
    return -1;
}
