#include "cninode/node_repair.h"

#include "base/log.h"
#include "intercept/interception_pod.h"

enum { EVERY_MS = 10000, NO_RULES = 126, AT_ONCE_MAX = 20 };

struct node_repair {
    struct kube_client *client;
    struct event_recorder *events;
    struct loop_timer *timer;
    struct kube_call *call;
    char *path;
};

/* ---- pure ---- */

static bool ended_so(const json_t *status, const char *state)
{
    return json_at_int(json_object_get(status, state), "terminated.exitCode", 0) == NO_RULES;
}

bool node_repair_is_broken(const json_t *pod)
{
    json_t *c;
    size_t i;
    if (json_at_str(pod, "metadata.deletionTimestamp"))
        return false;
    json_array_foreach(
        json_at(pod, "status.initContainerStatuses"), i,
        c) if (streq(json_key_str(c, "name"), INTERCEPTION_CHECK)) return ended_so(c, "state") ||
        ended_so(c, "lastState");
    return false;
}

bool node_repair_has_controller(const json_t *pod)
{
    json_t *owner;
    size_t i;
    json_array_foreach(json_at(pod, "metadata.ownerReferences"), i,
                       owner) if (json_at_bool(owner, "controller", false)) return true;
    return false;
}

/* ---- by the API ---- */

/* That one, and no other of its name. */
static void delete (struct node_repair *r, const json_t *pod)
{
    const char *ns = json_at_str(pod, "metadata.namespace"),
               *name = json_at_str(pod, "metadata.name");
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/pods/%s", ns, name);
    AUTO_JSON json_t *options =
        json_pack("{s:s,s:s,s:{s:s*}}", "apiVersion", "v1", "kind", "DeleteOptions",
                  "preconditions", "uid", json_at_str(pod, "metadata.uid"));
    log_warn("a pod has no rules of the mesh: it is deleted, and made anew by its controller",
             kv_s("namespace", ns), kv_s("pod", name));
    kube_call(r->client, "DELETE", path, NULL, options, NULL, NULL);
}

static void look_at(struct node_repair *r, const json_t *pod)
{
    bool anew = node_repair_has_controller(pod);
    event_record(r->events, pod, "Pod", "v1", "Warning", "NotIntercepted",
                 anew ? "What the pod sends and is sent is not led to its proxy: fairlead-cni was "
                        "not there when it started. It is deleted and made anew"
                      : "What the pod sends and is sent is not led to its proxy: fairlead-cni was "
                        "not there when it started. Delete it and make it anew");
    if (anew)
        delete (r, pod);
}

static void on_pods(const struct kube_result *result, void *user)
{
    struct node_repair *r = user;
    unsigned n = 0;
    json_t *pod;
    size_t i;
    r->call = NULL;
    if (!kube_ok(result))
        log_warn("the node's pods cannot be read", kv_s("error", result->message));
    json_array_foreach(json_object_get(result->object, "items"), i,
                       pod) if (n < AT_ONCE_MAX && node_repair_is_broken(pod))
    {
        look_at(r, pod);
        n++;
    }
    loop_timer_start(r->timer, EVERY_MS);
}

static void look(void *user)
{
    struct node_repair *r = user;
    r->call = kube_call(r->client, "GET", r->path, NULL, NULL, on_pods, r);
}

struct node_repair *node_repair_new(struct kube_client *c, struct event_recorder *events,
                                    const char *node_name)
{
    struct node_repair *r = NEW(struct node_repair);
    *r = (struct node_repair){.client = c,
                              .events = events,
                              .timer = loop_timer_new(kube_client_loop(c), look, r),
                              .path = xasprintf("/api/v1/pods?fieldSelector=spec.nodeName%%3D%s"
                                                "%%2Cstatus.phase%%3DPending&resourceVersion=0",
                                                node_name)};
    loop_timer_start(r->timer, 0);
    return r;
}

void node_repair_free(struct node_repair *r)
{
    if (!r)
        return;
    if (r->call)
        kube_call_cancel(r->call);
    loop_timer_free(r->timer);
    free(r->path);
    free(r);
}
