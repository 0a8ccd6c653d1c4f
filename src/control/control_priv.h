#pragma once
/* The control plane from within: control.c, and control_nodes.c, which tells proxies apart. */

#include "control/authentication_watch.h"
#include "control/auto_registration.h"
#include "control/cluster_watch.h"
#include "control/control.h"
#include "control/credential_watch.h"
#include "control/istio_watch.h"
#include "control/key_sets.h"
#include "control/mesh.h"
#include "control/mesh_config_watch.h"
#include "control/named_objects.h"
#include "control/network_watch.h"
#include "control/pod_watch.h"
#include "control/proxyless.h"
#include "control/secret_rights.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "model/route_hosts.h"

struct control {
    struct loop_call work;
    struct kube_client *client;
    const struct control_options *options;
    struct informer *services, *slices, *ingresses, *classes, *secrets;
    struct service_join *join;
    struct ingress_routes *routes;
    struct gateway *gateway;
    struct named_objects *named;
    struct credential_watch *credentials;
    struct proxyless *proxyless;
    struct pod_watch *pods;
    struct clusters *clusters;
    struct remote_cluster_options remote;
    struct cluster_watch *others;  /* of the mesh */
    struct network_watch *network; /* our own */
    json_t *service_settings;      /* of the mesh config, as they were last */
    struct authentication_watch *authentications;
    struct mesh *mesh;
    struct istio_watch *istio;
    struct mesh_config_watch *mesh_config;
    struct selected_objects *authorizations, *tokens, *sidecars, *telemetries;
    struct key_sets *keys;
    struct service_entries *entries;
    struct entry_status *addresses; /* of their hosts */
    struct proxy_settings_table *settings;
    struct object_status *status; /* of objects of Istio's */
    struct gateway_routes_options gateway_options;
    struct gateway_routes *gateways;
    struct route_hosts doors;
    struct xds_service *service; /* NULL: not serving yet */
    struct event_recorder *events;
    struct ingress_config *config;
    control_observer *observer;
    void *observer_user;
    struct secret_rights *rights;
    struct auto_registration *registration;
    struct map
        ingress_secrets; /* namespace/name of certificates that Ingresses name -> how often */
    struct map hosts;    /* name -> struct route_host: what the gateway has, borrowed */
    struct map bad_certificates; /* key of a Secret -> struct findings */
    bool streams_changed, telemetry_changed;
    uint64_t pending_since_us;
    struct control_stats stats;
};

/* Of services, slices, Ingresses, classes and Secrets all that there are are known. */
bool control_is_synced(const struct control *c);
