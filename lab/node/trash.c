/* Removing a volume of a hundred thousand files takes seconds, which probes and other pods do not
 * have. So a directory is only renamed into STATE/trash; that is renamed to STATE/trash.going, and
 * a child process removes it. One child at a time, which dies with the node. A process and no
 * thread, because containers are cloned from this one without fork's care for locks. */
#include "lab/node/trash.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "lab/file_tree.h"
#include "lab/node/container.h"

enum { RETRY_MS = 1000 };

struct trash {
    struct loop *loop;
    struct loop_timer *retry;
    char *dir, *going;
    unsigned names; /* given so far */
    pid_t pid;      /* 0 = nothing is being removed */
};

static void work(struct trash *t);

static void on_exit_of(pid_t pid, int status, void *user)
{
    struct trash *t = user;
    (void)pid;
    t->pid = 0;
    if (status) /* a container that is being killed may still write */
        loop_timer_start(t->retry, RETRY_MS);
    else
        work(t);
}

static void on_retry(void *user)
{
    work(user);
}

static void __attribute__((noreturn)) child_main(const struct trash *t)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)close_range(3, ~0U, 0); /* sockets and pipes end when the node says so */
    struct err err = {0};
    if (tree_remove(t->going, &err) == 0)
        _exit(0);
    log_warn("files of pods that are gone stay for now", kv_s("error", err_text(&err)));
    _exit(1);
}

static void work(struct trash *t)
{
    if (t->pid || (access(t->going, F_OK) < 0 && rename(t->dir, t->going) < 0))
        return;
    pid_t pid = fork();
    if (pid == 0)
        child_main(t);
    if (pid > 0 && loop_child_add(t->loop, pid, on_exit_of, t) == 0)
        t->pid = pid;
}

struct trash *trash_new(struct loop *l, const char *state_dir)
{
    struct trash *t = NEW(struct trash);
    t->loop = l;
    t->dir = xasprintf("%s/trash", state_dir);
    t->going = xasprintf("%s/trash.going", state_dir);
    t->retry = loop_timer_new(l, on_retry, t);
    work(t);
    return t;
}

void trash_put(struct trash *t, const char *path)
{
    struct err err = {0};
    int r = directory_make(t->dir, 0700, &err);
    while (r == 0) {
        AUTO_CHARS char *to = xasprintf("%s/%u", t->dir, t->names++);
        if (rename(path, to) == 0 || errno == ENOENT)
            break;
        if (errno != EEXIST && errno != ENOTEMPTY) /* else of an earlier process: the next name */
            r = err_set(&err, -errno, NULL, "%s: %s", path, strerror(errno));
    }
    if (r < 0)
        log_warn("a pod's files stay", kv_s("error", err_text(&err)));
    work(t);
}

void trash_free(struct trash *t)
{
    if (!t)
        return;
    if (t->pid) {
        loop_child_forget(t->loop, t->pid);
        container_kill(t->pid, SIGKILL);
    }
    loop_timer_free(t->retry);
    free(t->dir);
    free(t->going);
    free(t);
}
