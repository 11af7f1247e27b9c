/*
 * The ceilings. Everything that grows with input from outside has one here, and what happens on reaching it is written
 * beside it and tested.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define CM_LIMIT_STREAMS 4096            /* more is a configuration error */
#define CM_LIMIT_PATTERN_BYTES 255       /* longer is a configuration error */
#define CM_LIMIT_OPEN_RECIPIENTS 10000   /* recipients of one message waiting for its end; one more is deferred (452) */
#define CM_LIMIT_HEADERS_KEPT 4096       /* headers of one message that streams ask about; one more defers it */
#define CM_LIMIT_HEADER_VALUE_BYTES 2048 /* a longer value is kept cut: it matches only patterns that end in '*' */
#define CM_LIMIT_HEADER_BYTES 1048576    /* of the headers of one message that are kept; one more byte defers it */
#define CM_LIMIT_SESSIONS 100000         /* of limits.sessions; more is a configuration error */
#define CM_LIMIT_MESSAGE_BYTES (4 * 1048576) /* memory one message may hold; beyond it the message is deferred */
#define CM_LIMIT_SCRATCH_BYTES                                                                                      \
    (16 * 1048576)                          /* memory for judging it once, all records included; beyond it likewise \
                                             */
#define CM_LIMIT_PURPOSE_BYTES 128          /* "sender/purpose", with all levels */
#define CM_LIMIT_LOOKUP_BATCH 500           /* recipients in one pipeline; more are asked in turns */
#define CM_LIMIT_REPLY_BYTES (16 * 1048576) /* one answer of Redis; a larger one is malformed */
#define CM_LIMIT_RECORDS 1024               /* records of one subject; more is malformed */
#define CM_LIMIT_EVIDENCE_BYTES 4096        /* one evidence document */
#define CM_LIMIT_NOTE_BYTES 262144          /* one note of the ledger: a table of all streams */
#define CM_LIMIT_REF_BYTES 32               /* a sender's own reference */
#define CM_LIMIT_STATEMENT_BYTES 65536      /* text of one statement */
#define CM_LIMIT_KEEPERS 16                 /* whose beat a look-up asks for; more is a configuration error */
#define CM_LIMIT_KEEPER_NAME_BYTES 32       /* longer is a configuration error */
#define CM_LIMIT_USES_QUEUED 4096           /* uses waiting to be written; more are left by later mail */
#define CM_LIMIT_REFUSALS_QUEUED 2048       /* refusals waiting to be written; more are counted as lost */

/* What an answer may take; mail servers wait longer, but a client that waits has given up before (milliseconds). */
#define CM_BUDGET_RCPT_MS 1000U /* store.timeout must fit in it */
#define CM_BUDGET_END_MS 5000U  /* all look-ups of one message's end together */

#endif
