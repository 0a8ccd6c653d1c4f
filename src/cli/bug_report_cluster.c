/* What a bug report tells of a cluster, by what who asks may see: our pods and their logs, what
 * control planes, agents and proxies answer, Events. No Secret is ever read. */
#include <stdio.h>

#include "cli/bug_report.h"
#include "cli/exec.h"
#include "cli/proxy_source.h"
#include "cli/view_token.h"

enum { AGENT_METRICS_PORT = 10249 };

struct collection {
    struct bug_report *report;
    struct cli_session *session;
    VEC(char *) proxies; /* POD.NAMESPACE, that are connected */
};

/* The body of a good answer; told why not. */
static bool get(struct collection *c, const char *target, const char *path, struct cli_answer *ret)
{
    struct err err = {0};
    if (cli_request(c->session, "GET", target, "*/*", NULL, (struct str){0}, ret, &err) < 0) {
        bug_report_left_out(c->report, path, err_text(&err));
        return false;
    }
    if (ret->status == 200)
        return true;
    AUTO_JSON json_t *status = NULL;
    const char *message = NULL;
    if (json_parse(buf_str(&ret->body), 0, NULL, &status, NULL) == 0)
        message = json_key_str(status, "message");
    AUTO_CHARS char *text = message ? xstrdup(message) : xasprintf("HTTP status %d", ret->status);
    bug_report_left_out(c->report, path, text);
    return false;
}

/* As JSON if it is, else as text. */
static void add_body(struct bug_report *r, const char *path, const char *what, struct str body)
{
    AUTO_JSON json_t *j = NULL;
    if (json_parse(body, 0, NULL, &j, NULL) == 0 && !json_is_string(j))
        bug_report_add_json(r, path, what, j);
    else
        bug_report_add_text(r, path, what, body);
}

static void add_target(struct collection *c, const char *target, const char *path, const char *what)
{
    struct cli_answer a = {0};
    if (!bug_report_wants(c->report, path, what))
        return;
    if (get(c, target, path, &a))
        add_body(c->report, path, what, buf_str(&a.body));
    buf_done(&a.body);
}

/* A list of the API; NULL: told. */
static json_t *get_list(struct collection *c, const char *target, const char *path)
{
    struct cli_answer a = {0};
    json_t *list = NULL;
    struct err err = {0};
    if (get(c, target, path, &a) && json_parse(buf_str(&a.body), 0, NULL, &list, &err) < 0)
        bug_report_left_out(c->report, path, err_text(&err));
    buf_done(&a.body);
    return list;
}

/* ---- a pod ---- */

static bool has_label(const json_t *pod, const char *app)
{
    return streq(json_at_str(pod, "metadata.labels.app"), app);
}

static void add_log(struct collection *c, const char *pod, const char *container, bool previous)
{
    struct bug_report *r = c->report;
    AUTO_CHARS char *path =
        xasprintf("logs/%s.%s%s.log", pod, container, previous ? ".previous" : "");
    AUTO_CHARS char *target = xasprintf(
        "/api/v1/namespaces/%s/pods/%s/log?container=%s&previous=%s&tailLines=%lld&timestamps=true",
        r->control_namespace, pod, container, previous ? "true" : "false", (long long)r->log_lines);
    struct cli_answer a = {0};
    if (!bug_report_wants(r, path, "log"))
        return;
    if (get(c, target, path, &a))
        bug_report_add_text(r, path, "log", buf_str(&a.body));
    buf_done(&a.body);
}

static void add_logs(struct collection *c, const json_t *pod)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    const char *name = json_at_str(pod, "metadata.name");
    json_t *one;
    size_t k;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        json_array_foreach(json_at(pod, lists[i]), k, one)
        {
            const char *container = json_key_str(one, "name");
            if (!container)
                continue;
            add_log(c, name, container, false);
            if (json_at_int(one, "restartCount", 0) > 0)
                add_log(c, name, container, true);
        }
}

static void on_syncz(struct collection *c, struct str body)
{
    AUTO_JSON json_t *list = NULL;
    json_t *one;
    size_t i;
    if (json_parse(body, 0, NULL, &list, NULL) < 0)
        return;
    json_array_foreach(list, i, one)
    {
        struct str rest = str_from(json_key_str(one, "proxy")), part = {0};
        for (int k = 0; k < 3 && rest.p; k++)
            part = str_cut(rest, '~', &rest);
        if (rest.p && part.n)
            vec_push(&c->proxies, str_dup(part));
    }
}

static bool get_page(struct collection *c, const char *target, const char *path,
                     struct cli_answer *ret)
{
    struct err err = {0};
    view_token_want(c->session, c->report->control_namespace);
    if (cli_request_view(c->session, target, ret, &err) < 0) {
        bug_report_left_out(c->report, path, err_text(&err));
        return false;
    }
    AUTO_CHARS char *why = ret->status == 200
                               ? NULL
                               : view_token_refusal(c->session, ret->status, buf_str(&ret->body));
    if (why)
        bug_report_left_out(c->report, path, why);
    return !why;
}

static void add_control(struct collection *c, const char *pod)
{
    static const struct {
        const char *target, *file, *what;
    } pages[] = {{"/metrics", "metrics.txt", "metrics"},
                 {"/debug/syncz", "syncz.json", "which proxies are connected, and what they have"},
                 {"/debug/snapshot", "snapshot.json", "the model, summed up"},
                 {"/debug/config_dump", "config_dump.json", "what proxies are sent"}};
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        AUTO_CHARS char *path = xasprintf("control/%s/%s", pod, pages[i].file);
        AUTO_CHARS char *target =
            control_target(c->report->control_namespace, pod, pages[i].target);
        struct cli_answer a = {0};
        bool wanted = bug_report_wants(c->report, path, pages[i].what);
        bool names = streq(pages[i].file, "syncz.json"); /* a dry run names proxies, too */
        if ((wanted || names) && get_page(c, target, path, &a)) {
            if (names)
                on_syncz(c, buf_str(&a.body));
            if (wanted)
                add_body(c->report, path, pages[i].what, buf_str(&a.body));
        }
        buf_done(&a.body);
    }
}

/* What a program in a container answers on its loopback, by `PROGRAM request`. */
static void add_asked(struct collection *c, const char *ns, const char *pod, const char *container,
                      const char *program, const char *target, const char *path, const char *what)
{
    const char *const command[] = {program, "request", "GET", target};
    AUTO_DONE(buf) struct buf out = {0};
    AUTO_DONE(buf) struct buf errors = {0};
    struct cli_session s = *c->session;
    if (!bug_report_wants(c->report, path, what))
        return;
    s.namespace_ = ns;
    int code = cli_exec_capture(&s, pod, container, command, ARRAY_LEN(command), &out, &errors);
    if (code == 0)
        add_body(c->report, path, what, buf_str(&out));
    else
        bug_report_left_out(c->report, path,
                            errors.n ? buf_cstr(&errors) : "nothing could be run in its container");
}

static void add_agent(struct collection *c, const char *pod)
{
    AUTO_CHARS char *path = xasprintf("agents/%s/metrics.txt", pod);
    add_asked(c, c->report->control_namespace, pod, "agent", "fairlead-agent", "/metrics", path,
              "metrics");
}

static void add_proxy(struct collection *c, const char *ns, const char *pod, const char *container)
{
    static const struct {
        const char *target, *file, *what;
    } pages[] = {{"/stats/prometheus", "stats.txt", "metrics"},
                 {"/config_dump", "config_dump.json", "its configuration"},
                 {"/clusters?format=json", "clusters.json", "endpoints and their health"},
                 {"/certs", "certs.json", "names and days of certificates"},
                 {"/server_info", "server_info.json", "version, flags"}};
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        AUTO_CHARS char *path = xasprintf("proxies/%s.%s/%s", ns, pod, pages[i].file);
        add_asked(c, ns, pod, container, "fairlead-proxy", pages[i].target, path, pages[i].what);
    }
}

static void add_proxies(struct collection *c)
{
    int64_t n = 0;
    VEC_FOREACH (name, &c->proxies) {
        struct proxy_name p;
        struct cli_session s = *c->session;
        AUTO_CHARS char *path = xasprintf("proxies/%s", *name);
        if (n++ >= c->report->proxies_max) {
            bug_report_left_out(c->report, path, "more proxies than --proxies");
            continue;
        }
        if (proxy_name_find(&s, *name, &p) >= 0) {
            bug_report_left_out(c->report, path, "its pod is not there");
            continue;
        }
        add_proxy(c, s.namespace_, p.pod, p.container);
        proxy_name_done(&p);
    }
}

/* ---- lists ---- */

/* Members of an object that are wanted, by their paths. */
static json_t *only(const json_t *o, const char *const *paths)
{
    json_t *j = json_object();
    for (; *paths; paths++) {
        json_t *value = json_at(o, *paths);
        if (value)
            json_put(j, *paths, json_deep_copy(value));
    }
    return j;
}

/* Lists that are told of in part. keep: NULL, or which of them. */
static void add_list(struct collection *c, const char *target, const char *path, const char *what,
                     const char *const *paths, bool (*keep)(const json_t *o))
{
    AUTO_JSON json_t *list = NULL;
    AUTO_JSON json_t *told = json_array();
    json_t *one;
    size_t i;
    if (!bug_report_wants(c->report, path, what))
        return;
    list = get_list(c, target, path);
    json_array_foreach(json_at(list, "items"), i, one) if (!keep || keep(one))
        json_array_append_new(told, only(one, paths));
    if (list)
        bug_report_add_json(c->report, path, what, told);
}

static bool is_our_event(const json_t *o)
{
    const char *component = json_at_str(o, "source.component");
    if (str_empty(component))
        component = json_at_str(o, "reportingComponent");
    return component && str_starts(str_from(component), STR("fairlead"));
}

static void add_lists(struct collection *c)
{
    static const char *const of_nodes[] = {"metadata.name", "status.nodeInfo", "status.addresses",
                                           "spec.podCIDRs", NULL};
    static const char *const of_events[] = {
        "metadata.namespace", "involvedObject", "reason",    "message", "type", "count",
        "firstTimestamp",     "lastTimestamp",  "eventTime", "source",  NULL};
    static const char *const of_workloads[] = {"metadata.name", "metadata.labels", "spec", "status",
                                               NULL};
    const char *ns = c->report->control_namespace;
    AUTO_CHARS char *our_events = xasprintf("/api/v1/namespaces/%s/events?limit=1000", ns);
    AUTO_CHARS char *daemons = xasprintf("/apis/apps/v1/namespaces/%s/daemonsets", ns);
    AUTO_CHARS char *deployments = xasprintf("/apis/apps/v1/namespaces/%s/deployments", ns);
    add_target(c, "/version", "cluster/version.json", "version of the API server");
    add_list(c, "/api/v1/nodes?limit=500", "cluster/nodes.json",
             "nodes: kernel, kubelet, addresses", of_nodes, NULL);
    add_list(c, daemons, "cluster/daemonsets.json", "our DaemonSets", of_workloads, NULL);
    add_list(c, deployments, "cluster/deployments.json", "our Deployments", of_workloads, NULL);
    add_list(c, our_events, "cluster/events-of-our-namespace.json", "Events", of_events, NULL);
    add_list(c, "/api/v1/events?limit=5000", "cluster/events-of-ours.json",
             "Events that our programs have written, in all namespaces", of_events, is_our_event);
}

void bug_report_add_cluster(struct bug_report *r, struct cli_session *s)
{
    static const char *const of_pods[] = {"metadata.name",   "metadata.labels", "spec.nodeName",
                                          "spec.containers", "status",          NULL};
    static const char path[] = "cluster/pods.json", what[] = "our pods";
    struct collection c = {.report = r, .session = s};
    AUTO_CHARS char *target = xasprintf("/api/v1/namespaces/%s/pods", r->control_namespace);
    AUTO_JSON json_t *told = json_array();
    json_t *pod;
    size_t i;
    add_lists(&c);
    AUTO_JSON json_t *pods = get_list(&c, target, path);
    json_array_foreach(json_at(pods, "items"), i, pod)
    {
        const char *name = json_at_str(pod, "metadata.name");
        json_array_append_new(told, only(pod, of_pods));
        if (has_label(pod, "fairlead-control"))
            add_control(&c, name);
        else if (has_label(pod, "fairlead-agent"))
            add_agent(&c, name);
        add_logs(&c, pod);
    }
    if (pods && bug_report_wants(r, path, what))
        bug_report_add_json(r, path, what, told);
    add_proxies(&c);
    VEC_FOREACH (name, &c.proxies)
        free(*name);
    vec_done(&c.proxies);
}
