/* Who a proxy is, by what it says and by its account, and so what it is given. */
#include "control/control_priv.h"

#include <errno.h>

#include "base/log.h"

/* A proxy that knows all of our own types, or one that is treated as if it knew none. */
static bool knows_ours(const Envoy__Config__Core__V3__Node *node)
{
    const char *type;
    for (size_t n = 0; (type = xds_own_type(n)); n++) {
        AUTO_CHARS char *feature = xasprintf(XDS_OWN_PREFIX "%s", type);
        bool has = false;
        for (size_t i = 0; i < node->n_client_features && !has; i++)
            has = streq(node->client_features[i], feature);
        if (!has)
            return false;
    }
    return true;
}

/* It has a certificate of the mesh. */
static bool has_identity(const Envoy__Config__Core__V3__Node *node)
{
    for (size_t i = 0; i < node->n_client_features; i++)
        if (streq(node->client_features[i], XDS_IDENTITY_FEATURE))
            return true;
    return false;
}

static const Google__Protobuf__Value *field(const Google__Protobuf__Struct *m, const char *key)
{
    for (size_t i = 0; m && i < m->n_fields; i++)
        if (streq(m->fields[i]->key, key))
            return m->fields[i]->value;
    return NULL;
}

static const Google__Protobuf__Struct *struct_of(const Google__Protobuf__Value *v)
{
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE ? v->struct_value : NULL;
}

/* "": it is no text. */
static const char *text_of(const Google__Protobuf__Value *v)
{
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ? v->string_value : "";
}

/* Istio's word for it: metadata GENERATOR is "grpc". */
static bool is_grpc(const Envoy__Config__Core__V3__Node *node)
{
    return streq(text_of(field(node ? node->metadata : NULL, "GENERATOR")), "grpc");
}

static bool is_gateway(const struct control *c, const char *account)
{
    struct str name, ns = callers_account(account, &name);
    AUTO_CHARS char *key = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    for (const char *const *g = c->options->gateway_accounts; *g; g++)
        if (streq(*g, key))
            return true;
    return false;
}

struct sidecar_id {
    struct str ip, pod, ns;
};

/* "KIND~10.0.0.1~POD.NAMESPACE~NAMESPACE.svc.cluster.local" (Istio's node IDs). Returns the kind.
 */
static struct str node_id_read(const char *id, struct sidecar_id *ret)
{
    struct str rest, pod, kind = str_cut(str_from(id), '~', &rest);
    *ret = (struct sidecar_id){.ip = str_cut(rest, '~', &rest)};
    pod = str_cut(rest, '~', &rest);
    for (size_t i = pod.n; i > 0 && !ret->ns.n; i--)
        if (pod.p[i - 1] == '.') {
            ret->pod = str_sub(pod, 0, i - 1);
            ret->ns = str_sub(pod, i, pod.n);
        }
    return kind;
}

static bool is_sidecar(const char *id, struct sidecar_id *ret)
{
    return str_is(node_id_read(id, ret), "sidecar");
}

/* Over TLS: of the account that its token says, and at the address that its pod has. */
static int check_pod(const struct control *c, const char *account, const struct ip *ip,
                     const struct sidecar_id *id, struct err *reterr)
{
    const struct workloads *pods = pod_watch_table(c->pods);
    AUTO_CHARS char *key = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(id->ns), STR_ARG(id->pod));
    const struct workload *pod = workloads_find(pods, str_from(key));
    struct str account_name;
    if (!str_eq(callers_account(account, &account_name), id->ns))
        return err_set(reterr, -EACCES, "node.id", "%s is not of namespace " STR_FMT, account,
                       STR_ARG(id->ns));
    if (!pod || !pod->n_ips) /* it may be told of in a moment */
        return err_set(reterr, -EAGAIN, "node.id", "pod %s is not known, or has no address", key);
    if (!str_eq(workload_account(pods, pod), account_name) || !workload_has_ip(pod, ip))
        return err_set(reterr, -EACCES, "node.id", "pod %s has another account or address than %s",
                       key, account);
    return 0;
}

/* False: what there is is not known yet. */
static bool want_mesh(struct control *c, struct err *reterr)
{
    bool has_config = mesh_config_watch_want(c->mesh_config), has_pods = pod_watch_want(c->pods),
         has_rules = has_config && istio_watch_want(c->istio); /* who name what is in it */
    if (authentication_watch_want(c->authentications) && has_pods && has_rules &&
        key_sets_settled(c->keys)) /* what a proxy has is not replaced by none */
        return true;
    err_set(reterr, -EAGAIN, NULL,
            "the API server's lists of pods and of Istio's kinds are not complete yet");
    return false;
}

/* A gateway that speaks the TLS of the mesh. */
static struct xds_set *meshed_gateway_set(struct control *c, struct err *reterr)
{
    if (!want_mesh(c, reterr))
        return NULL;
    mesh_start(c->mesh);
    return gateway_set(c->gateway, TRANSLATE_MESHED);
}

/* Of a sidecar's stream. */
struct part {
    struct mesh_workload *workload;
    struct registered *machine; /* NULL: a pod */
};

/* ---- machines that are no pods ---- */

static json_t *labels_of(const Google__Protobuf__Struct *m)
{
    json_t *labels = json_object();
    for (size_t i = 0; m && i < m->n_fields; i++) {
        const char *value = text_of(m->fields[i]->value);
        if (*value && json_is_utf8(str_from(value)) && json_is_utf8(str_from(m->fields[i]->key)))
            json_object_set_new(labels, m->fields[i]->key, json_string(value));
    }
    return labels;
}

static char *locality_of(const Envoy__Config__Core__V3__Locality *l)
{
    if (!l || str_empty(l->region))
        return xstrdup("");
    if (str_empty(l->zone))
        return xstrdup(l->region);
    return xasprintf("%s/%s%s%s", l->region, l->zone, str_empty(l->sub_zone) ? "" : "/",
                     l->sub_zone ?: "");
}

/* Metadata AUTO_REGISTER_GROUP: it wants to be a WorkloadEntry. *ret NULL: it does not. */
static int register_machine(struct control *c, const Envoy__Config__Core__V3__Node *node,
                            const char *account, const struct sidecar_id *id, const struct ip *ip,
                            struct registered **ret, struct err *reterr)
{
    const Google__Protobuf__Struct *m = node->metadata;
    const char *group = text_of(field(m, "AUTO_REGISTER_GROUP")),
               *ns = text_of(field(m, "NAMESPACE"));
    if (!*group)
        return 0;
    if (!account)
        return err_set(reterr, -EACCES, "node.metadata", "who registers shows a token, over TLS");
    if (*ns && !str_is(id->ns, ns))
        return err_set(reterr, -EACCES, "node.metadata", "NAMESPACE is not that of node.id");
    AUTO_CHARS char *of = str_dup(id->ns);
    AUTO_CHARS char *place = locality_of(node->locality);
    AUTO_JSON json_t *labels = labels_of(struct_of(field(m, "LABELS")));
    const struct registration r = {
        .group = group,
        .ns = of,
        .network = text_of(field(m, "NETWORK")),
        .locality = place,
        .labels = labels,
        .ip = *ip,
        .probed = field(struct_of(field(m, "PROXY_CONFIG")), "readinessProbe") != NULL};
    if (!json_is_utf8(str_from(group)) || !json_is_utf8(str_from(r.network)) ||
        !json_is_utf8(str_from(place)))
        return err_set(reterr, -EACCES, "node.metadata", "a name in it is no text");
    return auto_registration_connect(c->registration, &r, account, ret, reterr);
}

const struct auto_registration *control_registration(const struct control *c)
{
    return c->registration;
}

void control_on_health(void *part, bool healthy, const char *message, void *user)
{
    struct control *c = user;
    struct part *p = part;
    if (p->machine)
        auto_registration_health(c->registration, p->machine, healthy, message);
}

/* ---- the mesh ---- */

static struct xds_set *join_mesh(struct control *c, const Envoy__Config__Core__V3__Node *node,
                                 const char *account, const struct sidecar_id *id, void **ret_part,
                                 struct err *reterr)
{
    struct registered *machine = NULL;
    struct ip address;
    if (ip_parse(id->ip, &address) < 0 || !id->ns.n) {
        err_set(reterr, -EACCES, "node.id", "of a sidecar it is sidecar~IP~POD.NAMESPACE~DOMAIN");
        return NULL;
    }
    if (!want_mesh(c, reterr))
        return NULL;
    if (register_machine(c, node, account, id, &address, &machine, reterr) < 0)
        return NULL;
    if (account && !machine && check_pod(c, account, &address, id, reterr) < 0)
        return NULL;
    struct part *part = NEW(struct part);
    part->machine = machine;
    part->workload = mesh_join(c->mesh, id->ns, &address);
    *ret_part = part;
    return mesh_workload_set(part->workload);
}

struct xds_set *control_on_node(const Envoy__Config__Core__V3__Node *node,
                                const struct xds_caller *caller, void **ret_part, void *user,
                                struct err *reterr)
{
    struct control *c = user;
    struct sidecar_id id;
    enum translate_peer peer = !knows_ours(node) ? TRANSLATE_FOREIGN
                               : caller->secrets ? TRANSLATE_OURS
                                                 : TRANSLATE_OPEN;
    if (!c->stats.synced) {
        err_set(reterr, -EAGAIN, NULL, "the API server's lists are not complete yet");
        return NULL;
    }
    if (is_sidecar(node->id, &id))
        return join_mesh(c, node, caller->account, &id, ret_part, reterr);
    if (caller->account && !is_gateway(c, caller->account)) {
        err_set(reterr, -EACCES, NULL, "%s: that service account is none of a gateway's",
                caller->account);
        return NULL;
    }
    if (peer == TRANSLATE_OURS && has_identity(node))
        return meshed_gateway_set(c, reterr);
    return is_grpc(node) ? proxyless_set(c->proxyless) : gateway_set(c->gateway, peer);
}

void control_on_account(const char *account, bool begins, void *user)
{
    struct control *c = user;
    if (begins)
        secret_rights_use(c->rights, account);
    else
        secret_rights_end_use(c->rights, account);
}

/* Names are as translate_secret_name() and its like make them. */
enum xds_may control_may_have(const char *account, struct str secret, void *user)
{
    static const struct str kubernetes = STR("kubernetes://");
    struct control *c = user;
    struct str rest, name, own = callers_account(account, &name), ns = own;
    if (str_ends(secret, STR("/trusted"))) /* who is trusted is no secret */
        return XDS_MAY;
    if (str_starts(secret, kubernetes)) {
        struct str key = str_sub(secret, kubernetes.n, secret.n);
        /* Its own owner has named it, for gateways: in its Ingress, or in an annotation of it. */
        if (map_find(&c->ingress_secrets, key) || str_ends(key, STR("/shown")))
            return XDS_MAY;
        ns = str_cut(key, '/', &rest);
    } else if (is_gateway(c, account)) {
        if (str_is(secret, GATEWAY_DEFAULT_SECRET)) /* made by us, of nobody */
            return XDS_MAY;
        ns = str_from(c->options->root_namespace); /* where credentials of their rules are */
    }
    return str_eq(ns, own) ? secret_rights_may(c->rights, account) : XDS_MAY_NOT;
}

bool control_keys_refused(const struct control *c, const char *account)
{
    return secret_rights_refused(c->rights, account);
}

void control_on_end(void *part, void *user)
{
    struct control *c = user;
    struct part *p = part;
    if (p->machine)
        auto_registration_leave(c->registration, p->machine);
    mesh_leave(c->mesh, p->workload);
    free(p);
}

static int find_machine(struct control *c, const struct sidecar_id *id, const struct ip *ip,
                        char **ret_name, char **ret_workload, struct err *reterr)
{
    const struct workloads *all = pod_watch_table(c->pods);
    const struct workload *w = workloads_find_ip(all, id->ns, ip);
    if (!w) /* it is told of in a moment */
        return err_set(reterr, -EAGAIN, NULL, "its WorkloadEntry is not there yet");
    *ret_workload = str_dup(workload_owner(all, w));
    *ret_name = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(id->ns), STR_ARG(id->pod));
    return 0;
}

int control_find_pod(struct control *c, const char *account, const char *node_id, char **ret_pod,
                     char **ret_workload, struct err *reterr)
{
    struct sidecar_id id;
    struct ip address;
    struct str kind = node_id_read(node_id, &id);
    if ((!str_is(kind, "sidecar") && !str_is(kind, "router")) || ip_parse(id.ip, &address) < 0 ||
        !id.ns.n)
        return err_set(reterr, -EACCES, "node",
                       "it is sidecar~IP~POD.NAMESPACE~DOMAIN, or router~ and the same");
    if (!c->stats.synced || !pod_watch_want(c->pods))
        return err_set(reterr, -EAGAIN, NULL, "the API server's list of pods is not complete yet");
    bool machine = auto_registration_has(c->registration, account, &address);
    int r = machine ? 0 : check_pod(c, account, &address, &id, reterr);
    if (r < 0)
        return r;
    if (machine)
        return find_machine(c, &id, &address, ret_pod, ret_workload, reterr);
    AUTO_CHARS char *key = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(id.ns), STR_ARG(id.pod));
    const struct workloads *pods = pod_watch_table(c->pods);
    *ret_workload = str_dup(workload_owner(pods, workloads_find(pods, str_from(key))));
    *ret_pod = TAKE(key);
    return 0;
}
