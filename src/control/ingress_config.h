#pragma once
/* The ConfigMaps that flags name: settings, the fields that those name, services by port. Each is
 * watched alone; what is wrong is told by an Event on it. */

#include "kube/client.h"
#include "kube/event_recorder.h"
#include "model/ingress_settings.h"
#include "model/stream_services.h"

struct ingress_config;

/* namespace/name; NULL: none. */
struct ingress_config_options {
    const char *settings, *tcp_services, *udp_services;
    const uint16_t *taken_ports; /* of the gateways */
    size_t n_taken_ports;
};

struct ingress_config_ops {
    /* Of the next three something has changed; what was given before may be let go only after this.
     */
    void (*on_change)(void *user);
};

/* Options, events and ops are borrowed. */
struct ingress_config *ingress_config_new(struct kube_client *c, struct event_recorder *events,
                                          const struct ingress_config_options *o,
                                          const struct ingress_config_ops *ops, void *user);
void ingress_config_free(struct ingress_config *c); /* NULL is allowed */
/* Of all it is known what they say, or that they are not there. */
bool ingress_config_synced(const struct ingress_config *c);
/* Borrowed until the next on_change() has returned. NULL: none. */
const struct ingress_settings *ingress_config_settings(const struct ingress_config *c);
/* Fields of all answers, and of all requests to endpoints; an empty value takes the field out.
 * Values have operators of access logs. */
const struct route_fields *ingress_config_answer_fields(const struct ingress_config *c);
const struct route_fields *ingress_config_request_fields(const struct ingress_config *c);
const struct stream_services *ingress_config_tcp_services(const struct ingress_config *c);
/* Once of each service by port whose Service, or whose port of it, is not there. */
void ingress_config_tell_missing(struct ingress_config *c, const struct service_join *join);
