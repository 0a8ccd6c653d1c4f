#pragma once
/* Which pods stand behind a Service, and with which ports: shared by the EndpointSlice and the
 * Endpoints controller. */

#include "lab/controllers/controller.h"

/* Inside on_change: puts the keys of all Services whose selector matches the pod, or did before. */
void endpoint_services_of_pod(struct controller *c, const json_t *pod);

/* The pods that may be endpoints of a Service. first_label: index_selector of its selector. */
bool endpoint_next_pod(struct controllers *cs, const json_t *service, const char *first_label,
                       size_t *at, json_t **ret);

/* The ports of a Service as one pod offers them: [{name, protocol, port, appProtocol?}], named
 * target ports resolved by the pod's containers; a port that the pod does not have is left out. New
 * reference. */
json_t *endpoint_ports(const json_t *service, const json_t *pod);

/* An IP of the pod in the family ("IPv4"/"IPv6"), or NULL; borrowed. */
const char *endpoint_pod_ip(const json_t *pod, const char *family);

#define HEADLESS_LABEL "service.kubernetes.io/headless"
/* Sets or removes the label of what stands for a headless Service. */
void endpoint_label_headless(json_t *labels, const json_t *service);

/* A list as Kubernetes writes it: an empty one is null. Takes the reference. */
json_t *endpoint_list(json_t *list);
/* Equal; null, absent and empty are the same. */
bool endpoint_lists_equal(const json_t *a, const json_t *b);

/* Has a selector, and is not an ExternalName. */
bool endpoint_service_is_selected(const json_t *service);

/* May the pod be an endpoint at all: has an IP, is not over. */
bool endpoint_pod_is_candidate(const json_t *pod);
