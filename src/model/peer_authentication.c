#include "model/peer_authentication.h"

#include <errno.h>

struct peer_authentication {
    char *key, *created;
    json_t *labels; /* NULL: of its whole namespace */
    enum mtls_mode mode;
    VEC(struct mtls_port) ports;
};

/* Those of a namespace, the oldest first. */
struct authentications {
    VEC(struct peer_authentication *) v;
};

struct peer_authentications {
    char *root;
    struct map namespaces; /* name -> struct authentications */
};

struct peer_authentications *peer_authentications_new(const char *root_namespace)
{
    struct peer_authentications *t = NEW(struct peer_authentications);
    t->root = xstrdup(root_namespace);
    return t;
}

static void authentication_free(struct peer_authentication *a)
{
    json_decref(a->labels);
    vec_done(&a->ports);
    free(a->created);
    free(a->key);
    free(a);
}

void peer_authentications_free(struct peer_authentications *t)
{
    void *p;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->namespaces, &at, NULL, &p);) {
        struct authentications *list = p;
        VEC_FOREACH (a, &list->v)
            authentication_free(*a);
        vec_done(&list->v);
        free(list);
    }
    map_done(&t->namespaces);
    free(t->root);
    free(t);
}

/* ---- an object ---- */

/* m: a MutualTLS; NULL: nothing is said. */
static int read_mode(const json_t *m, const char *path, enum mtls_mode *ret, struct err *reterr)
{
    static const char *const words[] = {"UNSET", "DISABLE", "PERMISSIVE", "STRICT"};
    const json_t *mode = json_object_get(m, "mode");
    *ret = MTLS_UNSET;
    if (!mode || json_is_null(mode))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (streq(json_string_value(mode), words[i])) {
            *ret = (enum mtls_mode)i;
            return 0;
        }
    return err_set(reterr, -EINVAL, path, "one of UNSET, DISABLE, PERMISSIVE and STRICT");
}

static int read_ports(const json_t *m, struct peer_authentication *a, struct err *reterr)
{
    const char *key;
    json_t *value;
    if (json_object_size(m) > PEER_AUTHENTICATION_PORTS_MAX)
        return err_set(reterr, -EINVAL, "spec.portLevelMtls", "more than %d ports",
                       PEER_AUTHENTICATION_PORTS_MAX);
    json_object_foreach((json_t *)(uintptr_t)m, key, value)
    {
        uint64_t port;
        struct mtls_port one;
        if (str_to_u64(str_from(key), &port) < 0 || port < 1 || port > UINT16_MAX)
            return err_set(reterr, -EINVAL, "spec.portLevelMtls", "'%.20s' is no port", key);
        int r = read_mode(value, "spec.portLevelMtls", &one.mode, reterr);
        if (r < 0)
            return r;
        one.port = (uint16_t)port;
        vec_push(&a->ports, one);
    }
    if (!a->labels) /* of no workload: as in Istio the rest holds without them */
        vec_clear(&a->ports);
    return 0;
}

static int decode(const json_t *object, struct peer_authentication *a, struct err *reterr)
{
    const char *name = json_at_str(object, "metadata.name"),
               *ns = json_at_str(object, "metadata.namespace"),
               *created = json_at_str(object, "metadata.creationTimestamp");
    const json_t *labels = json_at(object, "spec.selector.matchLabels");
    if (str_empty(name) || str_empty(ns))
        return err_set(reterr, -EINVAL, "metadata", "needs a name and a namespace");
    a->key = xasprintf("%s/%s", ns, name);
    a->created = xstrdup(created ? created : "");
    if (json_object_size(labels))
        a->labels = json_incref((json_t *)(uintptr_t)labels);
    int r = read_mode(json_at(object, "spec.mtls"), "spec.mtls.mode", &a->mode, reterr);
    return r < 0 ? r : read_ports(json_at(object, "spec.portLevelMtls"), a, reterr);
}

/* ---- the table ---- */

static int by_age(const void *a, const void *b)
{
    const struct peer_authentication *x = *(struct peer_authentication *const *)a,
                                     *y = *(struct peer_authentication *const *)b;
    int d = strcmp(x->created, y->created); /* RFC 3339, all in UTC */
    return d ? d : strcmp(x->key, y->key);
}

int peer_authentications_put(struct peer_authentications *t, const json_t *object,
                             struct err *reterr)
{
    struct peer_authentication *a = NEW(struct peer_authentication);
    int r = decode(object, a, reterr);
    if (r < 0) {
        authentication_free(a);
        return r;
    }
    struct str name, ns = str_cut(str_from(a->key), '/', &name);
    peer_authentications_remove(t, str_from(a->key));
    struct authentications *list = map_find(&t->namespaces, ns);
    if (!list) {
        list = NEW(struct authentications);
        map_put(&t->namespaces, ns, list);
    }
    vec_push(&list->v, a);
    qsort(list->v.v, list->v.n, sizeof(*list->v.v), by_age);
    return 0;
}

void peer_authentications_remove(struct peer_authentications *t, struct str key)
{
    struct str name, ns = str_cut(key, '/', &name);
    struct authentications *list = map_find(&t->namespaces, ns);
    for (size_t i = 0; list && i < list->v.n; i++)
        if (str_is(key, list->v.v[i]->key)) {
            authentication_free(list->v.v[i]);
            vec_remove(&list->v, i);
            break;
        }
    if (list && !list->v.n) {
        map_remove(&t->namespaces, ns);
        vec_done(&list->v);
        free(list);
    }
}

bool peer_authentications_is_root(const struct peer_authentications *t, struct str ns)
{
    return str_is(ns, t->root);
}

/* ---- what holds ---- */

/* The oldest without a selector; pod not NULL: the oldest that selects it. */
static const struct peer_authentication *oldest(const struct peer_authentications *t, struct str ns,
                                                const struct workloads *pods,
                                                const struct workload *pod)
{
    const struct authentications *list = map_find(&t->namespaces, ns);
    for (size_t i = 0; list && i < list->v.n; i++) {
        const struct peer_authentication *a = list->v.v[i];
        if (pod ? a->labels && workload_has_labels(pods, pod, a->labels) : !a->labels)
            return a;
    }
    return NULL;
}

static void narrow(struct mtls_policy *p, const struct peer_authentication *a)
{
    if (a && a->mode != MTLS_UNSET)
        p->mode = a->mode;
}

void peer_authentications_find(const struct peer_authentications *t, struct str ns,
                               const struct workloads *pods, const struct workload *pod,
                               struct mtls_policy *ret)
{
    const struct peer_authentication *own = pod ? oldest(t, ns, pods, pod) : NULL;
    *ret = (struct mtls_policy){.mode = MTLS_PERMISSIVE};
    narrow(ret, oldest(t, str_from(t->root), NULL, NULL));
    narrow(ret, oldest(t, ns, NULL, NULL));
    narrow(ret, own);
    if (own) {
        ret->ports = own->ports.v;
        ret->n_ports = own->ports.n;
    }
}

enum mtls_mode mtls_policy_of(const struct mtls_policy *p, uint16_t port)
{
    for (size_t i = 0; i < p->n_ports; i++)
        if (p->ports[i].port == port && p->ports[i].mode != MTLS_UNSET)
            return p->ports[i].mode;
    return p->mode;
}
