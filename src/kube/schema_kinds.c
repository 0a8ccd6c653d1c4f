/* Which table describes the objects of a kind. */
#include "kube/schema_tables.h"

const struct schema *schema_of_kind(const char *api_version, const char *kind)
{
    static const struct {
        const char *api_version, *kind;
        const struct schema *schema;
    } kinds[] = {
        {"v1", "Namespace", &schema_namespace},
        {"v1", "Node", &schema_node},
        {"v1", "Pod", &schema_pod},
        {"v1", "Service", &schema_service},
        {"v1", "Endpoints", &schema_endpoints},
        {"v1", "ConfigMap", &schema_config_map},
        {"v1", "Secret", &schema_secret},
        {"v1", "ServiceAccount", &schema_service_account},
        {"v1", "ReplicationController", &schema_replication_controller},
        {"v1", "Event", &schema_event},
        {"events.k8s.io/v1", "Event", &schema_events_event},
        {"apps/v1", "Deployment", &schema_deployment},
        {"apps/v1", "ReplicaSet", &schema_replica_set},
        {"discovery.k8s.io/v1", "EndpointSlice", &schema_endpoint_slice},
        {"coordination.k8s.io/v1", "Lease", &schema_lease},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (streq(kinds[i].api_version, api_version) && streq(kinds[i].kind, kind))
            return kinds[i].schema;
    return NULL;
}
