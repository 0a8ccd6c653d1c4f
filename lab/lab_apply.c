/* Manifests to API calls. Kinds are found by discovery, so whatever the server offers can be
 * applied. The user's objects are first sent as a dry run, all of them: if one is refused, none is
 * applied. */
#include "lab/lab_apply.h"

#include <errno.h>
#include <stdio.h>

#include "base/vec.h"
#include "kube/discovery.h"
#include "kube/manifest.h"

static const char system_manifests[] =
    "apiVersion: v1\n"
    "kind: ServiceAccount\n"
    "metadata: {name: cluster-dns, namespace: kube-system}\n"
    "---\n"
    "apiVersion: rbac.authorization.k8s.io/v1\n"
    "kind: ClusterRole\n"
    "metadata: {name: cluster-dns}\n"
    "rules:\n"
    "- {apiGroups: [''], resources: [services, namespaces], verbs: [list, watch]}\n"
    "- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}\n"
    "---\n"
    "apiVersion: rbac.authorization.k8s.io/v1\n"
    "kind: ClusterRoleBinding\n"
    "metadata: {name: cluster-dns}\n"
    "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-dns}\n"
    "subjects: [{kind: ServiceAccount, name: cluster-dns, namespace: kube-system}]\n"
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

static const char ingress_manifests[] = {
#include "lab/ingress_manifest.inc" /* deploy/ingress/ingress.yaml */
};
static const char mesh_manifests[] = {
#include "lab/mesh_manifest.inc" /* deploy/mesh/mesh.yaml */
};
static const char crd_manifests[] = {
#include "lab/crds_manifest.inc" /* deploy/crds */
};

/* ---- sending ---- */

/* Merges the object into the one that is there, or creates it. In this order: a Service that is
 * made again is refused for the address that it has itself before it is refused for its name. */
static int send_object(struct kube_client *c, const json_t *object, bool dry_run,
                       struct err *reterr)
{
    const char *kind = json_key_str(object, "kind"), *name = json_at_str(object, "metadata.name"),
               *ns = json_at_str(object, "metadata.namespace");
    struct kube_resource resource;
    struct kube_reply reply;
    int r = kube_resource_of_kind(c, json_key_str(object, "apiVersion"), kind, &resource, reterr);
    if (r < 0)
        return r;
    const char *query = dry_run ? "?dryRun=All" : "";
    AUTO_CHARS char *collection = kube_resource_path(&resource, ns ? ns : "default", NULL);
    AUTO_CHARS char *path = kube_resource_path(&resource, ns ? ns : "default", name);
    AUTO_CHARS char *create = xasprintf("%s%s", collection, query);
    AUTO_CHARS char *merge = xasprintf("%s%s", path, query);
    bool absent = !name;
    if (name) {
        r = kube_call_wait(c, "PATCH", merge, "application/merge-patch+json", object, &reply,
                           reterr);
        absent = r == 0 && reply.status == 404;
        if (absent)
            kube_reply_done(&reply);
    }
    if (absent)
        r = kube_call_wait(c, "POST", create, NULL, object, &reply, reterr);
    if (r == 0 && reply.status >= 300) {
        const char *message = json_at_str(reply.object, "message");
        r = err_set(reterr, reply.status == 404 ? -ENOENT : -EINVAL, NULL, "%s",
                    message ? message : "refused");
    }
    kube_reply_done(&reply);
    return r;
}

static bool is_among(const json_t *objects, const char *kind, const char *name)
{
    json_t *o;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, o)
    {
        if (streq(json_key_str(o, "kind"), kind) &&
            (!name || streq(json_at_str(o, "metadata.name"), name)))
            return true;
    }
    return false;
}

/* Not there yet because the same manifests make it: its namespace, or its kind. */
static bool is_to_come(const json_t *objects, const json_t *object)
{
    return is_among(objects, "Namespace", json_at_str(object, "metadata.namespace")) ||
           is_among(objects, "CustomResourceDefinition", NULL);
}

static int send_all(struct kube_client *c, const json_t *objects, bool dry_run, struct err *reterr)
{
    json_t *o;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, o)
    {
        int r = send_object(c, o, dry_run, reterr);
        if (r == -ENOENT && dry_run && is_to_come(objects, o))
            continue;
        if (r < 0) {
            AUTO_CHARS char *who =
                xasprintf("%s/%s", json_key_str(o, "kind"),
                          json_at_str(o, "metadata.name") ? json_at_str(o, "metadata.name") : "");
            err_prefix(reterr, NULL, who);
            return r;
        }
    }
    return 0;
}

int lab_apply_system(struct kube_client *c, const char *service_cidrs, struct err *reterr)
{
    AUTO_JSON json_t *objects = json_array();
    struct prefix services;
    struct ip dns;
    char ip[IP_TEXT_BYTES];
    struct str rest;
    if (prefix_parse(str_cut(str_from(service_cidrs), ',', &rest), &services) < 0 ||
        prefix_nth(&services, 10, &dns) < 0)
        return err_set(reterr, -EINVAL, NULL, "service range %s cannot be used", service_cidrs);
    AUTO_CHARS char *text = xasprintf(system_manifests, ip_format(&dns, ip));
    int r = manifest_parse(str_from(text), NULL, objects, reterr);
    return r < 0 ? r : send_all(c, objects, false, reterr);
}

int lab_apply_ingress(struct kube_client *c, struct err *reterr)
{
    AUTO_JSON json_t *objects = json_array();
    int r = manifest_parse(str_of(ingress_manifests, sizeof(ingress_manifests)),
                           "deploy/ingress/ingress.yaml", objects, reterr);
    return r < 0 ? r : send_all(c, objects, false, reterr);
}

/* Of objects that are there twice, the later stay: nothing is made only to be changed. */
static void keep_later(json_t *objects)
{
    for (size_t i = json_array_size(objects); i-- > 0;) {
        const json_t *later = json_array_get(objects, i);
        for (size_t k = i; k-- > 0;) {
            const json_t *o = json_array_get(objects, k);
            if (!streq(json_key_str(o, "kind"), json_key_str(later, "kind")) ||
                !streq(json_at_str(o, "metadata.name"), json_at_str(later, "metadata.name")))
                continue;
            json_array_remove(objects, k);
            i--;
        }
    }
}

/* As the chart's mesh.cni.enabled. */
static void say_cni(json_t *objects)
{
    json_t *o;
    size_t i;
    json_array_foreach(objects, i,
                       o) if (streq(json_key_str(o, "kind"), "Deployment") &&
                              streq(json_at_str(o, "metadata.name"), "fairlead-control"))
        json_array_append_new(
            json_object_get(json_array_get(json_at(o, "spec.template.spec.containers"), 0), "args"),
            json_string("--cni"));
}

int lab_apply_mesh(struct kube_client *c, bool cni, struct err *reterr)
{
    AUTO_JSON json_t *objects = json_array();
    int r = manifest_parse(str_of(ingress_manifests, sizeof(ingress_manifests)),
                           "deploy/ingress/ingress.yaml", objects, reterr);
    if (r == 0)
        r = manifest_parse(str_of(mesh_manifests, sizeof(mesh_manifests)), "deploy/mesh/mesh.yaml",
                           objects, reterr);
    if (r < 0)
        return r;
    keep_later(objects);
    if (cni)
        say_cni(objects);
    AUTO_JSON json_t *crds = json_array();
    r = send_all(c, objects, false, reterr); /* its pods start while the definitions are made */
    if (r == 0)
        r = manifest_parse(str_of(crd_manifests, sizeof(crd_manifests)), "deploy/crds", crds,
                           reterr);
    return r < 0 ? r : send_all(c, crds, false, reterr);
}

int lab_apply(struct kube_client *c, const json_t *objects, struct err *reterr)
{
    int r = send_all(c, objects, true, reterr);
    return r < 0 ? r : send_all(c, objects, false, reterr);
}
