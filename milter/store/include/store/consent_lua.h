/* The Redis Function library `consent` (consent.lua), as text to hand to FUNCTION LOAD. */
#ifndef STORE_CONSENT_LUA_H
#define STORE_CONSENT_LUA_H

extern const char cm_consent_lua[];

#endif
