#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ops/process.h"

static double clock_s(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now); /* cannot fail for these clocks */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Fields of /proc/self/stat as proc(5) numbers them. */
enum { FIELD_UTIME = 14, FIELD_STIME = 15, FIELD_THREADS = 20, FIELD_STARTED = 22, FIELD_PAGES = 24, FIELDS };

/* The name, field 2, may hold anything: what follows is counted from its closing bracket. */
static bool read_fields(unsigned long long fields[FIELDS])
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t len = file != NULL ? fread(line, 1, sizeof(line) - 1, file) : 0;
    if (file != NULL) {
        (void)fclose(file); /* only read */
    }
    line[len] = '\0';
    char *rest = strrchr(line, ')');
    char *word = rest != NULL ? strtok_r(rest + 1, " ", &rest) : NULL;
    unsigned number = 3; /* the state, a letter */
    for (; word != NULL && number < FIELDS; number++) {
        fields[number] = strtoull(word, NULL, 10); /* those that may be negative are not asked for */
        word = strtok_r(NULL, " ", &rest);
    }
    return number == FIELDS;
}

static void read_stat(struct cm_process_measure *out)
{
    unsigned long long fields[FIELDS] = {0};
    double ticks = (double)sysconf(_SC_CLK_TCK);
    if (!read_fields(fields)) {
        return;
    }
    out->threads = fields[FIELD_THREADS];
    out->resident_bytes = fields[FIELD_PAGES] * (unsigned long long)sysconf(_SC_PAGESIZE);
    out->cpu_s = (double)(fields[FIELD_UTIME] + fields[FIELD_STIME]) / ticks;
    out->started_at_s = clock_s(CLOCK_REALTIME) - clock_s(CLOCK_BOOTTIME) + (double)fields[FIELD_STARTED] / ticks;
}

static uint64_t count_descriptors(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        (void)closedir(directory); /* only read */
    }
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

void cm_process_measure(struct cm_process_measure *out)
{
    struct rlimit limit;
    *out = (struct cm_process_measure){.open_descriptors = count_descriptors()};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        out->max_descriptors = limit.rlim_cur;
    }
    read_stat(out);
}
