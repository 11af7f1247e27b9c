/*
 * Why we do not know. Every way in which the store can fail to answer is one enumerator with its own log word and its
 * own test; all of them defer in enforce mode and pass in observe mode. LAW-2
 */
#ifndef CORE_TROUBLE_H
#define CORE_TROUBLE_H

enum cm_trouble {
    CM_TROUBLE_UNSET = 0, /* not asked yet; never an answer */
    CM_TROUBLE_NONE,      /* the store answered */
    CM_TROUBLE_UNREACHABLE,
    CM_TROUBLE_TIMEOUT,
    CM_TROUBLE_CONNECTION_LOST,
    CM_TROUBLE_POOL_EXHAUSTED, /* all connections of the pool stayed busy until the deadline */
    CM_TROUBLE_MAX_CLIENTS,
    CM_TROUBLE_TLS,            /* no TLS there, or one of the two ends does not trust the other */
    CM_TROUBLE_AUTHENTICATION, /* wrong or missing password or user */
    CM_TROUBLE_PASSWORD_FILE,
    CM_TROUBLE_NO_PERMISSION,
    CM_TROUBLE_LOADING,
    CM_TROUBLE_BUSY,
    CM_TROUBLE_NOT_MASTER,
    CM_TROUBLE_CLUSTER,
    CM_TROUBLE_NO_FUNCTION,  /* consent.lua is not loaded, or an older one */
    CM_TROUBLE_CANNOT_WRITE, /* out of memory, disk trouble, too few replicas */
    CM_TROUBLE_ERROR_REPLY,  /* any other error of Redis */
    CM_TROUBLE_PROTOCOL,     /* not Redis' protocol */
    CM_TROUBLE_MALFORMED,    /* an answer of another type, length or version than ours */
    CM_TROUBLE_NO_STORE,     /* no consent store there: never initialised, or wiped */
    CM_TROUBLE_FOREIGN,      /* another consent store */
    CM_TROUBLE_SCHEMA,       /* our store in a layout of another version */
    CM_TROUBLE_WRONG_PEPPER,
    CM_TROUBLE_CHANGED,      /* the store became another one between the two ends of one look-up */
    CM_TROUBLE_CLOCK,        /* Redis' clock stands behind its own records */
    CM_TROUBLE_REGISTRY,     /* registry missing or malformed */
    CM_TROUBLE_BEAT_MISSING, /* a configured keeper has never beaten in this store. LAW-12 */
    CM_TROUBLE_BEAT_STALE,   /* its last beat is too old */
    CM_TROUBLE_INCARNATION,  /* its beat is for another incarnation of the store than this connection's */
    CM_TROUBLE_DOCTOR,       /* the doctor found this run of the server unfit */
    CM_TROUBLE_MEMORY,       /* ours */
    CM_TROUBLE_INTERNAL,     /* a bug of ours */
    CM_TROUBLE_COUNT,
};

/* The word in logs and counters, and a sentence that tells the administrator what to do; never NULL. */
const char *cm_trouble_name(enum cm_trouble trouble);
const char *cm_trouble_advice(enum cm_trouble trouble);

#endif
