/* spec.podCIDRs of a Node, waited for: without them pods would be masqueraded as outsiders. The
 * Node may not be registered yet, nor its networks given. */
#include "agent/pod_cidrs.h"

#include "base/log.h"
#include "base/vec.h"

enum { RETRY_MS = 1000 };

static void read_cidrs(const json_t *node, struct pod_cidrs *ret)
{
    size_t i;
    json_t *item, *list = json_at(node, "spec.podCIDRs");
    struct prefix p;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (text && prefix_parse(str_from(text), &p) == 0)
            vec_push(ret, p);
    }
    const char *one = json_at_str(node, "spec.podCIDR");
    if (ret->n == 0 && one && prefix_parse(str_from(one), &p) == 0)
        vec_push(ret, p);
}

void pod_cidrs_wait(struct kube_client *c, const char *node_name, struct pod_cidrs *ret)
{
    AUTO_CHARS char *path = xasprintf("/api/v1/nodes/%s", node_name);
    for (bool told = false; ret->n == 0; told = true) {
        struct kube_reply r;
        struct err err = {0};
        int code = kube_call_wait(c, "GET", path, NULL, NULL, &r, &err);
        if (code == 0 && r.status == 200)
            read_cidrs(r.object, ret);
        if (ret->n == 0 && !told)
            log_warn("waiting for spec.podCIDRs of the node", kv_s("node", node_name),
                     kv_s("cause", code < 0          ? err_text(&err)
                                   : r.status != 200 ? "the API server does not give it"
                                                     : "it has none"));
        kube_reply_done(&r);
        if (ret->n == 0)
            loop_turn(kube_client_loop(c), RETRY_MS);
    }
}
