#include "key_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool cm_key_path(const char *directory, const char *name, char out[CM_KEY_PATH_BYTES], struct cm_err *err)
{
    struct cm_text path = cm_text_over(out, CM_KEY_PATH_BYTES);
    cm_text_add_format(&path, "%s/%s", directory, name);
    if (path.truncated) {
        cm_err_set(err, "%s: the path is too long", directory);
    }
    return !path.truncated;
}

static bool read_open(int fd, const char *path, enum cm_key_file sort, uint8_t *out, size_t size, struct cm_err *err)
{
    struct stat st;
    uint8_t extra;
    mode_t forbidden = sort == CM_KEY_FILE_PUBLIC ? S_IWGRP | S_IWOTH : S_IRWXO | S_IWGRP;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        cm_err_set(err, "%s is not a regular file", path);
        return false;
    }
    if ((st.st_mode & forbidden) != 0) {
        cm_err_set(err, "%s is open to others (mode %03o): chmod %s it", path, (unsigned)st.st_mode & 0777U,
                   sort == CM_KEY_FILE_PUBLIC ? "0444" : "0400");
        return false;
    }
    if (read(fd, out, size) != (ssize_t)size || read(fd, &extra, 1) != 0) {
        cm_err_set(err, "%s is damaged: it must hold exactly %zu bytes; restore it from the backup", path, size);
        return false;
    }
    return true;
}

bool cm_key_read(const char *directory, const char *name, enum cm_key_file sort, uint8_t *out, size_t size,
                 struct cm_err *err)
{
    char path[CM_KEY_PATH_BYTES];
    if (!cm_key_path(directory, name, path, err)) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        const char *advice = errno == ENOENT ? "; `consentctl init` makes it" : "";
        cm_err_set(err, "cannot read %s: %s%s", path, strerror(errno), advice);
        return false;
    }
    bool ok = read_open(fd, path, sort, out, size, err);
    (void)close(fd); /* opened for reading only */
    return ok;
}

bool cm_key_exists(const char *directory, const char *name)
{
    char path[CM_KEY_PATH_BYTES];
    return cm_key_path(directory, name, path, NULL) && access(path, F_OK) == 0;
}

bool cm_key_sync(const char *directory, struct cm_err *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) {
        cm_err_set(err, "cannot sync %s: %s", directory, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd); /* opened for reading only */
    }
    return ok;
}

bool cm_key_write(const char *directory, const char *name, enum cm_key_file sort, const uint8_t *bytes, size_t size,
                  struct cm_err *err)
{
    char path[CM_KEY_PATH_BYTES];
    if (!cm_key_path(directory, name, path, err)) {
        return false;
    }
    mode_t mode = sort == CM_KEY_FILE_PUBLIC ? 0444 : 0400;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok = fd >= 0 && write(fd, bytes, size) == (ssize_t)size && fsync(fd) == 0;
    if (!ok) {
        cm_err_set(err, "cannot write %s: %s", path, strerror(errno));
    }
    if (fd >= 0 && close(fd) != 0 && ok) {
        cm_err_set(err, "cannot write %s: %s", path, strerror(errno));
        ok = false;
    }
    return ok && cm_key_sync(directory, err);
}
