/* Stands between a program and the system: counts the calls that change the disk, and at the n-th
   kills the process, cuts the call short or refuses it. Loaded by LD_PRELOAD, set up by arm(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, BEFORE, HALF, AFTER, ONCE, EVER };
static int mode, at, error, count, armed;

void arm(int new_mode, int new_at, int new_error) {
    mode = new_mode, at = new_at, error = new_error, count = 0, armed = 1;
}
int disarm(void) {
    armed = 0;
    return count;
}
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* What to do about a call: 0 to make it, 1 to make half of it and die, 2 to die after it, -1 no. */
static int due(void) {
    if (!armed) return 0;
    count++;
    if (mode == EVER ? count < at : count != at) return 0;
    if (mode == BEFORE) die();
    if (mode == ONCE || mode == EVER) { errno = error; return -1; }
    return mode == HALF ? 1 : mode == AFTER ? 2 : 0;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define CALL(name, part, whole)                                                                    \
    REAL(name);                                                                                    \
    int what = due();                                                                              \
    if (what < 0) return -1;                                                                       \
    if (what == 1) { part; die(); }                                                                \
    __typeof__(whole) result = whole;                                                              \
    if (what == 2) die();                                                                          \
    return result

ssize_t write(int fd, const void *data, size_t size) {
    if (fd < 3) { REAL(write); return real(fd, data, size); }
    CALL(write, real(fd, data, size / 2), real(fd, data, size));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    CALL(pwrite, real(fd, data, size / 2, offset), real(fd, data, size, offset));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    CALL(pwrite64, real(fd, data, size / 2, offset), real(fd, data, size, offset));
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    if (fd < 3) { REAL(writev); return real(fd, parts, n); }
    CALL(writev, real(fd, parts, n / 2), real(fd, parts, n));
}
int fsync(int fd) { CALL(fsync, , real(fd)); }
int fdatasync(int fd) { CALL(fdatasync, , real(fd)); }
int ftruncate(int fd, off_t size) { CALL(ftruncate, , real(fd, size)); }
int ftruncate64(int fd, off64_t size) { CALL(ftruncate64, , real(fd, size)); }
int rename(const char *from, const char *to) { CALL(rename, , real(from, to)); }
int unlink(const char *path) { CALL(unlink, , real(path)); }
int mkdir(const char *path, mode_t rights) { CALL(mkdir, , real(path, rights)); }

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        mode_t rights = 0;                                                                         \
        if (flags & O_CREAT) {                                                                     \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            rights = va_arg(more, mode_t);                                                         \
            va_end(more);                                                                          \
        } else {                                                                                   \
            REAL(name);                                                                            \
            return real(path, flags);                                                              \
        }                                                                                          \
        CALL(name, , real(path, flags, rights));                                                   \
    }
OPEN(open)
OPEN(open64)
