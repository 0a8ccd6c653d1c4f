/* The node's server on port 10250: logs, exec, attach and port-forward for the API server, which
 * presents a client certificate of the cluster's CA.
 *
 * Owns the HTTP server and the routing; the streams (kubelet_logs.c, kubelet_exec.c,
 * kubelet_attach.c, kubelet_forward.c) live on their connection and may outlast the container they
 * belong to, never the node. Nothing here changes a pod. */
#include <errno.h>

#include "codec/url.h"
#include "lab/node/kubelet_priv.h"

struct kubelet_server {
    struct node *node;
    struct http_server *http;
};

static void reply_pods(struct node *n, struct http_exchange *x)
{
    AUTO_JSON json_t *list = json_pack("{s:s,s:s,s:{},s:[]}", "kind", "PodList", "apiVersion", "v1",
                                       "metadata", "items");
    AUTO_DONE(buf) struct buf b = {0};
    const struct http_header type = {STR("Content-Type"), STR("application/json")};
    void *value;
    for (size_t at = 0; map_next(&n->pods, &at, NULL, &value);)
        json_array_append(json_at(list, "items"), ((struct pod *)value)->object);
    json_write(&b, list);
    http_exchange_reply(x, 200, &type, 1, buf_str(&b));
}

/* NAMESPACE/POD from the front of rest. NULL: answered. */
static struct pod *find_pod(struct node *n, struct http_exchange *x, struct str *rest)
{
    struct str ns = str_cut(*rest, '/', rest), name = str_cut(*rest, '/', rest);
    AUTO_CHARS char *key = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    struct pod *p = map_find_cstr(&n->pods, key);
    if (!p)
        kubelet_fail(x, 404, "NotFound", "pod %s does not exist on node %s", key, n->options->name);
    return p;
}

/* /VERB/NAMESPACE/POD/CONTAINER, after the verb. NULL: answered. */
static struct pod_container *find_container(struct node *n, struct http_exchange *x,
                                            struct str rest)
{
    struct pod *p = find_pod(n, x, &rest);
    AUTO_CHARS char *c_name = str_dup(str_cut(rest, '/', &rest));
    struct pod_container *c = p ? pod_container_find(p, c_name) : NULL;
    if (p && !c)
        kubelet_fail(x, 404, "NotFound", "container %s not found in pod %s", c_name, p->key);
    return c;
}

static bool cut_prefix(struct str *path, const char *prefix)
{
    struct str p = str_from(prefix);
    if (!str_starts(*path, p))
        return false;
    *path = str_sub(*path, p.n, path->n);
    return true;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct kubelet_server *s = user;
    struct str path = http_exchange_path(x);
    struct pod_container *c;
    if (str_eq(path, STR("/healthz")) || str_eq(path, STR("/livez"))) {
        http_exchange_reply(x, 200, NULL, 0, STR("ok"));
    } else if (str_eq(path, STR("/pods"))) {
        reply_pods(s->node, x);
    } else if (cut_prefix(&path, "/containerLogs/")) {
        if ((c = find_container(s->node, x, path)))
            kubelet_logs(c, x);
    } else if (cut_prefix(&path, "/exec/")) {
        if ((c = find_container(s->node, x, path)))
            kubelet_exec(c, x);
    } else if (cut_prefix(&path, "/attach/")) {
        if ((c = find_container(s->node, x, path)))
            kubelet_attach(c, x);
    } else if (cut_prefix(&path, "/portForward/")) {
        struct pod *p = find_pod(s->node, x, &path);
        if (p)
            kubelet_forward(p, x);
    } else {
        kubelet_fail(
            x, 404, "NotFound",
            "the node serves /containerLogs, /exec, /attach, /portForward, /pods and /healthz");
    }
}

int kubelet_server_new(struct node *n, struct kubelet_server **ret, struct err *reterr)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    const struct node_options *o = n->options;
    const struct tls_config tls = {.cert_pem = o->kubelet_cert,
                                   .key_pem = o->kubelet_key,
                                   .ca_pem = o->client_ca,
                                   .require_peer_cert = o->client_ca.n > 0};
    struct ip any = listener_any();
    struct tls_context *context = NULL;
    if (!o->client_ca.n)
        return err_set(reterr, -EINVAL, NULL,
                       "--client-ca is needed with --kubelet-cert: nobody else may ask for exec");
    int r = tls_context_new_server(&tls, &context, reterr);
    if (r < 0)
        return r;
    struct kubelet_server *s = NEW(struct kubelet_server);
    const struct http_server_config config = {.tls = context, .body_bytes_max = 64 * 1024};
    s->node = n;
    r = http_server_new(n->loop, &any, o->kubelet_port, &config, &ops, s, &s->http, reterr);
    tls_context_unref(context);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void kubelet_server_free(struct kubelet_server *s)
{
    if (!s)
        return;
    http_server_free(s->http);
    free(s);
}
