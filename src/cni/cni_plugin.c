/* A pod that carries no container for it is left alone, and so is every pod while
 * fairlead-cni-node is away: only a pod that needs rules is to wait for them, and that one sees
 * itself that it has none. */
#include "cni/cni_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "cni/cni_config.h"
#include "intercept/interception_apply.h"
#include "intercept/interception_pod.h"
#include "nl/netns.h"

enum {
    AWAY_MS = 5000,    /* so long a node's part that is exchanged is waited for */
    ANSWER_MS = 20000, /* it asks the API server, more than once if need be */
    RETRY_MS = 100,
};

/* ---- what is said ---- */

static int fail(const char *version, enum cni_error code, const char *what, const char *why,
                struct buf *output)
{
    AUTO_JSON json_t *e = json_pack("{s:s,s:i,s:s,s:s}", "cniVersion", version, "code", (int)code,
                                    "msg", what, "details", why);
    json_write(output, e);
    buf_add_cstr(output, "\n");
    return 1;
}

static int say_versions(struct buf *output)
{
    AUTO_JSON json_t *list = json_array();
    for (size_t i = 0; cni_versions[i]; i++)
        json_array_append_new(list, json_string(cni_versions[i]));
    AUTO_JSON json_t *e = json_pack("{s:s,s:O}", "cniVersion", "1.1.0", "supportedVersions", list);
    json_write(output, e);
    buf_add_cstr(output, "\n");
    return 0;
}

/* Nothing of it is ours. */
static int say_previous(const struct cni_config *c, struct buf *output)
{
    AUTO_JSON json_t *result = json_copy((json_t *)(uintptr_t)c->prev_result);
    json_object_set_new(result, "cniVersion", json_string(c->version));
    json_write(output, result);
    buf_add_cstr(output, "\n");
    return 0;
}

/* ---- fairlead-cni-node ---- */

static int connect_once(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (!n || n >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, n);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int connect_to(const char *path)
{
    uint64_t end = time_mono_ms() + AWAY_MS;
    int fd = connect_once(path);
    while ((fd == -ENOENT || fd == -ECONNREFUSED) && time_mono_ms() < end) {
        (void)poll(NULL, 0, RETRY_MS);
        fd = connect_once(path);
    }
    return fd;
}

static int receive(int fd, struct buf *ret)
{
    uint64_t end = time_mono_ms() + ANSWER_MS;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char part[4096];
    ssize_t n = 1;
    while (n > 0) {
        uint64_t now = time_mono_ms();
        if (now >= end || poll(&p, 1, (int)(end - now)) == 0)
            return -ETIMEDOUT;
        n = recv(fd, part, sizeof(part), 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            buf_add(ret, part, (size_t)n);
        if (ret->n > CNI_PACKET_BYTES_MAX)
            return -EMSGSIZE;
    }
    return 0;
}

/* What it knows of the pod. -ENOENT, -ECONNREFUSED: it is away. */
static int ask(const char *path, struct str ns, struct str name, json_t **ret, struct err *reterr)
{
    AUTO_FD int fd = connect_to(path);
    AUTO_DONE(buf) struct buf text = {0}, answer = {0};
    if (fd < 0)
        return err_set(reterr, fd, NULL, "connect to %s: %s", path, strerror(-fd));
    AUTO_JSON json_t *question =
        json_pack("{s:s%,s:s%}", "namespace", ns.p, ns.n, "name", name.p, name.n);
    if (!question)
        return err_set(reterr, -EINVAL, NULL, "the pod's name is no text");
    json_write(&text, question);
    buf_add_cstr(&text, "\n");
    if (send(fd, text.p, text.n, MSG_NOSIGNAL) != (ssize_t)text.n)
        return err_set(reterr, -EPIPE, NULL, "%s: it does not listen", path);
    int r = receive(fd, &answer);
    if (r < 0)
        return err_set(reterr, r, NULL, "%s: %s", path, strerror(-r));
    r = json_parse(buf_str(&answer), 0, NULL, ret, reterr);
    if (r == 0 && json_key_str(*ret, "error")) {
        err_set(reterr, -EAGAIN, NULL, "%s", json_key_str(*ret, "error"));
        json_decref(TAKE(*ret));
        r = -EAGAIN;
    }
    return r;
}

/* ---- commands ---- */

/* *ret NULL: the pod is left alone. */
static int find_pod(const struct cni_environment *e, const struct cni_config *c, json_t **ret,
                    struct err *reterr)
{
    struct str ns = cni_arg(e->args ? e->args : "", "K8S_POD_NAMESPACE"),
               name = cni_arg(e->args ? e->args : "", "K8S_POD_NAME");
    *ret = NULL;
    if (!ns.n || !name.n || cni_namespace_is_excluded(c, ns))
        return 0;
    int r = ask(c->socket, ns, name, ret, reterr);
    if (r == -ENOENT || r == -ECONNREFUSED) {
        log_warn("fairlead-cni-node is away: a pod of the mesh will see that it has no rules",
                 kv_str("namespace", ns), kv_str("pod", name), kv_s("error", err_text(reterr)));
        return 0;
    }
    if (r == 0 && !interception_is_asked_for(*ret))
        json_decref(TAKE(*ret));
    return r;
}

static int make_rules(void *user, struct err *reterr)
{
    return interception_apply_pod(user, reterr);
}

static int find_rules(void *user, struct err *reterr)
{
    return interception_exists(user, reterr);
}

static int inside(const struct cni_environment *e, netns_fn *fn, void *user, struct err *reterr)
{
    if (!e->netns || !*e->netns)
        return err_set(reterr, -EINVAL, NULL, "CNI_NETNS says of no network namespace");
    AUTO_FD int fd = open(e->netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "open %s: %s", e->netns, strerror(errno));
    return netns_run(fd, fn, user, reterr);
}

static int add(const struct cni_environment *e, const struct cni_config *c, struct buf *output)
{
    struct err err = {0};
    AUTO_JSON json_t *pod = NULL;
    if (!c->prev_result)
        return fail(c->version, CNI_INVALID_CONFIG, "there is no prevResult",
                    CNI_PLUGIN " stands behind the plugin that makes the pod's network", output);
    if (find_pod(e, c, &pod, &err) < 0)
        return fail(c->version, CNI_TRY_AGAIN, "it is not known whether the pod is of the mesh",
                    err_text(&err), output);
    if (pod && inside(e, make_rules, pod, &err) < 0)
        return fail(c->version, CNI_NO_RULES, "the pod's traffic cannot be led to its proxy",
                    err_text(&err), output);
    return say_previous(c, output);
}

static int check(const struct cni_environment *e, const struct cni_config *c, struct buf *output)
{
    struct err err = {0};
    AUTO_JSON json_t *pod = NULL;
    bool there = false;
    if (find_pod(e, c, &pod, &err) < 0)
        return fail(c->version, CNI_TRY_AGAIN, "it is not known whether the pod is of the mesh",
                    err_text(&err), output);
    if (!pod)
        return 0;
    if (inside(e, find_rules, &there, &err) < 0)
        return fail(c->version, CNI_IO_FAILURE, "the pod's rules cannot be read", err_text(&err),
                    output);
    return there ? 0
                 : fail(c->version, CNI_NO_RULES, "the pod's traffic is not led to its proxy",
                        "its rules are gone", output);
}

/* The pod's rules go with its namespace: there is nothing to do at DEL, nor is there at GC. */
int cni_plugin_run(const struct cni_environment *e, struct str input, struct buf *output)
{
    AUTO_DONE(cni_config) struct cni_config c = {0};
    enum cni_error code;
    struct err err = {0};
    if (streq(e->command, "VERSION"))
        return say_versions(output);
    if (cni_config_read(input, &c, &code, &err) < 0)
        return fail(*c.version ? c.version : "1.1.0", code, "the configuration is refused",
                    err_text(&err), output);
    if (streq(e->command, "ADD"))
        return add(e, &c, output);
    if (streq(e->command, "CHECK"))
        return check(e, &c, output);
    if (streq(e->command, "DEL") || streq(e->command, "GC") || streq(e->command, "STATUS"))
        return 0;
    return fail(c.version, CNI_INVALID_ENVIRONMENT, "CNI_COMMAND is none that is known", e->command,
                output);
}
