#include "directory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS 10

static const char suffix[] = ".journal";

void cm_journal_name(uint64_t number, char out[CM_JOURNAL_NAME_BYTES])
{
    assert(number <= CM_JOURNAL_NUMBER_MAX);
    (void)snprintf(out, CM_JOURNAL_NAME_BYTES, "%010llu.journal", (unsigned long long)number); /* fits, see above */
}

/* Whoever may write to the directory can take a withdrawal out of the journal. */
static bool is_private(int fd, const char *path, struct cm_err *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        cm_err_set(err, "%s: %s", path, strerror(errno));
        return false;
    }
    if (about.st_uid != geteuid()) {
        cm_err_set(err, "%s: belongs to user %lu, but this process is user %lu", path, (unsigned long)about.st_uid,
                   (unsigned long)geteuid());
        return false;
    }
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        cm_err_set(err, "%s: others may write to it (mode %04o); chmod go-w", path, (unsigned)about.st_mode & 07777U);
        return false;
    }
    return true;
}

static enum cm_journal_status lock(int fd, const char *path, struct cm_err *err)
{
    int result = 0;
    do {
        result = flock(fd, LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result == 0) {
        return CM_JOURNAL_OK;
    }
    if (errno == EWOULDBLOCK) {
        cm_err_set(err, "%s: another process has this journal open", path);
        return CM_JOURNAL_LOCKED;
    }
    cm_err_set(err, "%s: cannot be locked: %s", path, strerror(errno));
    return CM_JOURNAL_FAILED;
}

enum cm_journal_status cm_journal_directory_open(const char *path, int *out_fd, struct cm_err *err)
{
    int fd = -1;
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0) {
        cm_err_set(err, "%s: %s", path, strerror(errno));
        return CM_JOURNAL_FAILED;
    }
    enum cm_journal_status status = is_private(fd, path, err) ? lock(fd, path, err) : CM_JOURNAL_FAILED;
    if (status != CM_JOURNAL_OK) {
        (void)close(fd); /* nothing was written through it */
        return status;
    }
    *out_fd = fd;
    return CM_JOURNAL_OK;
}

bool cm_journal_directory_sync_parent(int fd, struct cm_err *err)
{
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = parent >= 0 && fsync(parent) == 0;
    if (!ok) {
        cm_err_set(err, "the parent of the journal's directory cannot be synced: %s", strerror(errno));
    }
    if (parent >= 0) {
        (void)close(parent); /* synced or failed by now */
    }
    return ok;
}

struct list {
    uint64_t *numbers;
    size_t count;
    size_t room;
};

static enum cm_journal_status append(struct list *list, uint64_t number, struct cm_err *err)
{
    if (list->count == CM_JOURNAL_FILES_MAX) {
        cm_err_set(err, "more than %d journal files", CM_JOURNAL_FILES_MAX);
        return CM_JOURNAL_FAILED;
    }
    if (list->count == list->room) {
        size_t room = list->room > 0 ? list->room * 2 : 16;
        uint64_t *numbers = realloc(list->numbers, room * sizeof(*numbers));
        if (numbers == NULL) {
            cm_err_set(err, "no memory for the list of journal files");
            return CM_JOURNAL_FAILED;
        }
        list->numbers = numbers;
        list->room = room;
    }
    list->numbers[list->count++] = number;
    return CM_JOURNAL_OK;
}

static enum cm_journal_status take_name(struct list *list, const char *name, struct cm_err *err)
{
    size_t len = strlen(name);
    size_t suffix_len = sizeof(suffix) - 1;
    uint64_t number = 0;
    if (len < suffix_len || strcmp(name + len - suffix_len, suffix) != 0) {
        return CM_JOURNAL_OK;
    }
    if (len != DIGITS + suffix_len || !cm_parse_u64((struct cm_span){name, DIGITS}, CM_JOURNAL_NUMBER_MAX, &number) ||
        number == 0) {
        cm_err_set(err, "%s: not a name of a journal file; move it away", name);
        return CM_JOURNAL_DAMAGED;
    }
    return append(list, number, err);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum cm_journal_status list_all(DIR *directory, struct list *list, struct cm_err *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            break;
        }
        enum cm_journal_status status = take_name(list, entry->d_name, err);
        if (status != CM_JOURNAL_OK) {
            return status;
        }
    }
    if (errno != 0) {
        cm_err_set(err, "the journal's directory cannot be read: %s", strerror(errno));
        return CM_JOURNAL_FAILED;
    }
    if (list->count > 0) {
        qsort(list->numbers, list->count, sizeof(*list->numbers), compare);
    }
    return CM_JOURNAL_OK;
}

enum cm_journal_status cm_journal_directory_list(int fd, uint64_t **out, size_t *out_count, struct cm_err *err)
{
    struct list list = {.numbers = NULL};
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a stream closes its descriptor */
    DIR *directory = own >= 0 ? fdopendir(own) : NULL;
    enum cm_journal_status status = CM_JOURNAL_FAILED;
    if (directory != NULL) {
        status = list_all(directory, &list, err);
        (void)closedir(directory); /* read only */
    } else {
        cm_err_set(err, "the journal's directory cannot be read: %s", strerror(errno));
        if (own >= 0) {
            (void)close(own); /* read only */
        }
    }
    if (status != CM_JOURNAL_OK) {
        free(list.numbers);
        return status;
    }
    *out = list.numbers;
    *out_count = list.count;
    return CM_JOURNAL_OK;
}
