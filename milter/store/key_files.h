/* Files of the key directory: how they are read, made and refused. Every failure leaves a text in err. */
#ifndef STORE_KEY_FILES_H
#define STORE_KEY_FILES_H

#include <stdint.h>

#include "base/result.h"
#include "base/text.h"

#define CM_KEY_PATH_BYTES 1024

/* A secret is for its owner (0400; 0440 is let pass), a public key may be read by all. */
enum cm_key_file { CM_KEY_FILE_UNSET = 0, CM_KEY_FILE_SECRET, CM_KEY_FILE_PUBLIC };

bool cm_key_path(const char *directory, const char *name, char out[CM_KEY_PATH_BYTES], struct cm_err *err);
bool cm_key_exists(const char *directory, const char *name);
/* Reads a regular file of exactly `size` bytes which nobody else may have changed or, if it is a secret, read. */
bool cm_key_read(const char *directory, const char *name, enum cm_key_file sort, uint8_t *out, size_t size,
                 struct cm_err *err);
/* Makes a file that must not exist, and syncs it and its directory. */
bool cm_key_write(const char *directory, const char *name, enum cm_key_file sort, const uint8_t *bytes, size_t size,
                  struct cm_err *err);
bool cm_key_sync(const char *directory, struct cm_err *err);

#endif
