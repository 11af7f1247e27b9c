/*
 * What a service manager wants to hear (sd_notify(3)), without its library: a datagram to the socket that NOTIFY_SOCKET
 * names. Without that variable everything here does nothing. Thread-safe.
 */
#ifndef OPS_NOTIFY_H
#define OPS_NOTIFY_H

/* Sends lines of NAME=VALUE, as "READY=1\nSTATUS=serving"; a manager that cannot be reached is no trouble of ours. */
void cm_notify(const char *lines);
/* The same for a reload that begins: READY=1 must follow. */
void cm_notify_reloading(void);
/* How often WATCHDOG=1 is due, in ms: half of what WATCHDOG_USEC says, or 0 if nobody watches this process. */
unsigned cm_notify_watchdog_ms(void);

#endif
