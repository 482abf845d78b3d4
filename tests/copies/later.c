/* Preloaded: the wall clock is LATER seconds ahead, the other clocks are as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    const char *later = getenv("LATER");
    if (result == 0 && clock == CLOCK_REALTIME && later) now->tv_sec += atol(later);
    return result;
}
