/* Manifests to API calls. Kinds are found by discovery, so whatever the server offers can be
 * applied. */
#include "lab/lab_apply.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/vec.h"
#include "codec/yaml.h"

static const char system_manifests[] =
    "apiVersion: v1\n"
    "kind: ServiceAccount\n"
    "metadata: {name: cluster-dns, namespace: kube-system}\n"
    "---\n"
    "apiVersion: v1\n"
    "kind: Service\n"
    "metadata:\n"
    "  name: kube-dns\n"
    "  namespace: kube-system\n"
    "  labels: {k8s-app: kube-dns, kubernetes.io/cluster-service: 'true', kubernetes.io/name: "
    "CoreDNS}\n"
    "spec:\n"
    "  clusterIP: %s\n"
    "  selector: {k8s-app: kube-dns}\n"
    "  ports:\n"
    "  - {name: dns, port: 53, protocol: UDP, targetPort: 53}\n"
    "  - {name: dns-tcp, port: 53, protocol: TCP, targetPort: 53}\n"
    "---\n"
    "apiVersion: apps/v1\n"
    "kind: Deployment\n"
    "metadata: {name: cluster-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}\n"
    "spec:\n"
    "  replicas: 1\n"
    "  selector: {matchLabels: {k8s-app: kube-dns}}\n"
    "  template:\n"
    "    metadata: {labels: {k8s-app: kube-dns}}\n"
    "    spec:\n"
    "      serviceAccountName: cluster-dns\n"
    "      dnsPolicy: Default\n"
    "      containers:\n"
    "      - name: dns\n"
    "        image: fairlead/dns\n"
    "        imagePullPolicy: IfNotPresent\n"
    "        ports:\n"
    "        - {name: dns, containerPort: 53, protocol: UDP}\n"
    "        - {name: dns-tcp, containerPort: 53, protocol: TCP}\n"
    "        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 2}\n";

/* ---- where an object goes ---- */

static int find_resource(struct kube_client *c, const char *api_version, const char *kind,
                         char plural[80], bool *ret_namespaced, struct err *reterr)
{
    char path[200];
    struct kube_reply reply;
    json_t *item;
    size_t i;
    snprintf(path, sizeof(path), "%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
    int r = kube_call_wait(c, "GET", path, NULL, NULL, &reply, reterr);
    plural[0] = '\0';
    json_array_foreach(json_at(reply.object, "resources"), i, item)
    {
        const char *name = json_key_str(item, "name");
        if (streq(json_key_str(item, "kind"), kind) && name && !strchr(name, '/')) {
            snprintf(plural, 80, "%s", name);
            *ret_namespaced = json_is_true(json_object_get(item, "namespaced"));
        }
    }
    kube_reply_done(&reply);
    if (r == 0 && !*plural)
        return err_set(reterr, -ENOENT, NULL, "no matches for kind \"%s\" in version \"%s\"", kind,
                       api_version);
    return r;
}

static int apply_object(struct kube_client *c, const json_t *object, struct err *reterr)
{
    const char *api_version = json_key_str(object, "apiVersion"),
               *kind = json_key_str(object, "kind");
    const char *name = json_at_str(object, "metadata.name"),
               *ns = json_at_str(object, "metadata.namespace");
    char plural[80], path[700];
    bool namespaced = false;
    struct kube_reply reply;
    json_t *item;
    size_t i;
    if (!api_version || !kind)
        return err_set(reterr, -EINVAL, NULL, "an object without apiVersion or kind");
    if (streq(kind, "List")) {
        int r = 0;
        json_array_foreach(json_object_get(object, "items"), i, item) r =
            r < 0 ? r : apply_object(c, item, reterr);
        return r;
    }
    int r = find_resource(c, api_version, kind, plural, &namespaced, reterr);
    if (r < 0)
        return r;
    int n =
        snprintf(path, sizeof(path), "%s/%s%s%s/%s", strchr(api_version, '/') ? "/apis" : "/api",
                 api_version, namespaced ? "/namespaces/" : "",
                 namespaced ? (ns ? ns : "default") : "", plural);
    r = kube_call_wait(c, "POST", path, NULL, object, &reply, reterr);
    if (r == 0 && reply.status == 409 && name && n < 600) {
        kube_reply_done(&reply);
        snprintf(path + n, sizeof(path) - (size_t)n, "/%s", name);
        r = kube_call_wait(c, "PATCH", path, "application/merge-patch+json", object, &reply,
                           reterr);
    }
    if (r == 0 && reply.status >= 300) {
        const char *message = json_at_str(reply.object, "message");
        r = err_set(reterr, -EINVAL, NULL, "%s %s: %s", kind, name ? name : "",
                    message ? message : "refused");
    }
    kube_reply_done(&reply);
    return r;
}

static int apply_text(struct kube_client *c, struct str text, struct err *reterr)
{
    AUTO_JSON json_t *documents = NULL;
    json_t *object;
    size_t i;
    int r = yaml_parse_all(text, &documents, reterr);
    json_array_foreach(documents, i, object) r = r < 0 ? r : apply_object(c, object, reterr);
    return r;
}

int lab_apply_system(struct kube_client *c, const char *service_cidrs, struct err *reterr)
{
    struct prefix services;
    struct ip dns;
    char ip[IP_TEXT_BYTES];
    struct str rest;
    if (prefix_parse(str_cut(str_from(service_cidrs), ',', &rest), &services) < 0 ||
        prefix_nth(&services, 10, &dns) < 0)
        return err_set(reterr, -EINVAL, NULL, "service range %s cannot be used", service_cidrs);
    AUTO_CHARS char *text = xasprintf(system_manifests, ip_format(&dns, ip));
    return apply_text(c, str_from(text), reterr);
}

static int apply_one_file(struct kube_client *c, const char *path, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = 16 * 1024 * 1024};
    char piece[8192];
    size_t n;
    FILE *f = streq(path, "-") ? stdin : fopen(path, "re");
    if (!f)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&b, piece, n);
    if (f != stdin)
        fclose(f);
    int r = b.failed ? err_set(reterr, -E2BIG, NULL, "larger than 16 MiB")
                     : apply_text(c, buf_str(&b), reterr);
    if (r < 0)
        err_prefix(reterr, NULL, path);
    return r;
}

static int is_manifest(const struct dirent *e)
{
    struct str name = str_from(e->d_name);
    return str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")) ||
           str_ends(name, STR(".json"));
}

int lab_apply_file(struct kube_client *c, const char *path, struct err *reterr)
{
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return apply_one_file(c, path, reterr);
    int n = scandir(path, &entries, is_manifest, alphasort), r = 0;
    if (n < 0)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        AUTO_CHARS char *file = xasprintf("%s/%s", path, entries[i]->d_name);
        if (r == 0)
            r = apply_one_file(c, file, reterr);
        free(entries[i]);
    }
    free(entries);
    return r;
}
