/* Two functions that libmilter calls and this program defines in libc's place. See interpose.c. */
#ifndef CONSENT_MILTER_INTERPOSE_H
#define CONSENT_MILTER_INTERPOSE_H

/* From now on a signal to stop first waits until no message is under way, at most this long. */
void cm_interpose_drain_for(unsigned seconds);

/* From now on SIGHUP and SIGUSR1 call this, in libmilter's signal thread, and nothing else. Both must be blocked in
 * every thread. */
void cm_interpose_on_reload(void (*reload)(void *context), void *context);

#endif
