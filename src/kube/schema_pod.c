/* Tables of the API's messages: Pod: its spec, scheduling and status.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and kinds.h for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field node_selector_requirement_fields[] = {
    FIELD("key", STRING, 1, REQUIRED),
    FIELD("operator", STRING, 2, .go_type = "v1.NodeSelectorOperator", REQUIRED,
          .values = "In|NotIn|Exists|DoesNotExist|Gt|Lt"),
    FIELD("values", STRING, 3, LIST, OMIT, .atomic = true),
};
SCHEMA(node_selector_requirement, "NodeSelectorRequirement");

static const struct schema_field node_selector_term_fields[] = {
    FIELD("matchExpressions", OBJECT, 1, LIST, OF(node_selector_requirement), OMIT, .atomic = true),
    FIELD("matchFields", OBJECT, 2, LIST, OF(node_selector_requirement), OMIT, .atomic = true),
};
SCHEMA(node_selector_term, "NodeSelectorTerm");

static const struct schema_field node_selector_fields[] = {
    FIELD("nodeSelectorTerms", OBJECT, 1, LIST, OF(node_selector_term), .atomic = true, REQUIRED),
};
SCHEMA(node_selector, "NodeSelector");

static const struct schema_field preferred_scheduling_term_fields[] = {
    FIELD("weight", INT32, 1, BETWEEN(1, 100)),
    FIELD("preference", OBJECT, 2, OF(node_selector_term)),
};
SCHEMA(preferred_scheduling_term, "PreferredSchedulingTerm");

static const struct schema_field node_affinity_fields[] = {
    FIELD("requiredDuringSchedulingIgnoredDuringExecution", OBJECT, 1, OF(node_selector), OMIT,
          POINTER),
    FIELD("preferredDuringSchedulingIgnoredDuringExecution", OBJECT, 2, LIST,
          OF(preferred_scheduling_term), OMIT, .atomic = true),
};
SCHEMA(node_affinity, "NodeAffinity");

static const struct schema_field pod_affinity_term_fields[] = {
    FIELD("labelSelector", OBJECT, 1, OF(label_selector), OMIT, POINTER),
    FIELD("namespaces", STRING, 2, LIST, OMIT, .atomic = true),
    FIELD("topologyKey", STRING, 3, REQUIRED),
    FIELD("namespaceSelector", OBJECT, 4, OF(label_selector), OMIT, POINTER),
    FIELD("matchLabelKeys", STRING, 5, LIST, OMIT, .atomic = true),
    FIELD("mismatchLabelKeys", STRING, 6, LIST, OMIT, .atomic = true),
};
SCHEMA(pod_affinity_term, "PodAffinityTerm");

static const struct schema_field weighted_pod_affinity_term_fields[] = {
    FIELD("weight", INT32, 1, BETWEEN(1, 100)),
    FIELD("podAffinityTerm", OBJECT, 2, OF(pod_affinity_term)),
};
SCHEMA(weighted_pod_affinity_term, "WeightedPodAffinityTerm");

static const struct schema_field pod_affinity_fields[] = {
    FIELD("requiredDuringSchedulingIgnoredDuringExecution", OBJECT, 1, LIST, OF(pod_affinity_term),
          OMIT, .atomic = true),
    FIELD("preferredDuringSchedulingIgnoredDuringExecution", OBJECT, 2, LIST,
          OF(weighted_pod_affinity_term), OMIT, .atomic = true),
};
SCHEMA(pod_affinity, "PodAffinity");

static const struct schema_field pod_anti_affinity_fields[] = {
    FIELD("requiredDuringSchedulingIgnoredDuringExecution", OBJECT, 1, LIST, OF(pod_affinity_term),
          OMIT, .atomic = true),
    FIELD("preferredDuringSchedulingIgnoredDuringExecution", OBJECT, 2, LIST,
          OF(weighted_pod_affinity_term), OMIT, .atomic = true),
};
SCHEMA(pod_anti_affinity, "PodAntiAffinity");

static const struct schema_field affinity_fields[] = {
    FIELD("nodeAffinity", OBJECT, 1, OF(node_affinity), OMIT, POINTER),
    FIELD("podAffinity", OBJECT, 2, OF(pod_affinity), OMIT, POINTER),
    FIELD("podAntiAffinity", OBJECT, 3, OF(pod_anti_affinity), OMIT, POINTER),
};
SCHEMA(affinity, "Affinity");

static const struct schema_field toleration_fields[] = {
    FIELD("key", STRING, 1, OMIT),
    FIELD("operator", STRING, 2, OMIT, .go_type = "v1.TolerationOperator",
          .values = "Equal|Exists"),
    FIELD("value", STRING, 3, OMIT),
    FIELD("effect", STRING, 4, OMIT, .go_type = "v1.TaintEffect",
          .values = "NoSchedule|PreferNoSchedule|NoExecute"),
    FIELD("tolerationSeconds", INT64, 5, OMIT, POINTER),
};
SCHEMA(toleration, "Toleration");

static const struct schema_field host_alias_fields[] = {
    FIELD("ip", STRING, 1, REQUIRED, .format = FORMAT_IP),
    FIELD("hostnames", STRING, 2, LIST, OMIT, .atomic = true),
};
SCHEMA(host_alias, "HostAlias");

static const struct schema_field pod_dns_config_option_fields[] = {
    FIELD("name", STRING, 1, OMIT),
    FIELD("value", STRING, 2, OMIT, POINTER),
};
SCHEMA(pod_dns_config_option, "PodDNSConfigOption");

static const struct schema_field pod_dns_config_fields[] = {
    FIELD("nameservers", STRING, 1, LIST, OMIT, .atomic = true),
    FIELD("searches", STRING, 2, LIST, OMIT, .atomic = true),
    FIELD("options", OBJECT, 3, LIST, OF(pod_dns_config_option), OMIT, .atomic = true),
};
SCHEMA(pod_dns_config, "PodDNSConfig");

static const struct schema_field pod_readiness_gate_fields[] = {
    FIELD("conditionType", STRING, 1, .go_type = "v1.PodConditionType", REQUIRED,
          .format = FORMAT_QUALIFIED_NAME),
};
SCHEMA(pod_readiness_gate, "PodReadinessGate");

static const struct schema_field topology_spread_constraint_fields[] = {
    FIELD("maxSkew", INT32, 1, REQUIRED, BETWEEN(1, INT32_MAX)),
    FIELD("topologyKey", STRING, 2, REQUIRED),
    FIELD("whenUnsatisfiable", STRING, 3, .go_type = "v1.UnsatisfiableConstraintAction", REQUIRED,
          .values = "DoNotSchedule|ScheduleAnyway"),
    FIELD("labelSelector", OBJECT, 4, OF(label_selector), OMIT, POINTER),
    FIELD("minDomains", INT32, 5, OMIT, POINTER),
    FIELD("nodeAffinityPolicy", STRING, 6, OMIT, POINTER, .go_type = "v1.NodeInclusionPolicy"),
    FIELD("nodeTaintsPolicy", STRING, 7, OMIT, POINTER, .go_type = "v1.NodeInclusionPolicy"),
    FIELD("matchLabelKeys", STRING, 8, LIST, OMIT, .atomic = true),
};
SCHEMA(topology_spread_constraint, "TopologySpreadConstraint");

static const struct schema_field pod_os_fields[] = {
    FIELD("name", STRING, 1, .go_type = "v1.OSName"),
};
SCHEMA(pod_os, "PodOS");

static const struct schema_field pod_scheduling_gate_fields[] = {
    FIELD("name", STRING, 1, REQUIRED),
};
SCHEMA(pod_scheduling_gate, "PodSchedulingGate");

static const struct schema_field pod_resource_claim_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("resourceClaimName", STRING, 3, OMIT, POINTER),
    FIELD("resourceClaimTemplateName", STRING, 4, OMIT, POINTER),
};
SCHEMA(pod_resource_claim, "PodResourceClaim");

static const struct schema_field pod_spec_fields[] = {
    FIELD("volumes", OBJECT, 1, LIST, OF(volume), OMIT, MERGE("name"), .patch_retain_keys = true,
          .map_keys = "name"),
    FIELD("initContainers", OBJECT, 20, LIST, OF(container), OMIT, MERGE("name"),
          .map_keys = "name"),
    FIELD("containers", OBJECT, 2, LIST, OF(container), MERGE("name"), .map_keys = "name",
          REQUIRED),
    FIELD("ephemeralContainers", OBJECT, 34, LIST, OF(ephemeral_container), OMIT, MERGE("name"),
          .map_keys = "name"),
    FIELD("restartPolicy", STRING, 3, OMIT, .go_type = "v1.RestartPolicy", .def = "\"Always\"",
          .values = "Always|OnFailure|Never"),
    FIELD("terminationGracePeriodSeconds", INT64, 4, OMIT, POINTER, .def = "30"),
    FIELD("activeDeadlineSeconds", INT64, 5, OMIT, POINTER, BETWEEN(1, 2147483647)),
    FIELD("dnsPolicy", STRING, 6, OMIT, .go_type = "v1.DNSPolicy", .def = "\"ClusterFirst\"",
          .values = "ClusterFirst|ClusterFirstWithHostNet|Default|None"),
    FIELD("nodeSelector", STRING, 7, MAP, OMIT, .format = FORMAT_LABELS),
    FIELD("serviceAccountName", STRING, 8, OMIT, .format = FORMAT_DNS_SUBDOMAIN),
    FIELD("serviceAccount", STRING, 9, OMIT),
    FIELD("automountServiceAccountToken", BOOL, 21, OMIT, POINTER),
    FIELD("nodeName", STRING, 10, OMIT, .format = FORMAT_DNS_SUBDOMAIN),
    FIELD("hostNetwork", BOOL, 11, OMIT),
    FIELD("hostPID", BOOL, 12, OMIT),
    FIELD("hostIPC", BOOL, 13, OMIT),
    FIELD("shareProcessNamespace", BOOL, 27, OMIT, POINTER),
    FIELD("securityContext", OBJECT, 14, OF(pod_security_context), OMIT, POINTER, .def = "{}"),
    FIELD("imagePullSecrets", OBJECT, 15, LIST, OF(local_object_reference), OMIT, MERGE("name"),
          .map_keys = "name"),
    FIELD("hostname", STRING, 16, OMIT, .format = FORMAT_DNS_LABEL),
    FIELD("subdomain", STRING, 17, OMIT, .format = FORMAT_DNS_LABEL),
    FIELD("affinity", OBJECT, 18, OF(affinity), OMIT, POINTER),
    FIELD("schedulerName", STRING, 19, OMIT, .def = "\"default-scheduler\""),
    FIELD("tolerations", OBJECT, 22, LIST, OF(toleration), OMIT, .atomic = true),
    FIELD("hostAliases", OBJECT, 23, LIST, OF(host_alias), OMIT, MERGE("ip"), .map_keys = "ip"),
    FIELD("priorityClassName", STRING, 24, OMIT, .format = FORMAT_DNS_SUBDOMAIN),
    FIELD("priority", INT32, 25, OMIT, POINTER),
    FIELD("dnsConfig", OBJECT, 26, OF(pod_dns_config), OMIT, POINTER),
    FIELD("readinessGates", OBJECT, 28, LIST, OF(pod_readiness_gate), OMIT, .atomic = true),
    FIELD("runtimeClassName", STRING, 29, OMIT, POINTER),
    FIELD("enableServiceLinks", BOOL, 30, OMIT, POINTER, .def = "true"),
    FIELD("preemptionPolicy", STRING, 31, OMIT, POINTER, .go_type = "v1.PreemptionPolicy",
          .values = "Never|PreemptLowerPriority"),
    FIELD("overhead", QUANTITY, 32, MAP, OMIT),
    FIELD("topologySpreadConstraints", OBJECT, 33, LIST, OF(topology_spread_constraint), OMIT,
          MERGE("topologyKey"), .map_keys = "topologyKey,whenUnsatisfiable"),
    FIELD("setHostnameAsFQDN", BOOL, 35, OMIT, POINTER),
    FIELD("os", OBJECT, 36, OF(pod_os), OMIT, POINTER),
    FIELD("hostUsers", BOOL, 37, OMIT, POINTER),
    FIELD("schedulingGates", OBJECT, 38, LIST, OF(pod_scheduling_gate), OMIT, MERGE("name"),
          .map_keys = "name"),
    FIELD("resourceClaims", OBJECT, 39, LIST, OF(pod_resource_claim), OMIT, MERGE("name"),
          .patch_retain_keys = true, .map_keys = "name"),
    FIELD("resources", OBJECT, 40, OF(resource_requirements), OMIT, POINTER),
};
SCHEMA(pod_spec, "PodSpec");

static const struct schema_field pod_condition_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.PodConditionType"),
    FIELD("observedGeneration", INT64, 7, OMIT),
    FIELD("status", STRING, 2, .go_type = "v1.ConditionStatus"),
    FIELD("lastProbeTime", TIME, 3, OMIT),
    FIELD("lastTransitionTime", TIME, 4, OMIT),
    FIELD("reason", STRING, 5, OMIT),
    FIELD("message", STRING, 6, OMIT),
};
SCHEMA(pod_condition, "PodCondition");

static const struct schema_field host_ip_fields[] = {
    FIELD("ip", STRING, 1),
};
SCHEMA(host_ip, "HostIP");

static const struct schema_field pod_ip_fields[] = {
    FIELD("ip", STRING, 1),
};
SCHEMA(pod_ip, "PodIP");

static const struct schema_field container_state_waiting_fields[] = {
    FIELD("reason", STRING, 1, OMIT),
    FIELD("message", STRING, 2, OMIT),
};
SCHEMA(container_state_waiting, "ContainerStateWaiting");

static const struct schema_field container_state_running_fields[] = {
    FIELD("startedAt", TIME, 1, OMIT),
};
SCHEMA(container_state_running, "ContainerStateRunning");

static const struct schema_field container_state_terminated_fields[] = {
    FIELD("exitCode", INT32, 1),           FIELD("signal", INT32, 2, OMIT),
    FIELD("reason", STRING, 3, OMIT),      FIELD("message", STRING, 4, OMIT),
    FIELD("startedAt", TIME, 5, OMIT),     FIELD("finishedAt", TIME, 6, OMIT),
    FIELD("containerID", STRING, 7, OMIT),
};
SCHEMA(container_state_terminated, "ContainerStateTerminated");

static const struct schema_field container_state_fields[] = {
    FIELD("waiting", OBJECT, 1, OF(container_state_waiting), OMIT, POINTER),
    FIELD("running", OBJECT, 2, OF(container_state_running), OMIT, POINTER),
    FIELD("terminated", OBJECT, 3, OF(container_state_terminated), OMIT, POINTER),
};
SCHEMA(container_state, "ContainerState");

static const struct schema_field volume_mount_status_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("mountPath", STRING, 2),
    FIELD("readOnly", BOOL, 3, OMIT),
    FIELD("recursiveReadOnly", STRING, 4, OMIT, POINTER, .go_type = "v1.RecursiveReadOnlyMode"),
};
SCHEMA(volume_mount_status, "VolumeMountStatus");

static const struct schema_field linux_container_user_fields[] = {
    FIELD("uid", INT64, 1),
    FIELD("gid", INT64, 2),
    FIELD("supplementalGroups", INT64, 3, LIST, OMIT, .atomic = true),
};
SCHEMA(linux_container_user, "LinuxContainerUser");

static const struct schema_field container_user_fields[] = {
    FIELD("linux", OBJECT, 1, OF(linux_container_user), OMIT, POINTER),
};
SCHEMA(container_user, "ContainerUser");

static const struct schema_field resource_health_fields[] = {
    FIELD("resourceID", STRING, 1, .go_type = "v1.ResourceID"),
    FIELD("health", STRING, 2, OMIT, .go_type = "v1.ResourceHealthStatus"),
};
SCHEMA(resource_health, "ResourceHealth");

static const struct schema_field resource_status_fields[] = {
    FIELD("name", STRING, 1, .go_type = "v1.ResourceName"),
    FIELD("resources", OBJECT, 2, LIST, OF(resource_health), OMIT, .map_keys = "resourceID"),
};
SCHEMA(resource_status, "ResourceStatus");

static const struct schema_field container_status_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("state", OBJECT, 2, OF(container_state), OMIT),
    FIELD("lastState", OBJECT, 3, OF(container_state), OMIT),
    FIELD("ready", BOOL, 4),
    FIELD("restartCount", INT32, 5),
    FIELD("image", STRING, 6),
    FIELD("imageID", STRING, 7),
    FIELD("containerID", STRING, 8, OMIT),
    FIELD("started", BOOL, 9, OMIT, POINTER),
    FIELD("allocatedResources", QUANTITY, 10, MAP, OMIT),
    FIELD("resources", OBJECT, 11, OF(resource_requirements), OMIT, POINTER),
    FIELD("volumeMounts", OBJECT, 12, LIST, OF(volume_mount_status), OMIT, MERGE("mountPath"),
          .map_keys = "mountPath"),
    FIELD("user", OBJECT, 13, OF(container_user), OMIT, POINTER),
    FIELD("allocatedResourcesStatus", OBJECT, 14, LIST, OF(resource_status), OMIT, MERGE("name"),
          .map_keys = "name"),
    FIELD("stopSignal", STRING, 15, OMIT, POINTER, .go_type = "v1.Signal"),
};
SCHEMA(container_status, "ContainerStatus");

static const struct schema_field pod_resource_claim_status_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("resourceClaimName", STRING, 2, OMIT, POINTER),
};
SCHEMA(pod_resource_claim_status, "PodResourceClaimStatus");

static const struct schema_field pod_status_fields[] = {
    FIELD("observedGeneration", INT64, 17, OMIT),
    FIELD("phase", STRING, 1, OMIT, .go_type = "v1.PodPhase"),
    FIELD("conditions", OBJECT, 2, LIST, OF(pod_condition), OMIT, MERGE("type"),
          .map_keys = "type"),
    FIELD("message", STRING, 3, OMIT),
    FIELD("reason", STRING, 4, OMIT),
    FIELD("nominatedNodeName", STRING, 11, OMIT),
    FIELD("hostIP", STRING, 5, OMIT),
    FIELD("hostIPs", OBJECT, 16, LIST, OF(host_ip), OMIT, MERGE("ip"), .atomic = true),
    FIELD("podIP", STRING, 6, OMIT),
    FIELD("podIPs", OBJECT, 12, LIST, OF(pod_ip), OMIT, MERGE("ip"), .map_keys = "ip"),
    FIELD("startTime", TIME, 7, OMIT, POINTER),
    FIELD("initContainerStatuses", OBJECT, 10, LIST, OF(container_status), OMIT, .atomic = true),
    FIELD("containerStatuses", OBJECT, 8, LIST, OF(container_status), OMIT, .atomic = true),
    FIELD("qosClass", STRING, 9, OMIT, .go_type = "v1.PodQOSClass"),
    FIELD("ephemeralContainerStatuses", OBJECT, 13, LIST, OF(container_status), OMIT,
          .atomic = true),
    FIELD("resize", STRING, 14, OMIT, .go_type = "v1.PodResizeStatus"),
    FIELD("resourceClaimStatuses", OBJECT, 15, LIST, OF(pod_resource_claim_status), OMIT,
          MERGE("name"), .patch_retain_keys = true, .map_keys = "name"),
};
SCHEMA(pod_status, "PodStatus");

static const struct schema_field pod_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(pod_spec), OMIT, .def = "{}"),
    FIELD("status", OBJECT, 3, OF(pod_status), OMIT, .def = "{}"),
};
SCHEMA(pod, "Pod");

static const struct schema_field pod_template_spec_fields[] = {
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(pod_spec), OMIT, .def = "{}"),
};
SCHEMA(pod_template_spec, "PodTemplateSpec");
