/* One container of a pod: image to command, environment, start, exit, restart with back-off.
 *
 * Owns the process's pid and the log of the current run. Decides nothing about the pod: when
 * something happened it calls pod_changed(). A failed start is not an error of the node but a
 * reason in the pod's status and an Event, in kubelet's words, since those are what people search
 * for. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/files.h"
#include "base/rand.h"
#include "base/time.h"
#include "lab/node/container.h"
#include "lab/node/node_priv.h"
#include "lab/node/process_streams.h"

enum {
    BACKOFF_FIRST_MS = 10 * 1000,
    BACKOFF_MAX_MS = 300 * 1000,
    BACKOFF_RESET_MS = 600 * 1000,
    CONFIG_RETRY_MS = 2000,
    MESSAGE_BYTES_MAX = 4096,
    MESSAGE_LOG_LINES = 80,
    MESSAGE_LOG_BYTES = 2048,
};

uint64_t pod_backoff_next(uint64_t *backoff_ms, uint64_t ran_ms)
{
    if (ran_ms >= BACKOFF_RESET_MS)
        *backoff_ms = 0;
    uint64_t wait = *backoff_ms; /* the first restart is at once */
    *backoff_ms = wait ? MIN(wait * 2, (uint64_t)BACKOFF_MAX_MS) : BACKOFF_FIRST_MS;
    return wait;
}

static void set_reason(struct pod_container *c, const char *reason, const char *message)
{
    char *copy = message ? xstrdup(message) : NULL;
    free(c->reason);
    free(c->message);
    c->reason = xstrdup(reason);
    c->message = copy;
}

static void on_retry(void *user)
{
    struct pod_container *c = user;
    pod_changed(c->pod);
}

static void retry_after(struct pod_container *c, uint64_t ms)
{
    if (!c->retry)
        c->retry = loop_timer_new(c->pod->node->loop, on_retry, c);
    loop_timer_start(c->retry, ms);
}

/* Waiting with a reason, to be tried again with back-off. */
static void wait_with(struct pod_container *c, const char *reason, const char *message)
{
    set_reason(c, reason, message);
    c->state = CONTAINER_WAITING;
    uint64_t wait = pod_backoff_next(&c->backoff_ms, 0);
    retry_after(c, wait ? wait : BACKOFF_FIRST_MS);
}

/* ---- environment ---- */

static json_t *find_config(const char *kind, const char *name, void *user)
{
    return pod_inputs_config(((struct pod *)user)->inputs, kind, name);
}

static int container_env(struct pod_container *c, struct env *e, struct err *reterr)
{
    const struct node *n = c->pod->node;
    env_set_runtime(e, "PATH",
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" CONTAINER_BIN);
    AUTO_CHARS char *hostname = pod_kernel_hostname(c->pod);
    env_set_runtime(e, "HOSTNAME", hostname);
    env_set_runtime(e, "HOME", "/root");
    if (json_at_bool(c->spec, "tty", false))
        env_set_runtime(e, "TERM", "xterm");
    pod_services_env(c->pod, n->services_informer, e);
    return env_of_container(e, c->pod->object, c->spec, find_config, c->pod, reterr);
}

/* ---- exit ---- */

/* What the program left in its termination message file; or, if it asked for that and failed, the
 * end of its log. */
static void read_message(struct pod_container *c)
{
    char path[512], text[MESSAGE_BYTES_MAX + 1];
    FILE *f = fopen(pod_dir_file(c->pod, path, sizeof(path), "messages/%s", c->name), "re");
    size_t n = f ? fread(text, 1, MESSAGE_BYTES_MAX, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    container_log_mask_zeros(text, n);
    if (n) {
        free(c->message);
        c->message = xstrdup(text);
    } else if (c->exit_code &&
               streq(json_key_str(c->spec, "terminationMessagePolicy"), "FallbackToLogsOnError")) {
        free(c->message);
        c->message = container_log_tail(c->log, MESSAGE_LOG_LINES, MESSAGE_LOG_BYTES);
    }
}

static void on_exit_of(pid_t pid, int status, void *user)
{
    struct pod_container *c = user;
    (void)pid;
    c->pid = 0;
    c->state = CONTAINER_TERMINATED;
    c->signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    c->exit_code = c->signo ? 128 + c->signo : WEXITSTATUS(status);
    c->finished_s = time_real_s();
    c->ready = c->started = false;
    set_reason(c, c->exit_code ? "Error" : "Completed", NULL);
    pod_container_ended(c);
    container_log_finish(c->log);
    kubelet_attach_end(c);
    read_message(c);
    log_info("container ended", kv_s("pod", c->pod->key), kv_s("container", c->name),
             kv_i("exit", c->exit_code));
    if (pod_container_restarts(c)) {
        uint64_t wait = pod_backoff_next(&c->backoff_ms, time_mono_ms() - c->started_ms);
        if (wait) {
            pod_event(c->pod, "Warning", "BackOff",
                      "Back-off restarting failed container %s in pod %s", c->name, c->pod->name);
            retry_after(c, wait);
        }
    }
    pod_changed(c->pod);
}

/* ---- start ---- */

static json_t *terminated_state(const struct pod_container *c)
{
    char started[21], finished[21];
    time_format_rfc3339(c->started_s, started);
    time_format_rfc3339(c->finished_s, finished);
    json_t *t =
        json_pack("{s:i,s:s,s:s,s:s,s:s}", "exitCode", c->exit_code, "reason", c->reason,
                  "startedAt", started, "finishedAt", finished, "containerID", c->id ? c->id : "");
    if (c->signo)
        json_put_int(t, "signal", c->signo);
    if (c->message)
        json_put_str(t, "message", c->message);
    return json_pack("{s:o}", "terminated", t);
}

static void begin_run(struct pod_container *c)
{
    char uuid[37];
    if (c->state == CONTAINER_TERMINATED) {
        json_decref(c->last_state);
        c->last_state = terminated_state(c);
        c->restarts++;
    }
    rand_uuid(uuid);
    free(c->id);
    c->id = xasprintf("fairlead://%s", uuid);
    if (c->log) {
        free(c->last_log);
        c->last_log = xstrdup(container_log_path(c->log));
        container_log_free(c->log);
        c->log = NULL;
    }
    c->is_ending = false;
    c->runs++;
}

static int open_log(struct pod_container *c, struct process_streams *f, struct err *reterr)
{
    char path[512];
    if (c->runs > 2) { /* one run before the last is enough */
        pod_dir_file(c->pod, path, sizeof(path), "logs/%s.%u.log", c->name, c->runs - 2);
        (void)remove(path);
    }
    pod_dir_file(c->pod, path, sizeof(path), "logs/%s.%u.log", c->name, c->runs);
    int r = container_log_new(c->pod->node->loop, path, f->out[0], f->out[1], &c->log, reterr);
    if (r == 0)
        f->out[0] = f->out[1] = -1;
    return r;
}

static void on_input_room(void *user)
{
    kubelet_attach_room(user);
}

static int spawn_with(struct pod_container *c, char **argv, const struct process_streams *f,
                      const container_mounts *mounts, struct err *reterr)
{
    struct pod *p = c->pod;
    const struct node_options *o = p->node->options;
    const char *target_name = json_key_str(c->spec, "targetContainerName");
    const struct pod_container *target = target_name ? pod_container_find(p, target_name) : NULL;
    char scratch[512];
    pod_dir_file(p, scratch, sizeof(scratch), "scratch/%s", c->name);
    int r = directory_make(scratch, 0755, reterr);
    struct container_spec s = {.argv = argv,
                               .envp = c->envp,
                               .cwd = json_key_str(c->spec, "workingDir"),
                               .in = f->process[0],
                               .out = f->process[1],
                               .err = f->process[2],
                               .tty = json_at_bool(c->spec, "tty", false),
                               .netns = p->net.netns,
                               .ipcns = p->ipcns,
                               .utsns = p->utsns,
                               .share_pids = target ? target->pid : 0,
                               .scratch = scratch,
                               .program_dir = o->program_dir,
                               .hidden = o->hidden,
                               .mounts = mounts->v,
                               .n_mounts = mounts->n};
    pod_security_apply(c, &s);
    return r < 0 ? r : container_spawn(&s, &c->pid, reterr);
}

static int spawn(struct pod_container *c, char **argv, const struct env *e,
                 const container_mounts *mounts, struct err *reterr)
{
    struct process_streams f;
    bool tty = json_at_bool(c->spec, "tty", false);
    int r = process_streams_open(&f, tty, json_at_bool(c->spec, "stdin", false), reterr);
    if (r == 0)
        r = open_log(c, &f, reterr);
    argv_free(c->envp);
    c->envp = env_to_envp(e);
    if (r == 0)
        r = spawn_with(c, argv, &f, mounts, reterr);
    if (r == 0 && f.in >= 0)
        c->input = process_input_new(c->pod->node->loop, TAKE_FD(f.in), tty, on_input_room, c);
    process_streams_done(&f);
    return r;
}

static void started(struct pod_container *c)
{
    c->state = CONTAINER_RUNNING;
    c->started_s = time_real_s();
    c->started_ms = time_mono_ms();
    c->was_killed = false;
    set_reason(c, "", NULL);
    pod_event(c->pod, "Normal", "Created", "Created container: %s", c->name);
    pod_event(c->pod, "Normal", "Started", "Started container %s", c->name);
    log_info("container started", kv_s("pod", c->pod->key), kv_s("container", c->name),
             kv_i("pid", c->pid));
    if (loop_child_add(c->pod->node->loop, c->pid, on_exit_of, c) < 0)
        log_error("cannot watch a container's process", kv_s("pod", c->pod->key),
                  kv_i("pid", c->pid));
    pod_container_post_start(c);
}

/* NULL: answered with a reason in the status. */
static const struct image *find_image(struct pod_container *c)
{
    const char *name = json_key_str(c->spec, "image");
    const struct image *image = name ? image_find(c->pod->node->options->images, name) : NULL;
    char text[512];
    if (image)
        return image;
    if (!name || !image_reference_is_valid(name)) {
        snprintf(text, sizeof(text), "couldn't parse image name \"%s\": invalid reference format",
                 name ? name : "");
        pod_event(c->pod, "Warning", "InspectFailed",
                  "Failed to apply default image tag \"%s\": %s", name ? name : "", text);
        wait_with(c, "InvalidImageName", text);
        return NULL;
    }
    snprintf(text, sizeof(text),
             "the lab has no command for image \"%s\"; say which one stands for it: fairlead lab "
             "image '%s=COMMAND'",
             name, name);
    bool again = streq(c->reason, "ErrImagePull") || streq(c->reason, "ImagePullBackOff");
    pod_event(c->pod, "Warning", "Failed", "Failed to pull image \"%s\": %s", name, text);
    pod_event(c->pod, "Warning", "Failed",
              again ? "Error: ImagePullBackOff" : "Error: ErrImagePull");
    wait_with(c, again ? "ImagePullBackOff" : "ErrImagePull", text);
    return NULL;
}

static void fail_start(struct pod_container *c, const char *reason, const struct err *err)
{
    pod_event(c->pod, "Warning", "Failed", "Error: %s", err_text(err));
    log_warn("container did not start", kv_s("pod", c->pod->key), kv_s("container", c->name),
             kv_s("error", err_text(err)));
    wait_with(c, reason, err_text(err));
}

/* A program that cannot be executed counts as a run that ended, as with a real runtime. */
static void fail_run(struct pod_container *c, const struct err *err)
{
    pod_event(c->pod, "Warning", "Failed", "Error: failed to start container \"%s\": %s", c->name,
              err_text(err));
    log_warn("container did not start", kv_s("pod", c->pod->key), kv_s("container", c->name),
             kv_s("error", err_text(err)));
    c->state = CONTAINER_TERMINATED;
    c->exit_code = err->code == -ENOENT || err->code == -EACCES ? 127 : 128;
    c->started_s = c->finished_s = time_real_s();
    set_reason(c, "StartError", err_text(err));
    container_log_finish(c->log);
    if (!pod_container_restarts(c))
        return;
    uint64_t wait = pod_backoff_next(&c->backoff_ms, 0);
    retry_after(c, wait ? wait : 1000);
}

/* What the spec asks for, with what it refers to. Failing is no run: it is tried again, as what it
 * refers to may come or change. */
static int configure(struct pod_container *c, struct env *e, container_mounts *mounts,
                     struct err *reterr)
{
    int r = pod_security_check(c, reterr);
    if (r == 0)
        r = container_env(c, e, reterr);
    bool referred = r < 0;
    if (r == 0)
        r = pod_container_mounts(c, e, mounts, reterr);
    if (r == 0)
        return 0;
    fail_start(c, "CreateContainerConfigError", reterr);
    if (!referred || pod_inputs_retry(c->pod->inputs))
        retry_after(c, CONFIG_RETRY_MS);
    return r;
}

void pod_container_start(struct pod_container *c)
{
    AUTO_DONE(env) struct env e = {0};
    AUTO_DONE(container_mounts) container_mounts mounts = {0};
    struct err err = {0};
    const struct image *image = find_image(c);
    if (!image || configure(c, &e, &mounts, &err) < 0)
        return;
    char **argv = pod_container_argv(c, image, &e);
    if (!argv) {
        (void)err_set(&err, -EINVAL, NULL, "no command specified");
        fail_start(c, "CreateContainerError", &err);
    } else {
        pod_event(c->pod, "Normal", "Pulled", "Container image \"%s\" already present on machine",
                  json_key_str(c->spec, "image"));
        begin_run(c);
        if (spawn(c, argv, &e, &mounts, &err) == 0)
            started(c);
        else if (c->log)
            fail_run(c, &err);
        else
            fail_start(c, "CreateContainerError", &err);
    }
    argv_free(argv);
}

void pod_container_images_changed(struct pod_container *c)
{
    if (c->state != CONTAINER_WAITING || !pod_container_waits(c) ||
        (!streq(c->reason, "ErrImagePull") && !streq(c->reason, "ImagePullBackOff")))
        return;
    loop_timer_stop(c->retry);
    pod_changed(c->pod);
}

void pod_container_done(struct pod_container *c)
{
    if (c->pid) {
        loop_child_forget(c->pod->node->loop, c->pid);
        container_kill(c->pid, SIGKILL);
    }
    pod_container_ended(c);
    kubelet_attach_end(c);
    container_log_free(c->log);
    argv_free(c->envp);
    loop_timer_free(c->kill_timer);
    loop_timer_free(c->retry);
    json_decref(c->last_state);
    json_decref(c->own_spec);
    free(c->last_log);
    free(c->reason);
    free(c->message);
    free(c->id);
}
