/* fairlead describe pod|service: what holds for one in the mesh, and which objects say so; of a
 * Service its addresses, too. */
#include <stdio.h>

#include "base/time.h"
#include "cli/explain_mesh.h"
#include "cli/object_source.h"
#include "model/mesh_describe.h"

struct describe_args {
    struct cli_session session;
    struct arg_list words, files;
    const char *output;
};

/* ---- what is shown ---- */

static void print_names(const char *before, const json_t *list)
{
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
        printf("%s%s", i ? ", " : before, json_string_value(one));
}

static void print_service(const json_t *j)
{
    json_t *one;
    size_t i;
    const char *pool = json_key_str(j, "pool"), *node = json_key_str(j, "announcedBy");
    printf("service: %s\n", json_key_str(j, "service"));
    if (json_array_size(json_object_get(j, "addresses"))) {
        print_names("  address ", json_object_get(j, "addresses"));
        printf("%s%s%s%s", pool ? " of pool " : "", pool ? pool : "",
               node ? ", announced by node " : "", node ? node : "");
        print_names(", told to routers by ", json_object_get(j, "announcedByBGP"));
        printf("\n");
    }
    json_array_foreach(json_object_get(j, "ports"), i, one)
        printf("  port %d %s: %s\n", (int)json_at_int(one, "port", 0), json_key_str(one, "name"),
               json_key_str(one, "protocol"));
    json_array_foreach(json_object_get(j, "workloads"), i, one)
    {
        int pods = (int)json_at_int(one, "pods", 0);
        printf("  workload %s: %d pod%s, %s, %s", json_key_str(one, "name"), pods,
               pods == 1 ? "" : "s",
               json_is_true(json_object_get(one, "inMesh")) ? "with a proxy" : "without a proxy",
               json_key_str(one, "mode"));
        print_names(", subset ", json_object_get(one, "subsets"));
        printf("\n");
    }
    json_array_foreach(json_object_get(j, "destinationRules"), i, one)
    {
        printf("  DestinationRule %s%s", json_key_str(one, "object"),
               json_is_true(json_object_get(one, "policy")) ? ", a policy" : "");
        print_names(", subsets ", json_object_get(one, "subsets"));
        printf("\n");
    }
    json_array_foreach(json_object_get(j, "virtualServices"), i, one)
        printf("  VirtualService %s: %d routes of HTTP, %d of TCP, %d of TLS\n",
               json_key_str(one, "object"), (int)json_at_int(one, "http", 0),
               (int)json_at_int(one, "tcp", 0), (int)json_at_int(one, "tls", 0));
}

static void print_pod(const json_t *j)
{
    const char *sidecar = json_key_str(j, "sidecar");
    json_t *one;
    size_t i;
    printf("pod: %s, of %s\n", json_key_str(j, "pod"), json_key_str(j, "workload"));
    printf("identity: %s\n", json_key_str(j, "principal"));
    printf("proxy: %s\n", json_is_true(json_object_get(j, "inMesh"))
                              ? "yes"
                              : "no: nobody takes mutual TLS for it");
    printf("knows: %s%s\n", sidecar ? "what Sidecar lets it: " : "all that its namespace sees",
           sidecar ? sidecar : "");
    printf("is called: %s\n", json_key_str(j, "mode"));
    json_array_foreach(json_object_get(j, "modePorts"), i, one)
        printf("  port %d: %s\n", (int)json_at_int(one, "port", 0), json_key_str(one, "mode"));
    json_array_foreach(json_object_get(j, "policies"), i, one) printf(
        "AuthorizationPolicy %s: %s%s%s\n", json_key_str(one, "object"),
        json_key_str(one, "action"),
        json_is_true(json_object_get(one, "dryRun")) ? ", a dry run" : "",
        json_is_true(json_object_get(one, "broken")) ? ", cannot be read: fails closed" : "");
    json_array_foreach(json_object_get(j, "tokens"), i, one)
        printf("RequestAuthentication %s\n", json_string_value(one));
    json_array_foreach(json_object_get(j, "services"), i, one) print_service(one);
}

/* ---- which one ---- */

static int read_objects(struct describe_args *a, struct object_source *s)
{
    if (a->files.n)
        return object_source_read_files(s, &a->files, false, a->session.namespace_);
    int code = cli_session_open(&a->session);
    return code < 0 ? object_source_read_cluster(s, &a->session, OBJECTS_FOR_ANALYSIS) : code;
}

/* ---- its addresses ---- */

/* Agents say it every 20 minutes. */
enum { SAID_LATELY_S = 21 * 60 };

static bool is_of_bgp(const json_t *event)
{
    const char *message = json_key_str(event, "message");
    return message && strstr(message, "with protocol \"bgp\"");
}

static void add_announcer(json_t *to, const char *when, const char *host)
{
    int64_t us;
    AUTO_JSON json_t *node = json_text(str_from(host));
    if (time_parse_rfc3339(str_from(when), &us) < 0 || us / 1000000 < time_real_s() - SAID_LATELY_S)
        return;
    json_t *list = json_object_get(to, "announcedByBGP");
    if (!list)
        json_object_set_new(to, "announcedByBGP", list = json_array());
    if (!json_array_has(list, node))
        json_array_append(list, node);
}

/* The node whose agent has said last that it answers for them, and all that have told routers of
 * them lately. */
static void add_announcers(const struct describe_args *a, const char *ns, const char *name,
                           json_t *to)
{
    struct kube_reply r = {0};
    json_t *e;
    size_t i;
    const char *last = "", *node = NULL;
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/%s/events?fieldSelector=involvedObject.kind%%3DService%%2C"
                  "involvedObject.name%%3D%s%%2Creason%%3DnodeAssigned",
                  ns, name);
    if (!a->session.client ||
        kube_call_wait(a->session.client, "GET", path, NULL, NULL, &r, NULL) < 0)
        return;
    json_array_foreach(json_at(r.object, "items"), i, e)
    {
        const char *when = json_key_str(e, "lastTimestamp"), *host = json_at_str(e, "source.host");
        if (when && host && is_of_bgp(e)) {
            add_announcer(to, when, host);
        } else if (when && host && strcmp(when, last) >= 0) {
            last = when;
            node = host;
        }
    }
    if (node)
        json_object_set_new(to, "announcedBy", json_text(str_from(node)));
    kube_reply_done(&r);
}

static const json_t *find_service(const json_t *objects, const char *ns, const char *name)
{
    json_t *o;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i,
                       o) if (streq(json_key_str(o, "kind"), "Service") &&
                              streq(json_at_str(o, "metadata.name"), name) &&
                              streq(json_at_str(o, "metadata.namespace"), ns)) return o;
    return NULL;
}

/* What of a LoadBalancer others can reach it by. */
static void add_addresses(const struct describe_args *a, const json_t *objects, const char *ns,
                          const char *name, json_t *to)
{
    const json_t *service = find_service(objects, ns, name);
    const char *pool =
        json_key_str(json_at(service, "metadata.annotations"), "metallb.io/ip-allocated-from-pool");
    json_t *one, *addresses = json_array();
    size_t i;
    json_array_foreach(json_at(service, "status.loadBalancer.ingress"), i, one)
    {
        const char *ip = json_key_str(one, "ip"), *host = json_key_str(one, "hostname");
        if (ip || host)
            json_array_append_new(addresses, json_text(str_from(ip ? ip : host)));
    }
    if (json_array_size(addresses)) {
        json_object_set(to, "addresses", addresses);
        if (pool)
            json_object_set_new(to, "pool", json_text(str_from(pool)));
        add_announcers(a, ns, name, to);
    }
    json_decref(addresses);
}

static int describe(const struct describe_args *a, const json_t *objects, bool service,
                    const char *name)
{
    const char *ns = a->session.namespace_ ? a->session.namespace_ : "default";
    AUTO(mesh_snapshot) struct mesh_snapshot *s = mesh_snapshot_of(objects);
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    const struct workload *pod = service ? NULL : cli_explain_find_pod(s, ns, name);
    AUTO_JSON json_t *j = service ? mesh_describe_service(s, objects, key)
                          : pod   ? mesh_describe_pod(s, objects, pod, "cluster.local")
                                  : NULL;
    if (!j)
        return program_fail(EXIT_FAILED, NULL, "there is no %s %s in namespace %s",
                            service ? "Service" : "pod", name, ns);
    if (service)
        add_addresses(a, objects, ns, name, j);
    if (streq(a->output, "json")) {
        AUTO_DONE(buf) struct buf text = {0};
        json_write_indented(&text, j);
        printf("%s\n", buf_cstr(&text));
    } else if (service) {
        print_service(j);
    } else {
        print_pod(j);
    }
    return EXIT_OK;
}

/* "pod NAME", "svc/NAME", "deploy/NAME": one of its pods. */
static int run(struct describe_args *a)
{
    const char *word = a->words.n ? a->words.v[0] : "";
    AUTO_CHARS char *joined = a->words.n == 2 ? xasprintf("%s/%s", word, a->words.v[1]) : NULL;
    const char *text = joined ? joined : word, *slash = strchr(text, '/');
    struct object_source source = {0};
    if (a->words.n < 1 || a->words.n > 2 || !slash || !slash[1] || strchr(slash + 1, '/'))
        return program_fail(EXIT_USAGE_ERROR, "fairlead describe pod NAME, or service NAME",
                            "say of what");
    if (a->output && !streq(a->output, "json"))
        return program_fail(EXIT_USAGE_ERROR, "-o json", "-o: \"%s\" is not known", a->output);
    bool service = str_starts(str_from(text), STR("svc/")) ||
                   str_starts(str_from(text), STR("service/")) ||
                   str_starts(str_from(text), STR("services/"));
    int code = read_objects(a, &source);
    if (code < 0)
        code = describe(a, source.list, service, service ? slash + 1 : text);
    object_source_done(&source);
    return code;
}

int cli_describe(int argc, char **argv)
{
    struct describe_args a = {0};
    struct arg args[] = {
        {"filename", 'f', ARG_STRINGS, &a.files, "FILE",
         "manifests instead of the cluster (repeat)", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "json", 0, 0, false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {"fairlead describe",
                              "says what holds for a pod or a Service in the mesh",
                              "(pod|service) NAME [flags]",
                              "  fairlead describe pod web-5d9c7b8f4-x2x7q\n"
                              "  fairlead describe deploy/web\n"
                              "  fairlead describe svc/web -f manifests/\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.files);
    arg_list_done(&a.words);
    return code;
}
