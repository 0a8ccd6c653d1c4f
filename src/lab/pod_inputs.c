/* Fetching what a pod refers to. Collects the names in one walk over the spec, asks for all of them
 * in parallel, keeps the answers for the life of the pod (a volume is written once, at the start).
 * Not shared between pods: a node of a lab has tens of pods, and an informer per namespace and kind
 * would cost more than it saves. */
#include "lab/pod_inputs.h"

#include "base/vec.h"

enum {
    INPUT_RETRY_MIN_MS = 100,
    INPUT_RETRY_MAX_MS = 5000,
    INPUT_MAX = 256, /* references of one pod */
};

struct input {
    struct pod_inputs *set;
    const char *kind; /* "ConfigMap", "Secret", "Token" */
    char *name;       /* of a Token: the audience, "" = the API server's */
    char *path;
    int64_t expiration_s;
    json_t *object;
    bool answered;
    struct kube_call *call;
};

struct pod_inputs {
    struct kube_client *client;
    VEC(struct input *) inputs;
    size_t open;
    bool failed;
    struct loop_timer *timer;
    uint64_t backoff_ms;
    void (*on_ready)(void *user);
    void *user;
};

static struct input *input_find(const struct pod_inputs *in, const char *kind, const char *name)
{
    for (size_t i = 0; i < in->inputs.n; i++)
        if (streq(in->inputs.v[i]->kind, kind) && streq(in->inputs.v[i]->name, name))
            return in->inputs.v[i];
    return NULL;
}

static struct input *want(struct pod_inputs *in, const char *kind, const char *name,
                          const char *path)
{
    if (!name || input_find(in, kind, name) || in->inputs.n >= INPUT_MAX)
        return NULL;
    struct input *one = NEW(struct input);
    *one = (struct input){.set = in, .kind = kind, .name = xstrdup(name), .path = xstrdup(path)};
    vec_push(&in->inputs, one);
    return one;
}

static void want_config(struct pod_inputs *in, const char *kind, const char *ns, const json_t *ref,
                        const char *name_key)
{
    const char *name = ref ? json_key_str(ref, name_key) : NULL;
    if (!name)
        return;
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/%s/%s", ns,
                                      streq(kind, "Secret") ? "secrets" : "configmaps", name);
    want(in, kind, name, path);
}

static void want_token(struct pod_inputs *in, const char *ns, const char *account,
                       const json_t *source)
{
    const char *audience = json_key_str(source, "audience");
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", ns,
                                      account ? account : "default");
    struct input *one = want(in, "Token", audience ? audience : "", path);
    if (one)
        one->expiration_s = json_at_int(source, "expirationSeconds", 3600);
}

static void collect_volumes(struct pod_inputs *in, const char *ns, const json_t *pod)
{
    const char *account = json_at_str(pod, "spec.serviceAccountName");
    json_t *v, *source;
    size_t i, k;
    json_array_foreach(json_at(pod, "spec.volumes"), i, v)
    {
        want_config(in, "ConfigMap", ns, json_at(v, "configMap"), "name");
        want_config(in, "Secret", ns, json_at(v, "secret"), "secretName");
        json_array_foreach(json_at(v, "projected.sources"), k, source)
        {
            want_config(in, "ConfigMap", ns, json_at(source, "configMap"), "name");
            want_config(in, "Secret", ns, json_at(source, "secret"), "name");
            if (json_at(source, "serviceAccountToken"))
                want_token(in, ns, account, json_at(source, "serviceAccountToken"));
        }
    }
}

static void collect_env(struct pod_inputs *in, const char *ns, const json_t *container)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_at(container, "envFrom"), i, item)
    {
        want_config(in, "ConfigMap", ns, json_at(item, "configMapRef"), "name");
        want_config(in, "Secret", ns, json_at(item, "secretRef"), "name");
    }
    json_array_foreach(json_at(container, "env"), i, item)
    {
        want_config(in, "ConfigMap", ns, json_at(item, "valueFrom.configMapKeyRef"), "name");
        want_config(in, "Secret", ns, json_at(item, "valueFrom.secretKeyRef"), "name");
    }
}

static void fetch_open(void *user);

static void input_over(struct pod_inputs *in)
{
    if (--in->open > 0)
        return;
    if (in->failed) {
        in->failed = false;
        in->backoff_ms = MIN(MAX(in->backoff_ms * 2, (uint64_t)INPUT_RETRY_MIN_MS),
                             (uint64_t)INPUT_RETRY_MAX_MS);
        loop_timer_start(in->timer, in->backoff_ms);
    } else {
        in->on_ready(in->user);
    }
}

static void on_answer(const struct kube_result *r, void *user)
{
    struct input *one = user;
    one->call = NULL;
    if (kube_ok(r) && r->object) {
        one->object = json_incref(r->object);
        one->answered = true;
    } else if (r->code == 0 && (r->status == 404 || r->status == 403)) {
        one->answered = true;
    } else {
        one->set->failed = true;
    }
    input_over(one->set);
}

static void input_ask(struct input *one)
{
    struct kube_client *c = one->set->client;
    if (!streq(one->kind, "Token")) {
        one->call = kube_call(c, "GET", one->path, NULL, NULL, on_answer, one);
        return;
    }
    AUTO_JSON json_t *body = json_object();
    json_put_str(body, "apiVersion", "authentication.k8s.io/v1");
    json_put_str(body, "kind", "TokenRequest");
    json_put_int(body, "spec.expirationSeconds", one->expiration_s);
    json_put(body, "spec.audiences", json_array());
    if (one->name[0])
        json_array_append_new(json_at(body, "spec.audiences"), json_string(one->name));
    one->call = kube_call(c, "POST", one->path, NULL, body, on_answer, one);
}

static void fetch_open(void *user)
{
    struct pod_inputs *in = user;
    in->open = 1; /* ours: nothing is over before all are asked */
    for (size_t i = 0; i < in->inputs.n; i++) {
        if (in->inputs.v[i]->answered)
            continue;
        in->open++;
        input_ask(in->inputs.v[i]);
    }
    input_over(in);
}

struct pod_inputs *pod_inputs_fetch(struct kube_client *c, const json_t *pod,
                                    void (*on_ready)(void *user), void *user)
{
    static const char *const lists[] = {"spec.initContainers", "spec.containers"};
    struct pod_inputs *in = NEW(struct pod_inputs);
    const char *ns = json_at_str(pod, "metadata.namespace");
    json_t *container;
    size_t i;
    in->client = c;
    in->on_ready = on_ready;
    in->user = user;
    in->timer = loop_timer_new(kube_client_loop(c), fetch_open, in);
    collect_volumes(in, ns, pod);
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_at(pod, lists[l]), i, container) collect_env(in, ns, container);
    loop_defer(kube_client_loop(c), fetch_open, in);
    in->open = 1;
    return in;
}

void pod_inputs_free(struct pod_inputs *in)
{
    if (!in)
        return;
    loop_defer_cancel(kube_client_loop(in->client), fetch_open, in);
    VEC_FOREACH (slot, &in->inputs) {
        struct input *one = *slot;
        if (one->call)
            kube_call_cancel(one->call);
        json_decref(one->object);
        free(one->name);
        free(one->path);
        free(one);
    }
    vec_done(&in->inputs);
    loop_timer_free(in->timer);
    free(in);
}

bool pod_inputs_are_ready(const struct pod_inputs *in)
{
    return in->open == 0 && !loop_timer_is_started(in->timer);
}

json_t *pod_inputs_config(const struct pod_inputs *in, const char *kind, const char *name)
{
    const struct input *one = input_find(in, kind, name);
    return one ? one->object : NULL;
}

const char *pod_inputs_token(const struct pod_inputs *in, const char *audience)
{
    const struct input *one = input_find(in, "Token", audience ? audience : "");
    return one && one->object ? json_at_str(one->object, "status.token") : NULL;
}

bool pod_inputs_retry(struct pod_inputs *in)
{
    bool any = false;
    VEC_FOREACH (slot, &in->inputs)
        if ((*slot)->answered && !(*slot)->object) {
            (*slot)->answered = false;
            any = true;
        }
    if (any)
        fetch_open(in);
    return any;
}
