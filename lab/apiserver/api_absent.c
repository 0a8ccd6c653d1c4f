/* What Kubernetes 1.37 serves and the lab does not, and what to do instead: so that a 404 says more
 * than that nothing was found. Constant data. A kind that gets a row in api_kind.c leaves here. */
#include "lab/apiserver/api_priv.h"

#define REAL "use a real cluster for it"

static const struct {
    const char *group;
    const char *plurals; /* separated by blanks */
    const char *hint;
} kinds[] = {
    {"", "bindings", "post to pods/NAME/binding"},
    {"", "componentstatuses", "ask /readyz, or `fairlead lab status`"},
    {"", "limitranges resourcequotas", "nothing limits namespaces here: leave it out"},
    {"", "persistentvolumeclaims persistentvolumes",
     "there is no storage: use an emptyDir or hostPath volume"},
    {"", "podtemplates", "put the template into a Deployment"},
    {"apiregistration.k8s.io", "apiservices", "there are no aggregated API servers: " REAL},
    {"apps", "statefulsets",
     "use a Deployment, and a headless Service with hostnames for stable names"},
    {"apps", "controllerrevisions",
     "Deployments keep their revisions as ReplicaSets, DaemonSets keep none"},
    {"autoscaling", "horizontalpodautoscalers", "scale by hand: kubectl scale"},
    {"batch", "cronjobs", "create a Job when it is time: kubectl create job"},
    {"certificates.k8s.io", "certificatesigningrequests clustertrustbundles podcertificaterequests",
     "the lab issues its certificates itself: see `fairlead lab kubeconfig`"},
    {"networking.k8s.io", "ipaddresses",
     "what Services hold is read from the Services; the ranges are flags of the API server"},
    {"networking.k8s.io", "networkpolicies", "every pod may reach every pod: " REAL},
    {"policy", "poddisruptionbudgets", "evictions are never refused here: leave it out"},
    {"storage.k8s.io",
     "storageclasses csidrivers csinodes csistoragecapacities volumeattachments "
     "volumeattributesclasses",
     "there is no storage: use an emptyDir or hostPath volume"},
    {"admissionregistration.k8s.io",
     "mutatingadmissionpolicies mutatingadmissionpolicybindings validatingadmissionpolicies "
     "validatingadmissionpolicybindings",
     "there is no CEL: use a MutatingWebhookConfiguration or ValidatingWebhookConfiguration"},
    {"scheduling.k8s.io", "priorityclasses",
     "there are the two of every cluster, system-cluster-critical and system-node-critical"},
    {"node.k8s.io", "runtimeclasses", "pods are network namespaces here: leave it out"},
    {"resource.k8s.io",
     "deviceclasses devicetaintrules resourceclaims resourceclaimtemplates resourceslices",
     "there are no devices: " REAL},
    {"flowcontrol.apiserver.k8s.io", "flowschemas prioritylevelconfigurations",
     "requests are not queued by whom they come from: leave it out"},
    {"storagemigration.k8s.io", "storageversionmigrations", "there is one version of each kind"},
};

static const struct {
    const char *plural;
    const char *subresource;
    const char *hint;
} subresources[] = {
    {"pods", "resize", "delete the pod and make it anew"},
    {"nodes", "proxy", "ask the node's port 10250"},
};

static bool has_word(const char *words, struct str word)
{
    struct str rest = str_from(words);
    while (rest.p)
        if (str_eq(str_cut(rest, ' ', &rest), word))
            return true;
    return false;
}

const char *api_absent_hint(struct str group, struct str plural, struct str subresource)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds) && plural.n; i++)
        if (str_is(group, kinds[i].group) && has_word(kinds[i].plurals, plural))
            return kinds[i].hint;
    for (size_t i = 0; i < ARRAY_LEN(subresources) && !group.n; i++)
        if (str_is(plural, subresources[i].plural) &&
            str_is(subresource, subresources[i].subresource))
            return subresources[i].hint;
    return NULL;
}
