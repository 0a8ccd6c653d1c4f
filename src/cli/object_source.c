#include "cli/object_source.h"

#include <errno.h>
#include <stdio.h>

#include "codec/yaml.h"
#include "codec/yaml_where.h"
#include "kube/kind_rules.h"
#include "kube/manifest.h"

/* ---- one object ---- */

static bool is_kind(const json_t *j, const char *kind)
{
    return streq(json_key_str(j, "kind"), kind);
}

static void take(struct object_source *s, json_t *j)
{
    const char *version = json_key_str(j, "apiVersion");
    if (is_kind(j, "Ingress") && version && str_ends(str_from(version), STR("/v1beta1"))) {
        ingress_to_v1(j);
        json_put_str(j, "apiVersion", "networking.k8s.io/v1");
    }
    s->knows_classes = s->knows_classes || is_kind(j, "IngressClass");
    s->knows_services = s->knows_services || is_kind(j, "Service");
    s->knows_endpoints = s->knows_endpoints || is_kind(j, "EndpointSlice");
    s->knows_pods = s->knows_pods || is_kind(j, "Pod") || is_kind(j, "Deployment") ||
                    is_kind(j, "StatefulSet") || is_kind(j, "DaemonSet");
    s->knows_secrets = s->knows_secrets || is_kind(j, "Secret");
}

/* ---- files ---- */

static int take_file(const char *file, struct str text, void *user, struct err *reterr)
{
    struct object_source *s = user;
    size_t first = json_array_size(s->list);
    int r = manifest_parse(text, file, s->list, reterr);
    if (r < 0)
        return r;
    struct object_file *f = NEW(struct object_file);
    f->name = xstrdup(file);
    f->text = str_dup(text);
    f->first = first;
    vec_push(&s->files, f);
    return 0;
}

static bool has_namespace(const json_t *j)
{
    static const char *const without[] = {"IngressClass",
                                          "Namespace",
                                          "Node",
                                          "ClusterRole",
                                          "GatewayClass",
                                          "ClusterRoleBinding",
                                          "CustomResourceDefinition"};
    for (size_t i = 0; i < ARRAY_LEN(without); i++)
        if (is_kind(j, without[i]))
            return false;
    return true;
}

int object_source_read_files(struct object_source *s, const struct arg_list *files, bool recursive,
                             const char *namespace_)
{
    struct err err = {0};
    json_t *j;
    size_t i;
    s->list = s->list ? s->list : json_array();
    for (i = 0; i < files->n; i++)
        if (manifest_for_files(files->v[i], recursive, take_file, s, &err) < 0)
            return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    json_array_foreach(s->list, i, j)
    {
        if (has_namespace(j) && !json_at_str(j, "metadata.namespace"))
            json_put_str(j, "metadata.namespace", namespace_ ? namespace_ : "default");
        take(s, j);
        s->knows_passwords = s->knows_secrets;
    }
    return -1;
}

void object_source_imply_classes(struct object_source *s)
{
    static const char *const classes[][2] = {{"fairlead", "fairlead.dev/ingress"},
                                             {"nginx", "k8s.io/ingress-nginx"}};
    for (size_t i = 0; i < ARRAY_LEN(classes) && !s->knows_classes; i++)
        json_array_append_new(s->list, json_pack("{s:s,s:s,s:{s:s},s:{s:s}}", "apiVersion",
                                                 "networking.k8s.io/v1", "kind", "IngressClass",
                                                 "metadata", "name", classes[i][0], "spec",
                                                 "controller", classes[i][1]));
}

/* ---- where in a file ---- */

static bool is_list(struct str text)
{
    AUTO_JSON json_t *j = NULL;
    return yaml_parse(text, &j, NULL) == 0 && json_is_object(j) &&
           str_ends(str_from(json_key_str(j, "kind")), STR("List"));
}

/* Texts between lines that begin with "---". */
static void index_file(struct object_file *f)
{
    struct str rest = str_from(f->text);
    size_t line = 0, first = f->first;
    f->indexed = true;
    while (rest.p && rest.n) {
        struct object_document d = {
            .line = line, .offset = (size_t)(rest.p - f->text), .first = first};
        struct str after = rest;
        do {
            (void)str_cut(after, '\n', &after);
            line++;
        } while (after.p && after.n && !str_starts(after, STR("---")));
        d.n = after.p ? (size_t)(after.p - rest.p) : rest.n;
        AUTO_JSON json_t *objects = json_array();
        if (manifest_parse(str_sub(rest, 0, d.n), NULL, objects, NULL) == 0 &&
            json_array_size(objects)) {
            first += json_array_size(objects);
            d.is_list = is_list(str_sub(rest, 0, d.n));
            vec_push(&f->documents, d);
        }
        rest = after;
    }
}

static void index_objects(struct object_source *s)
{
    json_t *j;
    size_t i;
    json_array_foreach(s->list, i, j)
    {
        const char *ns = json_at_str(j, "metadata.namespace");
        AUTO_CHARS char *key = xasprintf("%s %s%s%s", json_key_str(j, "kind"), ns ? ns : "",
                                         ns ? "/" : "", json_at_str(j, "metadata.name"));
        map_put_cstr(&s->places, key, (void *)(i + 1));
    }
}

static size_t index_of(struct object_source *s, const char *kind, const char *name)
{
    AUTO_CHARS char *key = xasprintf("%s %s", kind, name);
    if (!s->places.used)
        index_objects(s);
    void *place = map_find_cstr(&s->places, key);
    return place ? (uintptr_t)place - 1 : SIZE_MAX;
}

/* annotations[a.example/b] with the quotes that a path has. */
static void add_path(struct buf *b, const char *field)
{
    struct str rest, before = str_cut(str_from(field), '[', &rest);
    if (!rest.p || !str_ends(before, STR("annotations")) || !str_ends(rest, STR("]")))
        buf_add_cstr(b, field);
    else
        buf_addf(b, STR_FMT "[\"" STR_FMT "\"]", STR_ARG(before),
                 STR_ARG(str_sub(rest, 0, rest.n - 1)));
}

char *object_source_place(struct object_source *s, const char *kind, const char *key,
                          const char *field)
{
    size_t at = s->files.n ? index_of(s, kind, key) : SIZE_MAX;
    struct object_file *file = NULL;
    const struct object_document *document = NULL;
    AUTO_DONE(buf) struct buf path = {0};
    VEC_FOREACH (f, &s->files)
        if ((*f)->first <= at)
            file = *f;
    if (at == SIZE_MAX || !file)
        return NULL;
    if (!file->indexed)
        index_file(file);
    VEC_FOREACH (d, &file->documents)
        if (d->first <= at)
            document = d;
    if (!document || s->looked_at > OBJECT_BYTES_MAX)
        return xstrdup(file->name);
    s->looked_at += document->n;
    if (document->is_list)
        buf_addf(&path, "items[%zu].", at - document->first);
    add_path(&path, *field ? field : "kind");
    size_t line = yaml_where(str_of(file->text + document->offset, document->n), buf_str(&path));
    return xasprintf("%s:%zu", file->name, document->line + (line ? line : 1));
}

/* ---- the cluster ---- */

enum {
    EVERYONE = OBJECTS_FOR_ROUTES | OBJECTS_FOR_ANALYSIS | OBJECTS_FOR_MIGRATION,
    SERVING = OBJECTS_FOR_ROUTES | OBJECTS_FOR_ANALYSIS,
    NOT_SERVING = OBJECTS_FOR_ANALYSIS | OBJECTS_FOR_MIGRATION,
};

static const struct {
    const char *kind, *path;
    unsigned who; /* wants it */
    bool needed;
} lists[] = {
    {"IngressClass", "/apis/networking.k8s.io/v1/ingressclasses", EVERYONE, false},
    {"Ingress", "/apis/networking.k8s.io/v1/ingresses", EVERYONE, true},
    {"Service", "/api/v1/services", EVERYONE, true},
    {"EndpointSlice", "/apis/discovery.k8s.io/v1/endpointslices", SERVING, false},
    {"Secret", "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Ftls", OBJECTS_FOR_ANALYSIS,
     false},
    {"Secret", "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Fbasic-auth",
     OBJECTS_FOR_ANALYSIS, false},
    {"Pod", "/api/v1/pods", OBJECTS_FOR_ANALYSIS, false},
    {"Deployment", "/apis/apps/v1/deployments", NOT_SERVING, false},
    {"DaemonSet", "/apis/apps/v1/daemonsets", NOT_SERVING, false},
    {"StatefulSet", "/apis/apps/v1/statefulsets", OBJECTS_FOR_ANALYSIS, false},
    {"VirtualService", "/apis/networking.istio.io/v1/virtualservices", OBJECTS_FOR_ANALYSIS, false},
    {"DestinationRule", "/apis/networking.istio.io/v1/destinationrules", OBJECTS_FOR_ANALYSIS,
     false},
    {"Gateway", "/apis/networking.istio.io/v1/gateways", OBJECTS_FOR_ANALYSIS, false},
    {"ServiceEntry", "/apis/networking.istio.io/v1/serviceentries", OBJECTS_FOR_ANALYSIS, false},
    {"WorkloadEntry", "/apis/networking.istio.io/v1/workloadentries", OBJECTS_FOR_ANALYSIS, false},
    {"Sidecar", "/apis/networking.istio.io/v1/sidecars", OBJECTS_FOR_ANALYSIS, false},
    {"EnvoyFilter", "/apis/networking.istio.io/v1alpha3/envoyfilters", OBJECTS_FOR_ANALYSIS, false},
    {"ProxyConfig", "/apis/networking.istio.io/v1beta1/proxyconfigs", OBJECTS_FOR_ANALYSIS, false},
    {"WasmPlugin", "/apis/extensions.istio.io/v1alpha1/wasmplugins", OBJECTS_FOR_ANALYSIS, false},
    {"AuthorizationPolicy", "/apis/security.istio.io/v1/authorizationpolicies",
     OBJECTS_FOR_ANALYSIS, false},
    {"RequestAuthentication", "/apis/security.istio.io/v1/requestauthentications",
     OBJECTS_FOR_ANALYSIS, false},
    {"PeerAuthentication", "/apis/security.istio.io/v1/peerauthentications", OBJECTS_FOR_ANALYSIS,
     false},
    {"Telemetry", "/apis/telemetry.istio.io/v1/telemetries", OBJECTS_FOR_ANALYSIS, false},
    {"ConfigMap", "/api/v1/configmaps", NOT_SERVING, false}, /* explain reads one alone */
    {"IPAddressPool", "/apis/metallb.io/v1beta1/ipaddresspools", OBJECTS_FOR_ANALYSIS, false},
    {"L2Advertisement", "/apis/metallb.io/v1beta1/l2advertisements", OBJECTS_FOR_ANALYSIS, false},
    {"BGPAdvertisement", "/apis/metallb.io/v1beta1/bgpadvertisements", OBJECTS_FOR_ANALYSIS, false},
    {"BGPPeer", "/apis/metallb.io/v1beta2/bgppeers", OBJECTS_FOR_ANALYSIS, false},
    {"Community", "/apis/metallb.io/v1beta1/communities", OBJECTS_FOR_ANALYSIS, false},
    {"BFDProfile", "/apis/metallb.io/v1beta1/bfdprofiles", OBJECTS_FOR_ANALYSIS, false},
    {"Node", "/api/v1/nodes", OBJECTS_FOR_ANALYSIS, false},
};

/* All there are, of Secrets all of the type that the path asks for. */
static void know(struct object_source *s, const char *kind, const char *path)
{
    AUTO_JSON json_t *one = json_pack("{s:s}", "kind", kind);
    if (strstr(path, "basic-auth"))
        s->knows_passwords = true;
    else
        take(s, one);
}

int object_source_read_cluster(struct object_source *s, struct cli_session *session,
                               enum object_wanted what)
{
    int code = -1;
    s->list = json_array();
    for (size_t i = 0; code < 0 && i < ARRAY_LEN(lists); i++) {
        struct kube_reply reply;
        struct err err = {0};
        size_t k;
        json_t *item;
        if (!(lists[i].who & what))
            continue;
        if (kube_call_wait(session->client, "GET", lists[i].path, NULL, NULL, &reply, &err) < 0)
            return cli_unreachable(session, &err);
        const char *message = json_key_str(reply.object, "message");
        if (reply.status == 200)
            know(s, lists[i].kind, lists[i].path);
        else if (lists[i].needed)
            code = program_fail(EXIT_FAILED, NULL, "%s: %s", lists[i].path, message);
        else if (reply.status != 404)
            fprintf(stderr, "warning: %ss are not looked at: %s\n", lists[i].kind,
                    message ? message : "the server does not say why");
        json_array_foreach(json_object_get(reply.object, "items"), k, item)
        {
            json_put_str(item, "kind", lists[i].kind);
            json_array_append(s->list, item);
        }
        kube_reply_done(&reply);
    }
    return code;
}

int object_source_read_map(struct object_source *s, struct cli_session *session, const char *key)
{
    struct kube_reply reply;
    struct err err = {0};
    struct str name, ns = str_cut(str_from(key), '/', &name);
    if (!name.p || !str_is_dns1123_label(ns) || !str_is_dns1123_subdomain(name))
        return program_fail(EXIT_USAGE_ERROR, "give NAMESPACE/NAME", "--configmap: \"%s\" is none",
                            key);
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/" STR_FMT "/configmaps/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    if (kube_call_wait(session->client, "GET", path, NULL, NULL, &reply, &err) < 0)
        return cli_unreachable(session, &err);
    const char *message = json_key_str(reply.object, "message");
    if (reply.status == 200)
        json_array_append(s->list, reply.object);
    else if (reply.status != 404)
        fprintf(stderr, "warning: ConfigMap %s is not looked at: %s\n", key,
                message ? message : "the server does not say why");
    kube_reply_done(&reply);
    return -1;
}

void object_source_done(struct object_source *s)
{
    VEC_FOREACH (f, &s->files) {
        free((*f)->name);
        free((*f)->text);
        vec_done(&(*f)->documents);
        free(*f);
    }
    vec_done(&s->files);
    map_done(&s->places);
    json_decref(s->list);
}
