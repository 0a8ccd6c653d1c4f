/* Tables of the API's messages: containers, probes, security contexts, environment.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and kinds.h for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field object_field_selector_fields[] = {
    FIELD("apiVersion", STRING, 1, OMIT, .def = "\"v1\""),
    FIELD("fieldPath", STRING, 2, REQUIRED),
};
SCHEMA(object_field_selector, "ObjectFieldSelector");

static const struct schema_field resource_field_selector_fields[] = {
    FIELD("containerName", STRING, 1, OMIT),
    FIELD("resource", STRING, 2, REQUIRED),
    FIELD("divisor", QUANTITY, 3, OMIT, .def = "\"0\""),
};
SCHEMA(resource_field_selector, "ResourceFieldSelector");

static const struct schema_field container_port_fields[] = {
    FIELD("name", STRING, 1, OMIT, .format = FORMAT_PORT_NAME),
    FIELD("hostPort", INT32, 2, OMIT, BETWEEN(0, 65535)),
    FIELD("containerPort", INT32, 3, REQUIRED, BETWEEN(1, 65535)),
    FIELD("protocol", STRING, 4, OMIT, .go_type = "v1.Protocol", .def = "\"TCP\"",
          .values = "SCTP|TCP|UDP"),
    FIELD("hostIP", STRING, 5, OMIT),
};
SCHEMA(container_port, "ContainerPort");

static const struct schema_field config_map_env_source_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("optional", BOOL, 2, OMIT, POINTER),
};
SCHEMA(config_map_env_source, "ConfigMapEnvSource");

static const struct schema_field secret_env_source_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("optional", BOOL, 2, OMIT, POINTER),
};
SCHEMA(secret_env_source, "SecretEnvSource");

static const struct schema_field env_from_source_fields[] = {
    FIELD("prefix", STRING, 1, OMIT),
    FIELD("configMapRef", OBJECT, 2, OF(config_map_env_source), OMIT, POINTER),
    FIELD("secretRef", OBJECT, 3, OF(secret_env_source), OMIT, POINTER),
};
SCHEMA(env_from_source, "EnvFromSource");

static const struct schema_field config_map_key_selector_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("key", STRING, 2, REQUIRED),
    FIELD("optional", BOOL, 3, OMIT, POINTER),
};
SCHEMA(config_map_key_selector, "ConfigMapKeySelector");

static const struct schema_field secret_key_selector_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("key", STRING, 2, REQUIRED),
    FIELD("optional", BOOL, 3, OMIT, POINTER),
};
SCHEMA(secret_key_selector, "SecretKeySelector");

static const struct schema_field env_var_source_fields[] = {
    FIELD("fieldRef", OBJECT, 1, OF(object_field_selector), OMIT, POINTER),
    FIELD("resourceFieldRef", OBJECT, 2, OF(resource_field_selector), OMIT, POINTER),
    FIELD("configMapKeyRef", OBJECT, 3, OF(config_map_key_selector), OMIT, POINTER),
    FIELD("secretKeyRef", OBJECT, 4, OF(secret_key_selector), OMIT, POINTER),
};
SCHEMA(env_var_source, "EnvVarSource");

static const struct schema_field env_var_fields[] = {
    FIELD("name", STRING, 1, REQUIRED, .format = FORMAT_ENV_NAME),
    FIELD("value", STRING, 2, OMIT),
    FIELD("valueFrom", OBJECT, 3, OF(env_var_source), OMIT, POINTER),
};
SCHEMA(env_var, "EnvVar");

static const struct schema_field resource_claim_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("request", STRING, 2, OMIT),
};
SCHEMA(resource_claim, "ResourceClaim");

static const struct schema_field resource_requirements_fields[] = {
    FIELD("limits", QUANTITY, 1, MAP, OMIT),
    FIELD("requests", QUANTITY, 2, MAP, OMIT),
    FIELD("claims", OBJECT, 3, LIST, OF(resource_claim), OMIT, .map_keys = "name"),
};
SCHEMA(resource_requirements, "ResourceRequirements");

static const struct schema_field container_resize_policy_fields[] = {
    FIELD("resourceName", STRING, 1, .go_type = "v1.ResourceName"),
    FIELD("restartPolicy", STRING, 2, .go_type = "v1.ResourceResizeRestartPolicy"),
};
SCHEMA(container_resize_policy, "ContainerResizePolicy");

static const struct schema_field volume_mount_fields[] = {
    FIELD("name", STRING, 1, REQUIRED),
    FIELD("readOnly", BOOL, 2, OMIT),
    FIELD("recursiveReadOnly", STRING, 7, OMIT, POINTER, .go_type = "v1.RecursiveReadOnlyMode"),
    FIELD("mountPath", STRING, 3, REQUIRED),
    FIELD("subPath", STRING, 4, OMIT),
    FIELD("mountPropagation", STRING, 5, OMIT, POINTER, .go_type = "v1.MountPropagationMode"),
    FIELD("subPathExpr", STRING, 6, OMIT),
};
SCHEMA(volume_mount, "VolumeMount");

static const struct schema_field volume_device_fields[] = {
    FIELD("name", STRING, 1, REQUIRED),
    FIELD("devicePath", STRING, 2, REQUIRED),
};
SCHEMA(volume_device, "VolumeDevice");

static const struct schema_field exec_action_fields[] = {
    FIELD("command", STRING, 1, LIST, OMIT, .atomic = true),
};
SCHEMA(exec_action, "ExecAction");

static const struct schema_field http_header_fields[] = {
    FIELD("name", STRING, 1, REQUIRED),
    FIELD("value", STRING, 2),
};
SCHEMA(http_header, "HTTPHeader");

static const struct schema_field http_get_action_fields[] = {
    FIELD("path", STRING, 1, OMIT, .def = "\"/\""),
    FIELD("port", INT_OR_STRING, 2, REQUIRED),
    FIELD("host", STRING, 3, OMIT),
    FIELD("scheme", STRING, 4, OMIT, .go_type = "v1.URIScheme", .def = "\"HTTP\"",
          .values = "HTTP|HTTPS"),
    FIELD("httpHeaders", OBJECT, 5, LIST, OF(http_header), OMIT, .atomic = true),
};
SCHEMA(http_get_action, "HTTPGetAction");

static const struct schema_field tcp_socket_action_fields[] = {
    FIELD("port", INT_OR_STRING, 1, REQUIRED),
    FIELD("host", STRING, 2, OMIT),
};
SCHEMA(tcp_socket_action, "TCPSocketAction");

static const struct schema_field grpc_action_fields[] = {
    FIELD("port", INT32, 1, REQUIRED, BETWEEN(1, 65535)),
    FIELD("service", STRING, 2, POINTER, .def = "\"\""),
};
SCHEMA(grpc_action, "GRPCAction");

static const struct schema_field probe_handler_fields[] = {
    FIELD("exec", OBJECT, 1, OF(exec_action), OMIT, POINTER),
    FIELD("httpGet", OBJECT, 2, OF(http_get_action), OMIT, POINTER),
    FIELD("tcpSocket", OBJECT, 3, OF(tcp_socket_action), OMIT, POINTER),
    FIELD("grpc", OBJECT, 4, OF(grpc_action), OMIT, POINTER),
};
SCHEMA(probe_handler, "ProbeHandler");

static const struct schema_field probe_fields[] = {
    INLINED(1, probe_handler),
    FIELD("initialDelaySeconds", INT32, 2, OMIT, BETWEEN(0, INT32_MAX)),
    FIELD("timeoutSeconds", INT32, 3, OMIT, .def = "1", BETWEEN(0, INT32_MAX)),
    FIELD("periodSeconds", INT32, 4, OMIT, .def = "10", BETWEEN(0, INT32_MAX)),
    FIELD("successThreshold", INT32, 5, OMIT, .def = "1", BETWEEN(0, INT32_MAX)),
    FIELD("failureThreshold", INT32, 6, OMIT, .def = "3", BETWEEN(0, INT32_MAX)),
    FIELD("terminationGracePeriodSeconds", INT64, 7, OMIT, POINTER),
};
SCHEMA(probe, "Probe");

static const struct schema_field sleep_action_fields[] = {
    FIELD("seconds", INT64, 1),
};
SCHEMA(sleep_action, "SleepAction");

static const struct schema_field lifecycle_handler_fields[] = {
    FIELD("exec", OBJECT, 1, OF(exec_action), OMIT, POINTER),
    FIELD("httpGet", OBJECT, 2, OF(http_get_action), OMIT, POINTER),
    FIELD("tcpSocket", OBJECT, 3, OF(tcp_socket_action), OMIT, POINTER),
    FIELD("sleep", OBJECT, 4, OF(sleep_action), OMIT, POINTER),
};
SCHEMA(lifecycle_handler, "LifecycleHandler");

static const struct schema_field lifecycle_fields[] = {
    FIELD("postStart", OBJECT, 1, OF(lifecycle_handler), OMIT, POINTER),
    FIELD("preStop", OBJECT, 2, OF(lifecycle_handler), OMIT, POINTER),
    FIELD("stopSignal", STRING, 3, OMIT, POINTER, .go_type = "v1.Signal"),
};
SCHEMA(lifecycle, "Lifecycle");

static const struct schema_field capabilities_fields[] = {
    FIELD("add", STRING, 1, LIST, OMIT, .go_type = "v1.Capability", .atomic = true),
    FIELD("drop", STRING, 2, LIST, OMIT, .go_type = "v1.Capability", .atomic = true),
};
SCHEMA(capabilities, "Capabilities");

static const struct schema_field se_linux_options_fields[] = {
    FIELD("user", STRING, 1, OMIT),
    FIELD("role", STRING, 2, OMIT),
    FIELD("type", STRING, 3, OMIT),
    FIELD("level", STRING, 4, OMIT),
};
SCHEMA(se_linux_options, "SELinuxOptions");

static const struct schema_field windows_security_context_options_fields[] = {
    FIELD("gmsaCredentialSpecName", STRING, 1, OMIT, POINTER),
    FIELD("gmsaCredentialSpec", STRING, 2, OMIT, POINTER),
    FIELD("runAsUserName", STRING, 3, OMIT, POINTER),
    FIELD("hostProcess", BOOL, 4, OMIT, POINTER),
};
SCHEMA(windows_security_context_options, "WindowsSecurityContextOptions");

static const struct schema_field seccomp_profile_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.SeccompProfileType"),
    FIELD("localhostProfile", STRING, 2, OMIT, POINTER),
};
SCHEMA(seccomp_profile, "SeccompProfile");

static const struct schema_field app_armor_profile_fields[] = {
    FIELD("type", STRING, 1, .go_type = "v1.AppArmorProfileType"),
    FIELD("localhostProfile", STRING, 2, OMIT, POINTER),
};
SCHEMA(app_armor_profile, "AppArmorProfile");

static const struct schema_field security_context_fields[] = {
    FIELD("capabilities", OBJECT, 1, OF(capabilities), OMIT, POINTER),
    FIELD("privileged", BOOL, 2, OMIT, POINTER),
    FIELD("seLinuxOptions", OBJECT, 3, OF(se_linux_options), OMIT, POINTER),
    FIELD("windowsOptions", OBJECT, 10, OF(windows_security_context_options), OMIT, POINTER),
    FIELD("runAsUser", INT64, 4, OMIT, POINTER),
    FIELD("runAsGroup", INT64, 8, OMIT, POINTER),
    FIELD("runAsNonRoot", BOOL, 5, OMIT, POINTER),
    FIELD("readOnlyRootFilesystem", BOOL, 6, OMIT, POINTER),
    FIELD("allowPrivilegeEscalation", BOOL, 7, OMIT, POINTER),
    FIELD("procMount", STRING, 9, OMIT, POINTER, .go_type = "v1.ProcMountType"),
    FIELD("seccompProfile", OBJECT, 11, OF(seccomp_profile), OMIT, POINTER),
    FIELD("appArmorProfile", OBJECT, 12, OF(app_armor_profile), OMIT, POINTER),
};
SCHEMA(security_context, "SecurityContext");

static const struct schema_field container_fields[] = {
    FIELD("name", STRING, 1, REQUIRED, .format = FORMAT_DNS_LABEL),
    FIELD("image", STRING, 2, OMIT),
    FIELD("command", STRING, 3, LIST, OMIT, .atomic = true),
    FIELD("args", STRING, 4, LIST, OMIT, .atomic = true),
    FIELD("workingDir", STRING, 5, OMIT),
    FIELD("ports", OBJECT, 6, LIST, OF(container_port), OMIT, MERGE("containerPort"),
          .map_keys = "containerPort,protocol"),
    FIELD("envFrom", OBJECT, 19, LIST, OF(env_from_source), OMIT, .atomic = true),
    FIELD("env", OBJECT, 7, LIST, OF(env_var), OMIT, MERGE("name"), .map_keys = "name"),
    FIELD("resources", OBJECT, 8, OF(resource_requirements), OMIT, .def = "{}"),
    FIELD("resizePolicy", OBJECT, 23, LIST, OF(container_resize_policy), OMIT, .atomic = true),
    FIELD("restartPolicy", STRING, 24, OMIT, POINTER, .go_type = "v1.ContainerRestartPolicy"),
    FIELD("volumeMounts", OBJECT, 9, LIST, OF(volume_mount), OMIT, MERGE("mountPath"),
          .map_keys = "mountPath"),
    FIELD("volumeDevices", OBJECT, 21, LIST, OF(volume_device), OMIT, MERGE("devicePath"),
          .map_keys = "devicePath"),
    FIELD("livenessProbe", OBJECT, 10, OF(probe), OMIT, POINTER),
    FIELD("readinessProbe", OBJECT, 11, OF(probe), OMIT, POINTER),
    FIELD("startupProbe", OBJECT, 22, OF(probe), OMIT, POINTER),
    FIELD("lifecycle", OBJECT, 12, OF(lifecycle), OMIT, POINTER),
    FIELD("terminationMessagePath", STRING, 13, OMIT, .def = "\"/dev/termination-log\""),
    FIELD("terminationMessagePolicy", STRING, 20, OMIT, .go_type = "v1.TerminationMessagePolicy",
          .def = "\"File\"", .values = "File|FallbackToLogsOnError"),
    FIELD("imagePullPolicy", STRING, 14, OMIT, .go_type = "v1.PullPolicy",
          .values = "Always|IfNotPresent|Never"),
    FIELD("securityContext", OBJECT, 15, OF(security_context), OMIT, POINTER),
    FIELD("stdin", BOOL, 16, OMIT),
    FIELD("stdinOnce", BOOL, 17, OMIT),
    FIELD("tty", BOOL, 18, OMIT),
};
SCHEMA(container, "Container");

static const struct schema_field ephemeral_container_common_fields[] = {
    FIELD("name", STRING, 1, REQUIRED, .format = FORMAT_DNS_LABEL),
    FIELD("image", STRING, 2, OMIT),
    FIELD("command", STRING, 3, LIST, OMIT, .atomic = true),
    FIELD("args", STRING, 4, LIST, OMIT, .atomic = true),
    FIELD("workingDir", STRING, 5, OMIT),
    FIELD("ports", OBJECT, 6, LIST, OF(container_port), OMIT, MERGE("containerPort"),
          .map_keys = "containerPort,protocol"),
    FIELD("envFrom", OBJECT, 19, LIST, OF(env_from_source), OMIT, .atomic = true),
    FIELD("env", OBJECT, 7, LIST, OF(env_var), OMIT, MERGE("name"), .map_keys = "name"),
    FIELD("resources", OBJECT, 8, OF(resource_requirements), OMIT, .def = "{}"),
    FIELD("resizePolicy", OBJECT, 23, LIST, OF(container_resize_policy), OMIT, .atomic = true),
    FIELD("restartPolicy", STRING, 24, OMIT, POINTER, .go_type = "v1.ContainerRestartPolicy"),
    FIELD("volumeMounts", OBJECT, 9, LIST, OF(volume_mount), OMIT, MERGE("mountPath"),
          .map_keys = "mountPath"),
    FIELD("volumeDevices", OBJECT, 21, LIST, OF(volume_device), OMIT, MERGE("devicePath"),
          .map_keys = "devicePath"),
    FIELD("livenessProbe", OBJECT, 10, OF(probe), OMIT, POINTER),
    FIELD("readinessProbe", OBJECT, 11, OF(probe), OMIT, POINTER),
    FIELD("startupProbe", OBJECT, 22, OF(probe), OMIT, POINTER),
    FIELD("lifecycle", OBJECT, 12, OF(lifecycle), OMIT, POINTER),
    FIELD("terminationMessagePath", STRING, 13, OMIT),
    FIELD("terminationMessagePolicy", STRING, 20, OMIT, .go_type = "v1.TerminationMessagePolicy"),
    FIELD("imagePullPolicy", STRING, 14, OMIT, .go_type = "v1.PullPolicy"),
    FIELD("securityContext", OBJECT, 15, OF(security_context), OMIT, POINTER),
    FIELD("stdin", BOOL, 16, OMIT),
    FIELD("stdinOnce", BOOL, 17, OMIT),
    FIELD("tty", BOOL, 18, OMIT),
};
SCHEMA(ephemeral_container_common, "EphemeralContainerCommon");

static const struct schema_field ephemeral_container_fields[] = {
    INLINED(1, ephemeral_container_common),
    FIELD("targetContainerName", STRING, 2, OMIT),
};
SCHEMA(ephemeral_container, "EphemeralContainer");

static const struct schema_field sysctl_fields[] = {
    FIELD("name", STRING, 1),
    FIELD("value", STRING, 2),
};
SCHEMA(sysctl, "Sysctl");

static const struct schema_field pod_security_context_fields[] = {
    FIELD("seLinuxOptions", OBJECT, 1, OF(se_linux_options), OMIT, POINTER),
    FIELD("windowsOptions", OBJECT, 8, OF(windows_security_context_options), OMIT, POINTER),
    FIELD("runAsUser", INT64, 2, OMIT, POINTER),
    FIELD("runAsGroup", INT64, 6, OMIT, POINTER),
    FIELD("runAsNonRoot", BOOL, 3, OMIT, POINTER),
    FIELD("supplementalGroups", INT64, 4, LIST, OMIT, .atomic = true),
    FIELD("supplementalGroupsPolicy", STRING, 12, OMIT, POINTER,
          .go_type = "v1.SupplementalGroupsPolicy"),
    FIELD("fsGroup", INT64, 5, OMIT, POINTER),
    FIELD("sysctls", OBJECT, 7, LIST, OF(sysctl), OMIT, .atomic = true),
    FIELD("fsGroupChangePolicy", STRING, 9, OMIT, POINTER, .go_type = "v1.PodFSGroupChangePolicy"),
    FIELD("seccompProfile", OBJECT, 10, OF(seccomp_profile), OMIT, POINTER),
    FIELD("appArmorProfile", OBJECT, 11, OF(app_armor_profile), OMIT, POINTER),
    FIELD("seLinuxChangePolicy", STRING, 13, OMIT, POINTER, .go_type = "v1.PodSELinuxChangePolicy"),
};
SCHEMA(pod_security_context, "PodSecurityContext");
