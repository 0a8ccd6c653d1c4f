/* `kubectl attach` and `kubectl run -i`: the streams of a container's own program.
 *
 * Output from the moment of attaching on goes to every client; what came before is in the log.
 * While one client does not take it, the program's output is not read: it waits, as it would for a
 * slow terminal. Input of all clients goes to the program; with stdinOnce the end of the first
 * client's input is the end of the program's. The session ends with the run of the container or
 * with the connection. */
#include "codec/url.h"
#include "lab/node/kubelet_stream.h"
#include "lab/node/process_streams.h"

struct attach {
    struct pod_container *container; /* NULL = the run is over */
    struct container_log_tap tap;
    struct kubelet_stream *stream;
    struct list_node node; /* of the container's */
    bool output, errors, input, holds;
};

static void attach_hold(struct attach *a, bool hold)
{
    if (a->holds == hold || !a->container)
        return;
    a->holds = hold;
    container_log_hold(a->container->log, hold);
}

static void on_bytes(bool is_err, struct str bytes, void *user)
{
    struct attach *a = user;
    if (!(is_err ? a->errors : a->output))
        return;
    kubelet_stream_send(a->stream, is_err ? CHANNEL_ERR : CHANNEL_OUT, bytes);
    if (kubelet_stream_is_full(a->stream))
        attach_hold(a, true);
}

static void leave(struct attach *a)
{
    attach_hold(a, false);
    list_remove(&a->tap.node);
    list_remove(&a->node);
    a->container = NULL;
}

void kubelet_attach_end(struct pod_container *c)
{
    LIST_FOREACH_SAFE (node, &c->attached) {
        struct attach *a = CONTAINER_OF(node, struct attach, node);
        leave(a);
        kubelet_stream_finish(a->stream, kubelet_stream_success());
    }
}

static bool on_input(struct str bytes, void *user)
{
    struct attach *a = user;
    struct pod_container *c = a->container;
    return !c || !a->input || !c->input || process_input_write(c->input, bytes);
}

void kubelet_attach_room(struct pod_container *c)
{
    LIST_FOREACH_SAFE (node, &c->attached)
        kubelet_stream_resume(CONTAINER_OF(node, struct attach, node)->stream);
}

static void on_input_end(void *user)
{
    struct attach *a = user;
    struct pod_container *c = a->container;
    if (c && a->input && c->input && json_at_bool(c->spec, "stdinOnce", false))
        process_input_end(c->input);
}

static void on_resize(unsigned columns, unsigned rows, void *user)
{
    struct attach *a = user;
    if (a->container && a->container->input)
        process_input_resize(a->container->input, columns, rows);
}

static void on_drained(void *user)
{
    attach_hold(user, false);
}

static void on_gone(void *user)
{
    struct attach *a = user;
    on_input_end(a);
    if (a->container)
        leave(a);
    free(a);
}

void kubelet_attach(struct pod_container *c, struct http_exchange *x)
{
    static const struct kubelet_stream_ops ops = {on_input, on_input_end, on_resize, on_drained,
                                                  on_gone};
    struct str query = http_exchange_query(x);
    if (!c->pid || !c->log) {
        kubelet_fail(x, 500, "InternalError", "container %s of pod %s is not running", c->name,
                     c->pod->name);
        return;
    }
    if (!kubelet_stream_is_wanted(x, "attach"))
        return;
    struct attach *a = NEW(struct attach);
    *a = (struct attach){
        .container = c,
        .tap = {.on_bytes = on_bytes, .user = a},
        .input = url_param_bool(query, "input") || url_param_bool(query, "stdin"),
        .output = url_param_bool(query, "output") || url_param_bool(query, "stdout"),
        .errors = url_param_bool(query, "error") || url_param_bool(query, "stderr"),
    };
    a->stream = kubelet_stream_new(x, &ops, a);
    container_log_tap(c->log, &a->tap);
    list_add_tail(&c->attached, &a->node);
    kubelet_stream_start(a->stream);
}
