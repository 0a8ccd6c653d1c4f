/* Service accounts: every live namespace has the account "default" and the ConfigMap
 * kube-root-ca.crt that pods mount. */
#include <stdio.h>

#include "lab/controllers/controller.h"

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    const char *name = json_at_str(object, "metadata.name");
    if (kind == WATCHED_NAMESPACE)
        controller_enqueue(c, name);
    else if ((kind == WATCHED_SERVICEACCOUNT && deleted && streq(name, "default")) ||
             (kind == WATCHED_CONFIGMAP && streq(name, "kube-root-ca.crt")))
        controller_enqueue(c, json_at_str(object, "metadata.namespace"));
}

static void sync_namespace(struct sync *s, const char *ns)
{
    struct controllers *cs = sync_set(s);
    const json_t *namespace_ =
        informer_find(controllers_informer(cs, WATCHED_NAMESPACE), str_from(ns));
    struct str ca = controllers_options_of(cs)->root_ca_pem;
    char path[400];
    if (!namespace_ || is_deleting(namespace_))
        return;
    if (!informer_find(controllers_informer(cs, WATCHED_SERVICEACCOUNT),
                       str_from(key_of(ns, "default")))) {
        AUTO_JSON json_t *sa =
            json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion", "v1", "kind", "ServiceAccount",
                      "metadata", "name", "default", "namespace", ns);
        snprintf(path, sizeof(path), "/api/v1/namespaces/%s/serviceaccounts", ns);
        sync_call(s, WATCHED_SERVICEACCOUNT, "POST", path, NULL, sa);
    }
    const json_t *have = informer_find(controllers_informer(cs, WATCHED_CONFIGMAP),
                                       str_from(key_of(ns, "kube-root-ca.crt")));
    const char *text = json_key_str(json_object_get(have, "data"), "ca.crt");
    if (!ca.n || (text && str_eq(str_from(text), ca)))
        return;
    AUTO_JSON json_t *cm = json_pack(
        "{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:{s:s%}}", "apiVersion", "v1", "kind", "ConfigMap",
        "metadata", "name", "kube-root-ca.crt", "namespace", ns, "annotations",
        "kubernetes.io/description",
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
        "endpoints such as the internal service IP or kubernetes.default.svc.",
        "data", "ca.crt", ca.p, ca.n);
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps%s", ns,
             have ? "/kube-root-ca.crt" : "");
    sync_call(s, WATCHED_CONFIGMAP, have ? "PUT" : "POST", path, NULL, cm);
}

const struct controller_kind serviceaccount_controller = {"serviceaccount", on_change,
                                                          sync_namespace, NULL, NULL};
