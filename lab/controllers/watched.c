/* The kinds the controllers watch: how each is named in references and where it is in the API.
 * Nothing here knows a controller, or the frame that watches. */
#include <stdio.h>

#include "lab/controllers/controller.h"

const struct watched_kind watched_kinds[_WATCHED_MAX] = {
    [WATCHED_NAMESPACE] = {"Namespace", "v1", "/api/v1", "namespaces"},
    [WATCHED_NODE] = {"Node", "v1", "/api/v1", "nodes"},
    [WATCHED_POD] = {"Pod", "v1", "/api/v1", "pods"},
    [WATCHED_SERVICE] = {"Service", "v1", "/api/v1", "services"},
    [WATCHED_ENDPOINTS] = {"Endpoints", "v1", "/api/v1", "endpoints"},
    [WATCHED_ENDPOINTSLICE] = {"EndpointSlice", "discovery.k8s.io/v1", "/apis/discovery.k8s.io/v1",
                               "endpointslices"},
    [WATCHED_DEPLOYMENT] = {"Deployment", "apps/v1", "/apis/apps/v1", "deployments"},
    [WATCHED_REPLICASET] = {"ReplicaSet", "apps/v1", "/apis/apps/v1", "replicasets"},
    [WATCHED_REPLICATIONCONTROLLER] = {"ReplicationController", "v1", "/api/v1",
                                       "replicationcontrollers"},
    [WATCHED_DAEMONSET] = {"DaemonSet", "apps/v1", "/apis/apps/v1", "daemonsets"},
    [WATCHED_JOB] = {"Job", "batch/v1", "/apis/batch/v1", "jobs"},
    [WATCHED_SERVICEACCOUNT] = {"ServiceAccount", "v1", "/api/v1", "serviceaccounts"},
    [WATCHED_CONFIGMAP] = {"ConfigMap", "v1", "/api/v1", "configmaps"},
    [WATCHED_SECRET] = {"Secret", "v1", "/api/v1", "secrets"},
    [WATCHED_LEASE] = {"Lease", "coordination.k8s.io/v1", "/apis/coordination.k8s.io/v1", "leases"},
};

void watched_path(enum watched kind, const json_t *object, char ret[WATCHED_PATH_BYTES])
{
    const char *ns = json_at_str(object, "metadata.namespace"),
               *name = json_at_str(object, "metadata.name");
    snprintf(ret, WATCHED_PATH_BYTES, "%s%s%s/%s/%s", watched_kinds[kind].path,
             ns ? "/namespaces/" : "", ns ? ns : "", watched_kinds[kind].plural, name);
}
