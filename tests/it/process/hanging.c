/* A host of which a part gives no answer: calls for what lies below HANGING_BELOW, starts of what lies below
 * HANGING_STARTS, look-ups of the user HANGING_USER and of the host HANGING_HOST, and the size of the disk at HANGING_DISK
 * wait while there is a file HANGING_WHILE. It is loaded by LD_PRELOAD, and passes itself on to whatever is started. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define COUNT 7

static const char *NAMES[COUNT] = {"LD_PRELOAD",    "HANGING_BELOW", "HANGING_STARTS", "HANGING_USER",
                                   "HANGING_WHILE", "HANGING_HOST",  "HANGING_DISK"};
static char *passed_on[COUNT];

/* Read once, before the program does anything to its environment. */
__attribute__((constructor)) static void begin(void) {
    for (int n = 0; n < COUNT; n++) {
        const char *value = getenv(NAMES[n]);
        if (value == NULL) continue;
        passed_on[n] = malloc(strlen(NAMES[n]) + strlen(value) + 2);
        strcpy(passed_on[n], NAMES[n]);
        strcat(passed_on[n], "=");
        strcat(passed_on[n], value);
    }
}

static const char *setting(int n) {
    return passed_on[n] == NULL ? NULL : passed_on[n] + strlen(NAMES[n]) + 1;
}

static void wait_there(void) {
    while (setting(4) != NULL && access(setting(4), F_OK) == 0) usleep(20000);
}

static void ask(int n, const char *path) {
    if (path != NULL && setting(n) != NULL && strncmp(path, setting(n), strlen(setting(n))) == 0) wait_there();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict about) {
    ask(1, path);
    return REAL(statx)(at, path, flags, mask, about);
}

int stat64(const char *restrict path, struct stat64 *restrict about) {
    ask(1, path);
    return REAL(stat64)(path, about);
}

int lstat64(const char *restrict path, struct stat64 *restrict about) {
    ask(1, path);
    return REAL(lstat64)(path, about);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    ask(1, path);
    return REAL(open64)(path, flags, mode);
}

int chdir(const char *path) {
    ask(1, path);
    return REAL(chdir)(path);
}

int getpwnam_r(const char *name, struct passwd *user, char *buffer, size_t size, struct passwd **found) {
    if (setting(3) != NULL && strcmp(name, setting(3)) == 0) wait_there();
    return REAL(getpwnam_r)(name, user, buffer, size, found);
}

int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found) {
    if (host != NULL && setting(5) != NULL && strcmp(host, setting(5)) == 0) wait_there();
    return REAL(getaddrinfo)(host, service, hints, found);
}

int statvfs(const char *restrict path, struct statvfs *restrict about) {
    ask(6, path);
    return REAL(statvfs)(path, about);
}

int posix_spawnp(pid_t *id, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char *const arguments[], char *const environment[]) {
    ask(2, file);
    int count = 0, more = 0;
    while (environment[count] != NULL) count++;
    char **all = calloc(count + COUNT + 1, sizeof(char *));
    memcpy(all, environment, count * sizeof(char *));
    for (int n = 0; n < COUNT; n++)
        if (passed_on[n] != NULL) all[count + more++] = passed_on[n];
    int done = REAL(posix_spawnp)(id, file, actions, attributes, arguments, all);
    free(all);
    return done;
}
