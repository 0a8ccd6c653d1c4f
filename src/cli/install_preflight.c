/* A look at the cluster before anything is changed: each check has an id of docs/install.md, a
 * severity and what to do. Reads, and asks what may be done; changes nothing. */
#include <errno.h>
#include <stdio.h>

#include "chart/values.h"
#include "cli/install.h"

enum severity {
    FINE,
    WARNING,
    FAILING,
};

struct result {
    enum severity severity;
    struct buf detail;
    char *hint; /* NULL: the check's own */
};

struct preflight_check {
    const char *id, *what, *hint;
    void (*run)(struct install *in, struct result *r);
};

static bool chosen(const struct install *in, const char *path)
{
    return json_at_bool(in->values, path, false);
}

static void found(struct result *r, enum severity severity, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void found(struct result *r, enum severity severity, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_add_cstr(&r->detail, r->detail.n ? ", " : "");
    buf_addv(&r->detail, fmt, ap);
    va_end(ap);
    r->severity = MAX(r->severity, severity);
}

/* ---- the server ---- */

static void check_version(struct install *in, struct result *r)
{
    enum { OLDEST_MINOR = 29 };
    AUTO_JSON json_t *v = install_get(in, "/version");
    const char *git = json_key_str(v, "gitVersion");
    int major = 0, minor = 0;
    if (!git || sscanf(git, "v%d.%d", &major, &minor) != 2)
        found(r, WARNING, "the server does not say which version it is");
    else if (major == 1 && minor < OLDEST_MINOR)
        found(r, FAILING, "the server is %s", git);
    else
        buf_add_cstr(&r->detail, git);
}

static void check_kinds(struct install *in, struct result *r)
{
    static const struct {
        const char *kind, *hint;
    } remedies[] = {
        {"PodDisruptionBudget", "--set control.podDisruptionBudget.enabled=false,"
                                "gateway.podDisruptionBudget.enabled=false"},
        {"PodMonitor", "install the Prometheus operator first, or --set "
                       "monitoring.podMonitor.enabled=false"},
        {"DaemonSet", "--set agent.enabled=false: something else carries Services then"},
        {"NetworkPolicy", "--set networkPolicy.enabled=false"},
    };
    json_t *o;
    size_t i, k;
    json_array_foreach(in->output.objects, i, o)
    {
        const char *kind = json_key_str(o, "kind");
        if (install_resource(in, o) || strstr(buf_cstr(&r->detail), kind))
            continue;
        found(r, FAILING, "no %s (%s)", kind, json_key_str(o, "apiVersion"));
        for (k = 0; k < ARRAY_LEN(remedies); k++) {
            if (!streq(remedies[k].kind, kind))
                continue;
            char *both = r->hint ? xasprintf("%s; %s", r->hint, remedies[k].hint)
                                 : xstrdup(remedies[k].hint);
            free(r->hint);
            r->hint = both;
        }
    }
}

/* ---- rights ---- */

static bool may(struct install *in, const char *verb, const struct kube_resource *of,
                const char *ns, char *ret_reason, size_t size)
{
    struct kube_reply reply;
    const char *slash = strchr(of->group_version, '/');
    AUTO_CHARS char *group =
        slash ? str_dup(str_of(of->group_version, (size_t)(slash - of->group_version)))
              : xstrdup("");
    AUTO_JSON json_t *ask =
        json_pack("{s:s,s:s,s:{s:{s:s,s:s,s:s,s:s}}}", "apiVersion", "authorization.k8s.io/v1",
                  "kind", "SelfSubjectAccessReview", "spec", "resourceAttributes", "verb", verb,
                  "group", group, "resource", of->plural, "namespace", of->namespaced ? ns : "");
    if (install_call(in, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", NULL,
                     ask, &reply))
        return false;
    bool allowed = json_at_bool(reply.object, "status.allowed", false);
    const char *reason = json_at_str(reply.object, "status.reason");
    snprintf(ret_reason, size, "%s", reason ? reason : "");
    kube_reply_done(&reply);
    return allowed;
}

/* Each kind and namespace once, in "seen". */
static bool is_new(struct buf *seen, const char *key)
{
    AUTO_CHARS char *word = xasprintf("|%s|", key);
    if (strstr(buf_cstr(seen), word))
        return false;
    buf_add_cstr(seen, word);
    return true;
}

static void ask_rights(struct install *in, const json_t *object, struct buf *seen, struct result *r)
{
    static const char *const verbs[] = {"get", "create", "patch", "delete"};
    const struct kube_resource *of = install_resource(in, object);
    const char *ns = json_at_str(object, "metadata.namespace");
    ns = ns ? ns : CHART_NAMESPACE;
    if (!of)
        return;
    AUTO_CHARS char *key =
        xasprintf("%s %s %s", of->plural, of->group_version, of->namespaced ? ns : "");
    if (!is_new(seen, key))
        return;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        char reason[200];
        if (!may(in, verbs[i], of, ns, reason, sizeof(reason)))
            found(r, FAILING, "may not %s %s%s%s", verbs[i], of->plural,
                  of->namespaced ? " in " : "", of->namespaced ? ns : "");
    }
}

static void check_rights(struct install *in, struct result *r)
{
    AUTO_DONE(buf) struct buf seen = {0};
    AUTO_JSON json_t *state =
        json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion", "v1", "kind", "Secret", "metadata", "name",
                  "record", "namespace", CHART_NAMESPACE);
    AUTO_JSON json_t *ns = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace",
                                     "metadata", "name", CHART_NAMESPACE);
    json_t *o;
    size_t i;
    ask_rights(in, state, &seen, r);
    if (!in->namespace_exists)
        ask_rights(in, ns, &seen, r);
    json_array_foreach(in->output.objects, i, o) ask_rights(in, o, &seen, r);
}

/* ---- who else is there ---- */

static void check_kube_proxy(struct install *in, struct result *r)
{
    AUTO_JSON json_t *pods =
        install_get(in, "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-proxy");
    size_t n = json_array_size(json_at(pods, "items"));
    if (n && chosen(in, "agent.enabled"))
        found(r, in->beside_kube_proxy ? WARNING : FAILING,
              "%zu pod%s of kube-proxy in kube-system", n, n == 1 ? "" : "s");
}

static void check_nginx(struct install *in, struct result *r)
{
    AUTO_JSON json_t *class = install_get(in, "/apis/networking.k8s.io/v1/ingressclasses/nginx");
    AUTO_JSON json_t *pods =
        install_get(in, "/api/v1/pods?labelSelector=app.kubernetes.io/name%3Dingress-nginx,"
                        "app.kubernetes.io/component%3Dcontroller");
    if (!chosen(in, "control.enabled"))
        return;
    if (class && !install_is_ours(class) && chosen(in, "ingress.classes.nginx.create") &&
        !in->take_ownership)
        found(r, FAILING, "the class nginx is somebody else's");
    if (json_array_size(json_at(pods, "items")) &&
        strstr(buf_cstr(&in->output.manifest), "k8s.io/ingress-nginx"))
        found(r, WARNING,
              "its controller runs, and both serve Ingresses of that class and write "
              "their status");
}

static void check_istiod(struct install *in, struct result *r)
{
    AUTO_JSON json_t *pods = install_get(in, "/api/v1/pods?labelSelector=app%3Distiod");
    AUTO_JSON json_t *hooks =
        install_get(in, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations");
    json_t *h;
    size_t i;
    if (!chosen(in, "mesh.enabled"))
        return;
    enum severity severity = chosen(in, "mesh.revisionOnly") ? FINE : FAILING;
    if (json_array_size(json_at(pods, "items")))
        found(r, severity, "istiod runs in %s",
              json_at_str(json_array_get(json_at(pods, "items"), 0), "metadata.namespace"));
    json_array_foreach(json_at(hooks, "items"), i, h)
    {
        const char *name = json_at_str(h, "metadata.name");
        if (name && str_starts(str_from(name), STR("istio-")) && strstr(name, "injector"))
            found(r, severity, "webhook %s", name);
    }
}

static void check_owners(struct install *in, struct result *r)
{
    json_t *o;
    size_t i, n = 0, definitions = 0;
    json_array_foreach(in->output.objects, i, o)
    {
        AUTO_CHARS char *path = install_path(in, o);
        AUTO_CHARS char *name = install_name(o);
        AUTO_JSON json_t *live = path ? install_get(in, path) : NULL;
        if (!live || install_is_ours(live) || chart_step_of(o) == CHART_NAMESPACES)
            continue;
        if (chart_step_of(o) == CHART_DEFINITIONS)
            definitions++;
        if (n++ < 4)
            found(r, in->take_ownership ? WARNING : FAILING, "%s", name);
    }
    if (n > 4)
        buf_addf(&r->detail, " and %zu more", n - 4);
    if (n && in->take_ownership)
        r->hint = xstrdup("they are changed, and go when this is taken out");
    else if (definitions)
        r->hint = xstrdup("--set crds.install=false leaves definitions as they are; "
                          "--take-ownership makes all of these the release's");
}

/* ---- what may run ---- */

static void check_pod_security(struct install *in, struct result *r)
{
    AUTO_JSON json_t *ns = install_get(in, "/api/v1/namespaces/" CHART_NAMESPACE);
    const char *level =
        json_key_str(json_at(ns, "metadata.labels"), "pod-security.kubernetes.io/enforce");
    if (level && !streq(level, "privileged") && chosen(in, "agent.enabled"))
        found(r, FAILING,
              "the namespace has the level %s, which refuses agents: they use the "
              "node's network",
              level);
}

/* Taken into the release's values, so that it stays. */
static void check_api_server(struct install *in, struct result *r)
{
    AUTO_JSON json_t *slices =
        install_get(in, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector="
                        "kubernetes.io/service-name%3Dkubernetes");
    const char *host = json_at_str(in->values, "agent.apiServer.host");
    json_t *slice = json_array_get(json_at(slices, "items"), 0);
    json_t *endpoint = json_array_get(json_at(slice, "endpoints"), 0);
    const char *address = json_string_value(json_array_get(json_at(endpoint, "addresses"), 0));
    int64_t port = json_at_int(json_array_get(json_at(slice, "ports"), 0), "port", 0);
    if (!chosen(in, "agent.enabled"))
        return;
    if (!str_empty(host)) {
        buf_add_cstr(&r->detail, host);
        return;
    }
    if (!address || !port) {
        found(r, WARNING, "the Service kubernetes has no EndpointSlice");
        return;
    }
    json_put_str(in->chosen, "agent.apiServer.host", address);
    json_put_int(in->chosen, "agent.apiServer.port", port);
    buf_addf(&r->detail, "%s, port %lld, of %zu: by the EndpointSlice of kubernetes", address,
             (long long)port, json_array_size(json_at(slice, "endpoints")));
}

static void check_images(struct install *in, struct result *r)
{
    if (streq(json_at_str(in->values, "image.registry"), "localhost") &&
        !chosen(in, "image.untagged"))
        found(r, WARNING, "they are named localhost/…: no node can fetch them");
}

static const struct preflight_check checks[] = {
    {"FL-INST-001", "Kubernetes 1.29 or newer", "bring the cluster up to date", check_version},
    {"FL-INST-002", "the server has each kind", "leave it out by its value", check_kinds},
    {"FL-INST-003", "rights of who installs", "use an account with the rights of cluster-admin",
     check_rights},
    {"FL-INST-004", "no kube-proxy beside agents",
     "--set agent.enabled=false, or --beside-kube-proxy, to move: "
     "docs/install.md#beside-kube-proxy",
     check_kube_proxy},
    {"FL-INST-005", "ingress-nginx and its class",
     "--set ingress.classes.nginx.create=false; docs/migrate.md has the way over", check_nginx},
    {"FL-INST-006", "no istiod that injects, too", "--set mesh.revisionOnly=true", check_istiod},
    {"FL-INST-007", "nobody else has these objects",
     "leave them out by their value, or --take-ownership", check_owners},
    {"FL-INST-008", "pod security",
     "kubectl label ns " CHART_NAMESPACE
     " pod-security.kubernetes.io/enforce=privileged --overwrite",
     check_pod_security},
    {"FL-INST-009", "an address of the API server without Services",
     "--set agent.apiServer.host=ADDRESS", check_api_server},
    {"FL-INST-010", "images", "--set image.registry=REGISTRY, or import them on each node",
     check_images},
};

static void print(const struct preflight_check *c, struct result *r)
{
    static const char *const words[] = {"ok  ", "WARN", "FAIL"};
    printf("%s  %s  %s%s%s\n", words[r->severity], c->id, c->what, r->detail.n ? ": " : "",
           buf_cstr(&r->detail));
    if (r->severity != FINE)
        printf("      hint: %s\n", r->hint ? r->hint : c->hint);
}

int install_preflight(struct install *in)
{
    enum severity worst = FINE;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct result r = {0};
        checks[i].run(in, &r);
        print(&checks[i], &r);
        worst = MAX(worst, r.severity);
        buf_done(&r.detail);
        free(r.hint);
    }
    fflush(stdout);
    return worst == FAILING ? program_fail(EXIT_FINDINGS, NULL, "nothing is changed: see above")
                            : -1;
}
