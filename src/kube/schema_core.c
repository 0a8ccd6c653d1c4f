/* Tables of the API's messages: core/v1 but pods: Namespace, Node, Service, Endpoints, ConfigMap,
 * Secret, ServiceAccount, Event.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and kinds.h for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field namespace_spec_fields[] = {
    FIELD("finalizers", STRING, 1, LIST, OMIT, .go_type = "v1.FinalizerName", .atomic = true),
};
SCHEMA(namespace_spec, "NamespaceSpec");

static const struct schema_field namespace_condition_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.NamespaceConditionType"),
    FIELD("status", STRING, 2, .go_type = "v1.ConditionStatus"),
    FIELD("lastTransitionTime", TIME, 4, OMIT),
    FIELD("reason", STRING, 5, OMIT),
    FIELD("message", STRING, 6, OMIT),
};
SCHEMA(namespace_condition, "NamespaceCondition");

static const struct schema_field namespace_status_fields[] = {
    FIELD("phase", STRING, 1, OMIT, .go_type = "v1.NamespacePhase"),
    FIELD("conditions", OBJECT, 2, LIST, OF(namespace_condition), OMIT, MERGE("type"),
          .map_keys = "type"),
};
SCHEMA(namespace_status, "NamespaceStatus");

static const struct schema_field namespace_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(namespace_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(namespace_status), OMIT, .def = "{}"),
};
SCHEMA(namespace, "Namespace");

static const struct schema_field taint_fields[] = {
    FIELD("key", STRING, 1),
    FIELD("value", STRING, 2, OMIT),
    FIELD("effect", STRING, 3, .go_type = "v1.TaintEffect"),
    FIELD("timeAdded", TIME, 4, OMIT, POINTER),
};
SCHEMA(taint, "Taint");

static const struct schema_field config_map_node_config_source_fields[] = {
    FIELD("namespace", STRING, 1),
    FIELD("name", STRING, 2),
    FIELD("uid", STRING, 3, OMIT, .go_type = "types.UID"),
    FIELD("resourceVersion", STRING, 4, OMIT),
    FIELD("kubeletConfigKey", STRING, 5),
};
SCHEMA(config_map_node_config_source, "ConfigMapNodeConfigSource");

static const struct schema_field node_config_source_fields[] = {
    FIELD("configMap", OBJECT, 2, OF(config_map_node_config_source), OMIT, POINTER),
};
SCHEMA(node_config_source, "NodeConfigSource");

static const struct schema_field node_spec_fields[] = {
    FIELD("podCIDR", STRING, 1, OMIT),
    FIELD("podCIDRs", STRING, 7, LIST, OMIT, MERGE(NULL), .set = true),
    FIELD("providerID", STRING, 3, OMIT),
    FIELD("unschedulable", BOOL, 4, OMIT),
    FIELD("taints", OBJECT, 5, LIST, OF(taint), OMIT, .atomic = true),
    FIELD("configSource", OBJECT, 6, OF(node_config_source), OMIT, POINTER),
    FIELD("externalID", STRING, 2, OMIT),
};
SCHEMA(node_spec, "NodeSpec");

static const struct schema_field node_condition_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.NodeConditionType"),
    FIELD("status", STRING, 2, .go_type = "v1.ConditionStatus"),
    FIELD("lastHeartbeatTime", TIME, 3, OMIT),
    FIELD("lastTransitionTime", TIME, 4, OMIT),
    FIELD("reason", STRING, 5, OMIT),
    FIELD("message", STRING, 6, OMIT),
};
SCHEMA(node_condition, "NodeCondition");

static const struct schema_field node_address_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.NodeAddressType"),
    FIELD("address", STRING, 2),
};
SCHEMA(node_address, "NodeAddress");

static const struct schema_field daemon_endpoint_fields[] = {
    FIELD("Port", INT32, 1),
};
SCHEMA(daemon_endpoint, "DaemonEndpoint");

static const struct schema_field node_daemon_endpoints_fields[] = {
    FIELD("kubeletEndpoint", OBJECT, 1, OF(daemon_endpoint), OMIT),
};
SCHEMA(node_daemon_endpoints, "NodeDaemonEndpoints");

static const struct schema_field node_swap_status_fields[] = {
    FIELD("capacity", INT64, 1, OMIT, POINTER),
};
SCHEMA(node_swap_status, "NodeSwapStatus");

static const struct schema_field node_system_info_fields[] = {
    FIELD("machineID", STRING, 1),
    FIELD("systemUUID", STRING, 2),
    FIELD("bootID", STRING, 3),
    FIELD("kernelVersion", STRING, 4),
    FIELD("osImage", STRING, 5),
    FIELD("containerRuntimeVersion", STRING, 6),
    FIELD("kubeletVersion", STRING, 7),
    FIELD("kubeProxyVersion", STRING, 8),
    FIELD("operatingSystem", STRING, 9),
    FIELD("architecture", STRING, 10),
    FIELD("swap", OBJECT, 11, OF(node_swap_status), OMIT, POINTER),
};
SCHEMA(node_system_info, "NodeSystemInfo");

static const struct schema_field container_image_fields[] = {
    FIELD("names", STRING, 1, LIST, .atomic = true),
    FIELD("sizeBytes", INT64, 2, OMIT),
};
SCHEMA(container_image, "ContainerImage");

static const struct schema_field attached_volume_fields[] = {
    FIELD("name", STRING, 1, .go_type = "v1.UniqueVolumeName"),
    FIELD("devicePath", STRING, 2),
};
SCHEMA(attached_volume, "AttachedVolume");

static const struct schema_field node_config_status_fields[] = {
    FIELD("assigned", OBJECT, 1, OF(node_config_source), OMIT, POINTER),
    FIELD("active", OBJECT, 2, OF(node_config_source), OMIT, POINTER),
    FIELD("lastKnownGood", OBJECT, 3, OF(node_config_source), OMIT, POINTER),
    FIELD("error", STRING, 4, OMIT),
};
SCHEMA(node_config_status, "NodeConfigStatus");

static const struct schema_field node_runtime_handler_features_fields[] = {
    FIELD("recursiveReadOnlyMounts", BOOL, 1, OMIT, POINTER),
    FIELD("userNamespaces", BOOL, 2, OMIT, POINTER),
};
SCHEMA(node_runtime_handler_features, "NodeRuntimeHandlerFeatures");

static const struct schema_field node_runtime_handler_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("features", OBJECT, 2, OF(node_runtime_handler_features), OMIT, POINTER),
};
SCHEMA(node_runtime_handler, "NodeRuntimeHandler");

static const struct schema_field node_features_fields[] = {
    FIELD("supplementalGroupsPolicy", BOOL, 1, OMIT, POINTER),
};
SCHEMA(node_features, "NodeFeatures");

static const struct schema_field node_status_fields[] = {
    FIELD("capacity", QUANTITY, 1, MAP, OMIT),
    FIELD("allocatable", QUANTITY, 2, MAP, OMIT),
    FIELD("phase", STRING, 3, OMIT, .go_type = "v1.NodePhase"),
    FIELD("conditions", OBJECT, 4, LIST, OF(node_condition), OMIT, MERGE("type"),
          .map_keys = "type"),
    FIELD("addresses", OBJECT, 5, LIST, OF(node_address), OMIT, MERGE("type"), .map_keys = "type"),
    FIELD("daemonEndpoints", OBJECT, 6, OF(node_daemon_endpoints), OMIT),
    FIELD("nodeInfo", OBJECT, 7, OF(node_system_info), OMIT),
    FIELD("images", OBJECT, 8, LIST, OF(container_image), OMIT, .atomic = true),
    FIELD("volumesInUse", STRING, 9, LIST, OMIT, .go_type = "v1.UniqueVolumeName", .atomic = true),
    FIELD("volumesAttached", OBJECT, 10, LIST, OF(attached_volume), OMIT, .atomic = true),
    FIELD("config", OBJECT, 11, OF(node_config_status), OMIT, POINTER),
    FIELD("runtimeHandlers", OBJECT, 12, LIST, OF(node_runtime_handler), OMIT, .atomic = true),
    FIELD("features", OBJECT, 13, OF(node_features), OMIT, POINTER),
};
SCHEMA(node_status, "NodeStatus");

static const struct schema_field node_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(node_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(node_status), OMIT, .def = "{}"),
};
SCHEMA(node, "Node");

static const struct schema_field local_object_reference_fields[] = {
    FIELD("name", STRING, 1, OMIT),
};
SCHEMA(local_object_reference, "LocalObjectReference");

static const struct schema_field service_port_fields[] = {
    FIELD("name", STRING, 1, OMIT),
    FIELD("protocol", STRING, 2, OMIT, .go_type = "v1.Protocol", .def = "\"TCP\"",
          .values = "SCTP|TCP|UDP"),
    FIELD("appProtocol", STRING, 6, OMIT, POINTER),
    FIELD("port", INT32, 3, BETWEEN(1, 65535)),
    FIELD("targetPort", INT_OR_STRING, 4, OMIT),
    FIELD("nodePort", INT32, 5, OMIT),
};
SCHEMA(service_port, "ServicePort");

static const struct schema_field client_ip_config_fields[] = {
    FIELD("timeoutSeconds", INT32, 1, OMIT, POINTER),
};
SCHEMA(client_ip_config, "ClientIPConfig");

static const struct schema_field session_affinity_config_fields[] = {
    FIELD("clientIP", OBJECT, 1, OF(client_ip_config), OMIT, POINTER),
};
SCHEMA(session_affinity_config, "SessionAffinityConfig");

static const struct schema_field service_spec_fields[] = {
    FIELD("ports", OBJECT, 1, LIST, OF(service_port), OMIT, MERGE("port"),
          .map_keys = "port,protocol"),
    FIELD("selector", STRING, 2, MAP, OMIT, .format = FORMAT_LABELS),
    FIELD("clusterIP", STRING, 3, OMIT),
    FIELD("clusterIPs", STRING, 18, LIST, OMIT, .atomic = true),
    FIELD("type", STRING, 4, OMIT, .go_type = "v1.ServiceType", .def = "\"ClusterIP\"",
          .values = "ClusterIP|ExternalName|LoadBalancer|NodePort"),
    FIELD("externalIPs", STRING, 5, LIST, OMIT, .atomic = true),
    FIELD("sessionAffinity", STRING, 7, OMIT, .go_type = "v1.ServiceAffinity", .def = "\"None\"",
          .values = "ClientIP|None"),
    FIELD("loadBalancerIP", STRING, 8, OMIT),
    FIELD("loadBalancerSourceRanges", STRING, 9, LIST, OMIT, .atomic = true),
    FIELD("externalName", STRING, 10, OMIT),
    FIELD("externalTrafficPolicy", STRING, 11, OMIT, .go_type = "v1.ServiceExternalTrafficPolicy",
          .values = "Cluster|Local"),
    FIELD("healthCheckNodePort", INT32, 12, OMIT),
    FIELD("publishNotReadyAddresses", BOOL, 13, OMIT),
    FIELD("sessionAffinityConfig", OBJECT, 14, OF(session_affinity_config), OMIT, POINTER),
    FIELD("ipFamilies", STRING, 19, LIST, OMIT, .go_type = "v1.IPFamily", .atomic = true,
          .values = "IPv4|IPv6"),
    FIELD("ipFamilyPolicy", STRING, 17, OMIT, POINTER, .go_type = "v1.IPFamilyPolicy",
          .values = "SingleStack|PreferDualStack|RequireDualStack"),
    FIELD("allocateLoadBalancerNodePorts", BOOL, 20, OMIT, POINTER),
    FIELD("loadBalancerClass", STRING, 21, OMIT, POINTER),
    FIELD("internalTrafficPolicy", STRING, 22, OMIT, POINTER,
          .go_type = "v1.ServiceInternalTrafficPolicy", .values = "Cluster|Local"),
    FIELD("trafficDistribution", STRING, 23, OMIT, POINTER),
};
SCHEMA(service_spec, "ServiceSpec");

static const struct schema_field port_status_fields[] = {
    FIELD("port", INT32, 1),
    FIELD("protocol", STRING, 2, .go_type = "v1.Protocol"),
    FIELD("error", STRING, 3, OMIT, POINTER),
};
SCHEMA(port_status, "PortStatus");

static const struct schema_field load_balancer_ingress_fields[] = {
    FIELD("ip", STRING, 1, OMIT),
    FIELD("hostname", STRING, 2, OMIT),
    FIELD("ipMode", STRING, 3, OMIT, POINTER, .go_type = "v1.LoadBalancerIPMode"),
    FIELD("ports", OBJECT, 4, LIST, OF(port_status), OMIT, .atomic = true),
};
SCHEMA(load_balancer_ingress, "LoadBalancerIngress");

static const struct schema_field load_balancer_status_fields[] = {
    FIELD("ingress", OBJECT, 1, LIST, OF(load_balancer_ingress), OMIT, .atomic = true),
};
SCHEMA(load_balancer_status, "LoadBalancerStatus");

static const struct schema_field service_status_fields[] = {
    FIELD("loadBalancer", OBJECT, 1, OF(load_balancer_status), OMIT, .def = "{}"),
    FIELD("conditions", OBJECT, 2, LIST, OF(condition), OMIT, MERGE("type"), .map_keys = "type"),
};
SCHEMA(service_status, "ServiceStatus");

static const struct schema_field service_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(service_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(service_status), OMIT, .def = "{}"),
};
SCHEMA(service, "Service");

static const struct schema_field object_reference_fields[] = {
    FIELD("kind", STRING, 1, OMIT),       FIELD("namespace", STRING, 2, OMIT),
    FIELD("name", STRING, 3, OMIT),       FIELD("uid", STRING, 4, OMIT, .go_type = "types.UID"),
    FIELD("apiVersion", STRING, 5, OMIT), FIELD("resourceVersion", STRING, 6, OMIT),
    FIELD("fieldPath", STRING, 7, OMIT),
};
SCHEMA(object_reference, "ObjectReference");

static const struct schema_field endpoint_address_fields[] = {
    FIELD("ip", STRING, 1),
    FIELD("hostname", STRING, 3, OMIT),
    FIELD("nodeName", STRING, 4, OMIT, POINTER),
    FIELD("targetRef", OBJECT, 2, OF(object_reference), OMIT, POINTER),
};
SCHEMA(endpoint_address, "EndpointAddress");

static const struct schema_field endpoint_port_fields[] = {
    FIELD("name", STRING, 1, OMIT),
    FIELD("port", INT32, 2, BETWEEN(1, 65535)),
    FIELD("protocol", STRING, 3, OMIT, .go_type = "v1.Protocol", .def = "\"TCP\"",
          .values = "SCTP|TCP|UDP"),
    FIELD("appProtocol", STRING, 4, OMIT, POINTER),
};
SCHEMA(endpoint_port, "EndpointPort");

static const struct schema_field endpoint_subset_fields[] = {
    FIELD("addresses", OBJECT, 1, LIST, OF(endpoint_address), OMIT, .atomic = true),
    FIELD("notReadyAddresses", OBJECT, 2, LIST, OF(endpoint_address), OMIT, .atomic = true),
    FIELD("ports", OBJECT, 3, LIST, OF(endpoint_port), OMIT, .atomic = true),
};
SCHEMA(endpoint_subset, "EndpointSubset");

static const struct schema_field endpoints_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("subsets", OBJECT, 2, LIST, OF(endpoint_subset), OMIT, .atomic = true),
};
SCHEMA(endpoints, "Endpoints");

static const struct schema_field config_map_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("immutable", BOOL, 4, OMIT, POINTER),
    FIELD("data", STRING, 2, MAP, OMIT, .format = FORMAT_CONFIG_KEYS),
    FIELD("binaryData", BYTES, 3, MAP, OMIT, .format = FORMAT_CONFIG_KEYS),
};
SCHEMA(config_map, "ConfigMap");

static const struct schema_field secret_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("immutable", BOOL, 5, OMIT, POINTER),
    FIELD("data", BYTES, 2, MAP, OMIT, .format = FORMAT_CONFIG_KEYS),
    FIELD("stringData", STRING, 4, MAP, OMIT),
    FIELD("type", STRING, 3, OMIT, .go_type = "v1.SecretType", .def = "\"Opaque\""),
};
SCHEMA(secret, "Secret");

static const struct schema_field service_account_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("secrets", OBJECT, 2, LIST, OF(object_reference), OMIT, MERGE("name"),
          .map_keys = "name"),
    FIELD("imagePullSecrets", OBJECT, 3, LIST, OF(local_object_reference), OMIT, .atomic = true),
    FIELD("automountServiceAccountToken", BOOL, 4, OMIT, POINTER),
};
SCHEMA(service_account, "ServiceAccount");

static const struct schema_field event_source_fields[] = {
    FIELD("component", STRING, 1, OMIT),
    FIELD("host", STRING, 2, OMIT),
};
SCHEMA(event_source, "EventSource");

static const struct schema_field event_series_fields[] = {
    FIELD("count", INT32, 1, OMIT),
    FIELD("lastObservedTime", MICROTIME, 2, OMIT),
};
SCHEMA(event_series, "EventSeries");

static const struct schema_field event_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta)),
    FIELD("involvedObject", OBJECT, 2, OF(object_reference)),
    FIELD("reason", STRING, 3, OMIT),
    FIELD("message", STRING, 4, OMIT),
    FIELD("source", OBJECT, 5, OF(event_source), OMIT),
    FIELD("firstTimestamp", TIME, 6, OMIT),
    FIELD("lastTimestamp", TIME, 7, OMIT),
    FIELD("count", INT32, 8, OMIT),
    FIELD("type", STRING, 9, OMIT),
    FIELD("eventTime", MICROTIME, 10, OMIT),
    FIELD("series", OBJECT, 11, OF(event_series), OMIT, POINTER),
    FIELD("action", STRING, 12, OMIT),
    FIELD("related", OBJECT, 13, OF(object_reference), OMIT, POINTER),
    FIELD("reportingComponent", STRING, 14),
    FIELD("reportingInstance", STRING, 15),
};
SCHEMA(event, "Event");

static const struct schema_field binding_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("target", OBJECT, 2, OF(object_reference)),
};
SCHEMA(binding, "Binding");
