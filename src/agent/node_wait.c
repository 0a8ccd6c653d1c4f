/* Facts of a Node, waited for: it may not be registered yet, nor its networks and addresses given.
 * Without them pods would be masqueraded as outsiders, or node ports answer where they must not. */
#include "agent/node_wait.h"

#include <netinet/in.h>

#include "base/log.h"
#include "base/vec.h"

enum { RETRY_MS = 1000 };

typedef void read_fn(const json_t *node, struct node_prefixes *ret);

static void wait_for(struct kube_client *c, const char *node_name, const char *what, read_fn *read,
                     struct node_prefixes *ret)
{
    AUTO_CHARS char *path = xasprintf("/api/v1/nodes/%s", node_name);
    size_t before = ret->n;
    for (bool told = false; ret->n == before; told = true) {
        struct kube_reply r;
        struct err err = {0};
        int code = kube_call_wait(c, "GET", path, NULL, NULL, &r, &err);
        if (code == 0 && r.status == 200)
            read(r.object, ret);
        if (ret->n == before && !told)
            log_warn("waiting for the node", kv_s("node", node_name), kv_s("for", what),
                     kv_s("cause", code < 0          ? err_text(&err)
                                   : r.status != 200 ? "the API server does not give it"
                                                     : "it has none"));
        kube_reply_done(&r);
        if (ret->n == before)
            loop_turn(kube_client_loop(c), RETRY_MS);
    }
}

static void read_pod_cidrs(const json_t *node, struct node_prefixes *ret)
{
    size_t i, before = ret->n;
    json_t *item;
    struct prefix p;
    json_array_foreach(json_at(node, "spec.podCIDRs"), i, item)
    {
        const char *text = json_string_value(item);
        if (text && prefix_parse(str_from(text), &p) == 0)
            vec_push(ret, p);
    }
    const char *one = json_at_str(node, "spec.podCIDR");
    if (ret->n == before && one && prefix_parse(str_from(one), &p) == 0)
        vec_push(ret, p);
}

static void read_primary_ips(const json_t *node, struct node_prefixes *ret)
{
    static const char *const types[] = {"InternalIP", "ExternalIP"};
    bool have[2] = {false, false};
    for (size_t t = 0; t < ARRAY_LEN(types); t++) {
        size_t i;
        json_t *item;
        json_array_foreach(json_at(node, "status.addresses"), i, item)
        {
            struct prefix p = {0};
            const char *type = json_at_str(item, "type"), *text = json_at_str(item, "address");
            if (!type || !text || !streq(type, types[t]) || ip_parse(str_from(text), &p.ip) < 0)
                continue;
            unsigned family = p.ip.family == AF_INET6;
            p.len = (uint8_t)(ip_bytes(&p.ip) * 8);
            if (!have[family])
                vec_push(ret, p);
            have[family] = true;
        }
    }
}

void node_wait_pod_cidrs(struct kube_client *c, const char *node_name, struct node_prefixes *ret)
{
    wait_for(c, node_name, "spec.podCIDRs", read_pod_cidrs, ret);
}

void node_wait_primary_ips(struct kube_client *c, const char *node_name, struct node_prefixes *ret)
{
    wait_for(c, node_name, "status.addresses", read_primary_ips, ret);
}
