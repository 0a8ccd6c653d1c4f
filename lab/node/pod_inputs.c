/* Fetching what a pod refers to. Collects the names in one walk over the spec, asks for all of them
 * in parallel; then ConfigMaps and Secrets are watched (config_watch.c) and tokens renewed, and
 * whoever uses them is told of changes. An immutable object is not watched: it can only go, and a
 * volume keeps what it has. */
#include "lab/node/pod_inputs.h"

#include "base/time.h"
#include "base/vec.h"

enum {
    INPUT_RETRY_MIN_MS = 100,
    INPUT_RETRY_MAX_MS = 5000,
    INPUT_MAX = 256, /* references of one pod */
    TOKEN_OLDEST_MS = 24 * 3600 * 1000,
    TOKEN_RETRY_MS = 10 * 1000,
    TOKEN_SOONEST_MS = 1000,
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
    struct config_watcher watcher;
    struct loop_timer *renewal; /* of a token */
};

struct pod_inputs {
    struct loop_call fetch, tell;
    struct kube_client *client;
    struct config_watches *watches;
    char *ns;
    json_t *bound; /* boundObjectRef of tokens */
    VEC(struct input *) inputs;
    size_t open;
    bool failed;
    struct loop_timer *timer;
    uint64_t backoff_ms;
    const struct pod_inputs_ops *ops;
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

static void tell_change(void *user)
{
    struct pod_inputs *in = user;
    in->ops->on_change(in->user);
}

static void input_replace(struct input *one, json_t *object)
{
    json_decref(one->object);
    one->object = json_incref(object);
    loop_defer(kube_client_loop(one->set->client), &one->set->tell);
}

static void on_watched(json_t *object, void *user)
{
    struct input *one = user;
    bool same =
        streq(json_at_str(object, "metadata.resourceVersion"),
              json_at_str(one->object, "metadata.resourceVersion")) &&
        streq(json_at_str(object, "metadata.uid"), json_at_str(one->object, "metadata.uid"));
    if (!same || !object != !one->object)
        input_replace(one, object);
}

static void watch_all(struct pod_inputs *in)
{
    VEC_FOREACH (slot, &in->inputs) {
        struct input *one = *slot;
        if (one->watcher.watch || streq(one->kind, "Token") ||
            json_at_bool(one->object, "immutable", false))
            continue;
        one->watcher.on_object = on_watched;
        one->watcher.user = one;
        config_watch_add(in->watches, streq(one->kind, "Secret") ? "secrets" : "configmaps", in->ns,
                         one->name, &one->watcher);
    }
}

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
        watch_all(in);
        in->ops->on_ready(in->user);
    }
}

/* ---- tokens ---- */

uint64_t token_renew_after_ms(int64_t life_s, uint64_t oldest_ms)
{
    uint64_t life_ms = (uint64_t)MAX(life_s, (int64_t)0) * 1000;
    return MAX(MIN(life_ms / 5 * 4, oldest_ms), (uint64_t)TOKEN_SOONEST_MS);
}

/* Kubelet's 24 hours; a test cannot wait that long. */
static uint64_t token_oldest_ms(void)
{
    const char *text = getenv("FAIRLEAD_TOKEN_MAX_AGE");
    uint64_t ms;
    return text && time_parse_duration(str_from(text), &ms) == 0 ? ms : TOKEN_OLDEST_MS;
}

static void token_renew(void *user);

static void token_schedule(struct input *one)
{
    const char *expires = json_at_str(one->object, "status.expirationTimestamp");
    int64_t until_us;
    if (!expires || time_parse_rfc3339(str_from(expires), &until_us) < 0)
        return;
    if (!one->renewal)
        one->renewal = loop_timer_new(kube_client_loop(one->set->client), token_renew, one);
    loop_timer_start(one->renewal,
                     token_renew_after_ms(until_us / 1000000 - time_real_s(), token_oldest_ms()));
}

static void on_renewed(const struct kube_result *r, void *user)
{
    struct input *one = user;
    one->call = NULL;
    if (!kube_ok(r) || !r->object) {
        loop_timer_start(one->renewal, TOKEN_RETRY_MS);
        return;
    }
    input_replace(one, r->object);
    token_schedule(one);
}

static void token_ask(struct input *one, kube_call_fn *fn)
{
    AUTO_JSON json_t *body = json_object();
    json_put_str(body, "apiVersion", "authentication.k8s.io/v1");
    json_put_str(body, "kind", "TokenRequest");
    json_put_int(body, "spec.expirationSeconds", one->expiration_s);
    json_put(body, "spec.audiences", json_array());
    json_put(body, "spec.boundObjectRef", json_incref(one->set->bound));
    if (one->name[0])
        json_array_append_new(json_at(body, "spec.audiences"), json_string(one->name));
    one->call = kube_call(one->set->client, "POST", one->path, NULL, body, fn, one);
}

static void token_renew(void *user)
{
    struct input *one = user;
    if (!one->call)
        token_ask(one, on_renewed);
}

/* ---- the first answers ---- */

static void on_answer(const struct kube_result *r, void *user)
{
    struct input *one = user;
    one->call = NULL;
    if (kube_ok(r) && r->object) {
        json_decref(one->object); /* the watch may have been faster */
        one->object = json_incref(r->object);
        one->answered = true;
        if (streq(one->kind, "Token"))
            token_schedule(one);
    } else if (r->code == 0 && (r->status == 404 || r->status == 403)) {
        one->answered = true;
    } else {
        one->set->failed = true;
    }
    input_over(one->set);
}

static void input_ask(struct input *one)
{
    if (streq(one->kind, "Token"))
        token_ask(one, on_answer);
    else
        one->call = kube_call(one->set->client, "GET", one->path, NULL, NULL, on_answer, one);
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

struct pod_inputs *pod_inputs_fetch(struct kube_client *c, struct config_watches *watches,
                                    const json_t *pod, const struct pod_inputs_ops *ops, void *user)
{
    static const char *const lists[] = {"spec.initContainers", "spec.containers"};
    struct pod_inputs *in = NEW(struct pod_inputs);
    const char *ns = json_at_str(pod, "metadata.namespace");
    json_t *container;
    size_t i;
    in->client = c;
    in->watches = watches;
    in->ns = xstrdup(ns);
    in->ops = ops;
    in->bound = json_pack("{s:s,s:s,s:s,s:s}", "kind", "Pod", "apiVersion", "v1", "name",
                          json_at_str(pod, "metadata.name"), "uid",
                          json_at_str(pod, "metadata.uid") ? json_at_str(pod, "metadata.uid") : "");
    in->user = user;
    in->timer = loop_timer_new(kube_client_loop(c), fetch_open, in);
    collect_volumes(in, ns, pod);
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_at(pod, lists[l]), i, container) collect_env(in, ns, container);
    loop_call_init(&in->fetch, fetch_open, in);
    loop_call_init(&in->tell, tell_change, in);
    loop_defer(kube_client_loop(c), &in->fetch);
    in->open = 1;
    return in;
}

void pod_inputs_free(struct pod_inputs *in)
{
    if (!in)
        return;
    loop_call_cancel(&in->fetch);
    loop_call_cancel(&in->tell);
    VEC_FOREACH (slot, &in->inputs) {
        struct input *one = *slot;
        if (one->call)
            kube_call_cancel(one->call);
        config_watch_remove(in->watches, &one->watcher);
        loop_timer_free(one->renewal);
        json_decref(one->object);
        free(one->name);
        free(one->path);
        free(one);
    }
    vec_done(&in->inputs);
    loop_timer_free(in->timer);
    json_decref(in->bound);
    free(in->ns);
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
