#!/usr/bin/env bash
# core and base are pure: they read no clock, no file, no environment and no randomness, and print and log nothing. This
# looks at what their archives ask of the C library (nm -u), where no macro can hide it.
#
#   check-core-symbols.sh LIBRARY.a...
#
# Exit 0 without a finding, 1 with some, 2 if it could not look.
set -euo pipefail

if (($# == 0)); then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT

for library in "$@"; do
    if [[ ! -s $library ]] || ! nm -A -u "$library" >"$findings.nm" 2>/dev/null || [[ ! -s $findings.nm ]]; then
        rm -f "$findings.nm"
        echo "$library: no archive with symbols; build it first" >&2
        exit 2
    fi
    awk '
        function deny(why, names,    list, i, n) {
            n = split(names, list, " ")
            for (i = 1; i <= n; i++) { denied[list[i]] = why }
        }
        BEGIN {
            deny("reads a clock; take the instant as an argument",
                 "time clock clock_gettime clock_getres gettimeofday times ftime localtime localtime_r gmtime gmtime_r " \
                 "mktime timegm tzset strftime nanosleep clock_nanosleep sleep usleep timespec_get ctime ctime_r asctime")
            deny("reads the environment or a locale; take the value as an argument",
                 "getenv secure_getenv environ setenv putenv unsetenv setlocale newlocale uselocale localeconv " \
                 "nl_langinfo getpid getppid getuid geteuid gethostname uname sysconf")
            deny("touches files or descriptors; let a layer above do it",
                 "open open64 openat openat64 creat fopen fopen64 fdopen freopen fclose fread fwrite fgets fgetc getc " \
                 "getline read pread readv write pwrite writev close lseek stat stat64 fstat fstat64 lstat access " \
                 "unlink rename mkdir opendir readdir mmap ioctl fcntl fcntl64 dup dup2 pipe pipe2 tmpfile mkstemp")
            deny("touches the network; let a layer above do it",
                 "socket connect bind listen accept accept4 send sendto sendmsg recv recvfrom recvmsg poll ppoll select " \
                 "epoll_create epoll_create1 epoll_wait epoll_ctl getaddrinfo freeaddrinfo gethostbyname res_query")
            deny("draws random numbers; take them as an argument",
                 "rand rand_r srand random srandom drand48 lrand48 getrandom getentropy arc4random arc4random_buf " \
                 "arc4random_uniform RAND_bytes RAND_priv_bytes RAND_bytes_ex")
            deny("prints or logs; return what is to be said",
                 "printf vprintf puts putchar putc fputc fputs fprintf vfprintf dprintf vdprintf perror stdout stderr " \
                 "stdin syslog vsyslog openlog ERR_print_errors ERR_print_errors_fp warn warnx err errx")
            deny("ends or replaces the process; return a result",
                 "exit _exit _Exit quick_exit abort fork vfork execve execvp system popen raise kill signal sigaction")
            deny("starts or waits for threads; core knows one caller at a time",
                 "pthread_create pthread_join pthread_mutex_lock pthread_cond_wait pthread_once thrd_create mtx_lock")
            deny("keeps hidden state between calls or is unbounded; use the reentrant or bounded form",
                 "strtok strerror inet_ntoa sprintf vsprintf strcpy strcat gets setjmp longjmp alloca strdup strndup " \
                 "asprintf vasprintf getopt getopt_long")
            allocates = " malloc calloc realloc reallocarray aligned_alloc posix_memalign free "
            # Who may allocate, and what it gives back: arena.c its chunks, subject.c its hasher; address_local.c frees
            # what libunistring returned.
            may_allocate = " arena.c.o subject.c.o "
            may_free = " arena.c.o subject.c.o address_local.c.o "
        }
        $(NF - 1) == "U" || $(NF - 1) == "w" {
            object = $1
            sub(/:$/, "", object)
            sub(/^.*:/, "", object)
            symbol = $NF
            sub(/@.*/, "", symbol)
            if (symbol ~ /^__(asan|ubsan|tsan|msan|lsan|sanitizer|sancov|gcov|llvm)_/ || symbol ~ /^__stack_chk_/) { next }
            # Fortified and redirected forms stand for the function itself: __printf_chk, __isoc99_sscanf, __open_2.
            plain = symbol
            if (plain ~ /^__.*_chk$/) { sub(/^__/, "", plain); sub(/_chk$/, "", plain) }
            if (plain ~ /^__.*_2$/) { sub(/^__/, "", plain); sub(/_2$/, "", plain) }
            sub(/^__isoc[0-9]+_/, "", plain)
            if (plain in denied) {
                printf "%s: %s %s\n", object, symbol, denied[plain]
            } else if (index(allocates, " " plain " ")) {
                allowed = plain == "free" ? may_free : may_allocate
                if (!index(allowed, " " object " ")) {
                    printf "%s: %s: only %s may; take storage of the caller or an arena, or name the file here\n",
                        object, symbol, allowed
                }
            }
        }
    ' "$findings.nm" | sed "s|^|$(basename "$library"): |" >>"$findings"
    rm -f "$findings.nm"
done

cat "$findings"
echo "$# libraries, $(wc -l <"$findings") findings"
[[ ! -s $findings ]]
