/* Stands between a program and the system: counts the calls that change the disk, and at the n-th
   kills the process, cuts the call short or refuses it. Loaded by LD_PRELOAD, set up by arm().
   Those that were made can be kept in a file, from which power.py rebuilds disks: see keep(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* A line for each call that was made: what, inode, offset, size, path; then the bytes written. */
static int journal = -1;
void keep(const char *path) {
    journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
}
void mark(int number) { if (journal >= 0) dprintf(journal, "mark 0 %d 0 /\n", number); }
static void tell(const char *what, int fd, off_t offset, const void *data, size_t size) {
    struct stat about;
    char link[32], path[4096];
    if (!armed || journal < 0 || fstat(fd, &about)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    dprintf(journal, "%s %lu %ld %zu %s\n", what, (unsigned long)about.st_ino, (long)offset,
            data ? size : 0, path);
    if (data) syscall(SYS_write, journal, data, size);
}
static void tell_path(const char *what, const char *path, const char *other) {
    if (armed && journal >= 0) dprintf(journal, "%s 0 0 0 %s\t%s\n", what, path, other);
}
static off_t now_at(int fd, ssize_t size) { return lseek(fd, 0, SEEK_CUR) - size; }

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
#define CALL(name, part, whole, telling)                                                                    \
    REAL(name);                                                                                    \
    int what = due();                                                                              \
    if (what < 0) return -1;                                                                       \
    if (what == 1) { part; die(); }                                                                \
    __typeof__(whole) result = whole;                                                              \
    if (result >= 0) { telling; }                                                                  \
    if (what == 2) die();                                                                          \
    return result

ssize_t write(int fd, const void *data, size_t size) {
    if (fd < 3) { REAL(write); return real(fd, data, size); }
    CALL(write, real(fd, data, size / 2), real(fd, data, size),
         tell("write", fd, now_at(fd, result), data, result));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    CALL(pwrite, real(fd, data, size / 2, offset), real(fd, data, size, offset),
         tell("write", fd, offset, data, result));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    CALL(pwrite64, real(fd, data, size / 2, offset), real(fd, data, size, offset),
         tell("write", fd, offset, data, result));
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    if (fd < 3) { REAL(writev); return real(fd, parts, n); }
    off_t at = now_at(fd, 0);
    CALL(writev, real(fd, parts, n / 2), real(fd, parts, n),
         for (int i = 0; i < n; at += parts[i++].iov_len)
             tell("write", fd, at, parts[i].iov_base, parts[i].iov_len));
}
int fsync(int fd) { CALL(fsync, , real(fd), tell("sync", fd, 0, 0, 0)); }
int fdatasync(int fd) { CALL(fdatasync, , real(fd), tell("sync", fd, 0, 0, 0)); }
int ftruncate(int fd, off_t size) {
    CALL(ftruncate, , real(fd, size), tell("truncate", fd, size, 0, 0));
}
int ftruncate64(int fd, off64_t size) {
    CALL(ftruncate64, , real(fd, size), tell("truncate", fd, size, 0, 0));
}
int rename(const char *from, const char *to) {
    CALL(rename, , real(from, to), tell_path("rename", from, to));
}
int unlink(const char *path) { CALL(unlink, , real(path), tell_path("unlink", path, "")); }
int mkdir(const char *path, mode_t rights) {
    CALL(mkdir, , real(path, rights), tell_path("mkdir", path, ""));
}

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
        const char *how = access(path, F_OK) ? "create" : flags & O_TRUNC ? "truncate" : "open";   \
        CALL(name, , real(path, flags, rights), tell(how, result, 0, 0, 0));                       \
    }
OPEN(open)
OPEN(open64)
