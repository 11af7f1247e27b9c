/*
 * The declaration: which configuration a program works by, as a note of the ledger (LAW-16). It names the host, the
 * file, its SHA-256, the mode, and for each stream what may pass it.
 */
#ifndef SERVICE_DECLARATION_H
#define SERVICE_DECLARATION_H

#include "settings/settings.h"
#include "store/store.h"

struct cm_declaration;
struct json_t;

/* `program` is the author, as "consent-milter". NULL and err without memory or random bytes. */
struct cm_declaration *cm_declaration_new(const char *program, const struct cm_settings *settings, struct cm_err *err);
/* The same for a document of one's own: a note about what else changed what is permitted. Takes it over. NULL and err.
 */
struct cm_declaration *cm_declaration_of_note(struct json_t *document, struct cm_err *err);
void cm_declaration_free(struct cm_declaration *declaration); /* NULL is harmless */

/* Writes it, once: NONE also when it stands already. May be repeated after trouble; never written twice. Belongs to one
 * thread at a time. */
enum cm_trouble cm_declaration_write(struct cm_declaration *declaration, struct cm_store *store, struct cm_err *err);

#endif
