/* Tables of the API's messages: replicated pods (apps, ReplicationController), discovery,
 * coordination, events, autoscaling, policy.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and lab/apiserver/api_kind.c for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field rolling_update_deployment_fields[] = {
    FIELD("maxUnavailable", INT_OR_STRING, 1, OMIT, POINTER),
    FIELD("maxSurge", INT_OR_STRING, 2, OMIT, POINTER),
};
SCHEMA(rolling_update_deployment, "RollingUpdateDeployment");

static const struct schema_field deployment_strategy_fields[] = {
    FIELD("type", STRING, 1, OMIT, .go_type = "v1.DeploymentStrategyType",
          .def = "\"RollingUpdate\""),
    FIELD("rollingUpdate", OBJECT, 2, OF(rolling_update_deployment), OMIT, POINTER),
};
SCHEMA(deployment_strategy, "DeploymentStrategy");

static const struct schema_field deployment_spec_fields[] = {
    FIELD("replicas", INT32, 1, OMIT, POINTER, .def = "1", BETWEEN(0, INT32_MAX)),
    FIELD("selector", OBJECT, 2, OF(label_selector), POINTER),
    FIELD("template", OBJECT, 3, OF(pod_template_spec)),
    FIELD("strategy", OBJECT, 4, OF(deployment_strategy), OMIT, .patch_retain_keys = true,
          .def = "{}"),
    FIELD("minReadySeconds", INT32, 5, OMIT, BETWEEN(0, INT32_MAX)),
    FIELD("revisionHistoryLimit", INT32, 6, OMIT, POINTER, .def = "10", BETWEEN(0, INT32_MAX)),
    FIELD("paused", BOOL, 7, OMIT),
    FIELD("progressDeadlineSeconds", INT32, 9, OMIT, POINTER, .def = "600", BETWEEN(0, INT32_MAX)),
};
SCHEMA(deployment_spec, "DeploymentSpec");

static const struct schema_field deployment_condition_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.DeploymentConditionType"),
    FIELD("status", STRING, 2, .go_type = "v1.ConditionStatus"),
    FIELD("lastUpdateTime", TIME, 6, OMIT),
    FIELD("lastTransitionTime", TIME, 7, OMIT),
    FIELD("reason", STRING, 4, OMIT),
    FIELD("message", STRING, 5, OMIT),
};
SCHEMA(deployment_condition, "DeploymentCondition");

static const struct schema_field deployment_status_fields[] = {
    FIELD("observedGeneration", INT64, 1, OMIT),
    FIELD("replicas", INT32, 2, OMIT),
    FIELD("updatedReplicas", INT32, 3, OMIT),
    FIELD("readyReplicas", INT32, 7, OMIT),
    FIELD("availableReplicas", INT32, 4, OMIT),
    FIELD("unavailableReplicas", INT32, 5, OMIT),
    FIELD("terminatingReplicas", INT32, 9, OMIT, POINTER),
    FIELD("conditions", OBJECT, 6, LIST, OF(deployment_condition), OMIT, MERGE("type"),
          .map_keys = "type"),
    FIELD("collisionCount", INT32, 8, OMIT, POINTER),
};
SCHEMA(deployment_status, "DeploymentStatus");

static const struct schema_field deployment_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(deployment_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(deployment_status), OMIT, .def = "{}"),
};
SCHEMA(deployment, "Deployment");

static const struct schema_field replica_set_spec_fields[] = {
    FIELD("replicas", INT32, 1, OMIT, POINTER, .def = "1", BETWEEN(0, INT32_MAX)),
    FIELD("minReadySeconds", INT32, 4, OMIT, BETWEEN(0, INT32_MAX)),
    FIELD("selector", OBJECT, 2, OF(label_selector), POINTER),
    FIELD("template", OBJECT, 3, OF(pod_template_spec), OMIT),
};
SCHEMA(replica_set_spec, "ReplicaSetSpec");

static const struct schema_field replica_set_condition_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.ReplicaSetConditionType"),
    FIELD("status", STRING, 2, .go_type = "v1.ConditionStatus"),
    FIELD("lastTransitionTime", TIME, 3, OMIT),
    FIELD("reason", STRING, 4, OMIT),
    FIELD("message", STRING, 5, OMIT),
};
SCHEMA(replica_set_condition, "ReplicaSetCondition");

static const struct schema_field replica_set_status_fields[] = {
    FIELD("replicas", INT32, 1),
    FIELD("fullyLabeledReplicas", INT32, 2, OMIT),
    FIELD("readyReplicas", INT32, 4, OMIT),
    FIELD("availableReplicas", INT32, 5, OMIT),
    FIELD("terminatingReplicas", INT32, 7, OMIT, POINTER),
    FIELD("observedGeneration", INT64, 3, OMIT),
    FIELD("conditions", OBJECT, 6, LIST, OF(replica_set_condition), OMIT, MERGE("type"),
          .map_keys = "type"),
};
SCHEMA(replica_set_status, "ReplicaSetStatus");

static const struct schema_field replica_set_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(replica_set_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(replica_set_status), OMIT, .def = "{}"),
};
SCHEMA(replica_set, "ReplicaSet");

static const struct schema_field replication_controller_spec_fields[] = {
    FIELD("replicas", INT32, 1, OMIT, POINTER, .def = "1", BETWEEN(0, INT32_MAX)),
    FIELD("minReadySeconds", INT32, 4, OMIT, BETWEEN(0, INT32_MAX)),
    FIELD("selector", STRING, 2, MAP, OMIT, .format = FORMAT_LABELS),
    FIELD("template", OBJECT, 3, OF(pod_template_spec), OMIT, POINTER),
};
SCHEMA(replication_controller_spec, "ReplicationControllerSpec");

static const struct schema_field replication_controller_fields[] = {
    TYPE_META, FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(replication_controller_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(replica_set_status), OMIT, .def = "{}"), /* the same fields */
};
SCHEMA(replication_controller, "ReplicationController");

static const struct schema_field endpoint_conditions_fields[] = {
    FIELD("ready", BOOL, 1, OMIT, POINTER),
    FIELD("serving", BOOL, 2, OMIT, POINTER),
    FIELD("terminating", BOOL, 3, OMIT, POINTER),
};
SCHEMA(endpoint_conditions, "EndpointConditions");

static const struct schema_field for_zone_fields[] = {
    FIELD("name", STRING, 1),
};
SCHEMA(for_zone, "ForZone");

static const struct schema_field for_node_fields[] = {
    FIELD("name", STRING, 1),
};
SCHEMA(for_node, "ForNode");

static const struct schema_field endpoint_hints_fields[] = {
    FIELD("forZones", OBJECT, 1, LIST, OF(for_zone), OMIT, .atomic = true),
    FIELD("forNodes", OBJECT, 2, LIST, OF(for_node), OMIT, .atomic = true),
};
SCHEMA(endpoint_hints, "EndpointHints");

static const struct schema_field slice_endpoint_fields[] = {
    FIELD("addresses", STRING, 1, LIST, .set = true, REQUIRED),
    FIELD("conditions", OBJECT, 2, OF(endpoint_conditions), OMIT),
    FIELD("hostname", STRING, 3, OMIT, POINTER),
    FIELD("targetRef", OBJECT, 4, OF(object_reference), OMIT, POINTER),
    FIELD("deprecatedTopology", STRING, 5, MAP, OMIT),
    FIELD("nodeName", STRING, 6, OMIT, POINTER),
    FIELD("zone", STRING, 7, OMIT, POINTER),
    FIELD("hints", OBJECT, 8, OF(endpoint_hints), OMIT, POINTER),
};
SCHEMA(slice_endpoint, "Endpoint");

static const struct schema_field slice_endpoint_port_fields[] = {
    FIELD("name", STRING, 1, OMIT, POINTER, .def = "\"\""),
    FIELD("protocol", STRING, 2, OMIT, POINTER, .go_type = "v1.Protocol", .def = "\"TCP\"",
          .values = "SCTP|TCP|UDP"),
    FIELD("port", INT32, 3, OMIT, POINTER),
    FIELD("appProtocol", STRING, 4, OMIT, POINTER),
};
SCHEMA(slice_endpoint_port, "EndpointPort");

static const struct schema_field endpoint_slice_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("addressType", STRING, 4, .go_type = "v1.AddressType", REQUIRED,
          .values = "FQDN|IPv4|IPv6"),
    FIELD("endpoints", OBJECT, 2, LIST, OF(slice_endpoint), .atomic = true),
    FIELD("ports", OBJECT, 3, LIST, OF(slice_endpoint_port), .atomic = true),
};
SCHEMA(endpoint_slice, "EndpointSlice");

static const struct schema_field lease_spec_fields[] = {
    FIELD("holderIdentity", STRING, 1, OMIT, POINTER),
    FIELD("leaseDurationSeconds", INT32, 2, OMIT, POINTER, BETWEEN(1, INT32_MAX)),
    FIELD("acquireTime", MICROTIME, 3, OMIT, POINTER),
    FIELD("renewTime", MICROTIME, 4, OMIT, POINTER),
    FIELD("leaseTransitions", INT32, 5, OMIT, POINTER, BETWEEN(0, INT32_MAX)),
    FIELD("strategy", STRING, 6, OMIT, POINTER, .go_type = "v1.CoordinatedLeaseStrategy"),
    FIELD("preferredHolder", STRING, 7, OMIT, POINTER),
};
SCHEMA(lease_spec, "LeaseSpec");

static const struct schema_field lease_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(lease_spec), OMIT),
};
SCHEMA(lease, "Lease");

static const struct schema_field events_event_series_fields[] = {
    FIELD("count", INT32, 1),
    FIELD("lastObservedTime", MICROTIME, 2),
};
SCHEMA(events_event_series, "EventSeries");

static const struct schema_field events_event_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta)),
    FIELD("eventTime", MICROTIME, 2),
    FIELD("series", OBJECT, 3, OF(events_event_series), OMIT, POINTER),
    FIELD("reportingController", STRING, 4, OMIT),
    FIELD("reportingInstance", STRING, 5, OMIT),
    FIELD("action", STRING, 6, OMIT),
    FIELD("reason", STRING, 7, OMIT),
    FIELD("regarding", OBJECT, 8, OF(object_reference), OMIT),
    FIELD("related", OBJECT, 9, OF(object_reference), OMIT, POINTER),
    FIELD("note", STRING, 10, OMIT),
    FIELD("type", STRING, 11, OMIT),
    FIELD("deprecatedSource", OBJECT, 12, OF(event_source), OMIT),
    FIELD("deprecatedFirstTimestamp", TIME, 13, OMIT),
    FIELD("deprecatedLastTimestamp", TIME, 14, OMIT),
    FIELD("deprecatedCount", INT32, 15, OMIT),
};
SCHEMA(events_event, "Event");

static const struct schema_field scale_spec_fields[] = {
    FIELD("replicas", INT32, 1, OMIT, BETWEEN(0, INT32_MAX)),
};
SCHEMA(scale_spec, "ScaleSpec");

static const struct schema_field scale_status_fields[] = {
    FIELD("replicas", INT32, 1),
    FIELD("selector", STRING, 2, OMIT),
};
SCHEMA(scale_status, "ScaleStatus");

static const struct schema_field scale_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(scale_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(scale_status), OMIT, .def = "{}"),
};
SCHEMA(scale, "Scale");

static const struct schema_field eviction_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("deleteOptions", OBJECT, 2, OF(delete_options), OMIT, POINTER),
};
SCHEMA(eviction, "Eviction");
