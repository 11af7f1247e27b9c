/*
 * Runs a fuzz target over every file of the directories named on the command line, so that what a fuzzer once found is
 * looked at in every ordinary test run, with any compiler. Each input lies in memory of exactly its size, so that a
 * sanitizer sees a read beyond it. A directory without a file is a failure: it would prove nothing.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run_file(const char *path)
{
    struct stat about;
    FILE *in = fopen(path, "rb");
    if (in == NULL || fstat(fileno(in), &about) != 0 || about.st_size > INPUT_MAX) {
        (void)fprintf(stderr, "%s: cannot be read, or larger than %d bytes\n", path, INPUT_MAX);
        if (in != NULL) {
            (void)fclose(in); /* read only */
        }
        return false;
    }
    size_t size = (size_t)about.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    bool ok = data != NULL && fread(data, 1, size, in) == size;
    (void)fclose(in); /* read only */
    if (ok) {
        (void)fprintf(stderr, "%s\n", path); /* said before the run: after a crash the last line names the input */
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return ok;
}

/* Returns how many files were run, or -1. */
static int run_directory(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    if (directory == NULL) {
        (void)fprintf(stderr, "%s: cannot be opened\n", path);
        return -1;
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char file[4096];
        struct stat about;
        int len = snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof(file) || stat(file, &about) != 0) {
            count = -1;
            break;
        }
        if (!S_ISREG(about.st_mode)) {
            continue;
        }
        if (!run_file(file)) {
            count = -1;
            break;
        }
        count++;
    }
    (void)closedir(directory); /* read only */
    return count;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (int i = 1; i < argc; i++) {
        int count = run_directory(argv[i]);
        if (count <= 0) {
            (void)fprintf(stderr, "%s: no input was run to its end\n", argv[i]);
            return EXIT_FAILURE;
        }
        (void)printf("%s: %d inputs\n", argv[i], count);
    }
    return EXIT_SUCCESS;
}
