/* fairlead-labd dns: the cluster's name server, an ordinary pod. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>

#include "base/program.h"
#include "base/time.h"
#include "lab/command.h"
#include "lab/dns/dns.h"

enum { OWN_MAX = 16 };

struct dns {
    struct kube_client *client;
    struct service_join *join;
    struct map namespaces;
    struct informer *services, *slices, *namespaces_informer;
    struct dns_server *server;
    struct ip own[OWN_MAX];
    struct dns_zone zone;
};

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

/* ---- the join ---- */

/* Answers are read from the entries themselves, so that a dirty one needs no work. */
static void settle(struct dns *d)
{
    struct joined_service *s;
    while ((s = service_join_take_dirty(d->join)))
        service_join_settle(d->join, s);
    d->zone.serial = (uint32_t)(time_real_us() / 1000000);
}

static void on_service(json_t *object, void *user)
{
    struct dns *d = user;
    struct service_object *s = service_object_decode(object);
    if (s)
        service_join_add_service(d->join, &s);
    settle(d);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct dns *d = user;
    (void)object;
    service_join_remove_service(d->join, key);
    settle(d);
}

static void on_slice(json_t *object, void *user)
{
    struct dns *d = user;
    const struct slice_decoding o = {.topologies = &d->join->topologies, .all = true};
    struct slice_object *s = slice_object_decode(object, &o);
    char key[512];
    if (s)
        service_join_add_slice(d->join, &s);
    else
        service_join_remove_slice(d->join, str_from(object_key(object, key)));
    settle(d);
}

static void on_slice_gone(struct str key, json_t *object, void *user)
{
    struct dns *d = user;
    (void)object;
    service_join_remove_slice(d->join, key);
    settle(d);
}

static void on_namespace(json_t *object, void *user)
{
    struct dns *d = user;
    const char *name = json_at_str(object, "metadata.name");
    if (name)
        map_put_cstr(&d->namespaces, name, d);
}

static void on_namespace_gone(struct str key, json_t *object, void *user)
{
    struct dns *d = user;
    (void)object;
    map_remove(&d->namespaces, key);
}

/* ---- life ---- */

/* What the server is reached at from elsewhere. */
static size_t own_addresses(struct ip ret[OWN_MAX])
{
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) < 0)
        return 0;
    for (const struct ifaddrs *i = all; i && n < OWN_MAX; i = i->ifa_next) {
        struct ip ip = {0};
        if (!i->ifa_addr || i->ifa_flags & IFF_LOOPBACK)
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            memcpy(ip.bytes, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
        else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
                   16);
        else
            continue;
        ip.family = (uint8_t)i->ifa_addr->sa_family;
        if (ip.family == AF_INET || ip.bytes[0] != 0xfe) /* not link-local */
            ret[n++] = ip;
    }
    freeifaddrs(all);
    return n;
}

static void on_synced(void *user)
{
    const struct dns *d = user;
    log_info("list is complete", kv_i("services", (int64_t)d->join->n_services),
             kv_i("endpointslices", (int64_t)d->join->slices.used),
             kv_i("namespaces", (int64_t)d->namespaces.used));
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("watch", kv_s("error", text));
}

static bool is_ready(void *user)
{
    const struct dns *d = user;
    return informer_synced(d->services) && informer_synced(d->slices) &&
           informer_synced(d->namespaces_informer);
}

static int dns_start(struct dns *d, struct loop *l, const struct kube_config *config,
                     struct dns_server_options *o, struct err *reterr)
{
    static const struct informer_ops service_ops = {on_service, on_service_gone, on_synced,
                                                    on_error};
    static const struct informer_ops slice_ops = {on_slice, on_slice_gone, on_synced, on_error};
    static const struct informer_ops namespace_ops = {on_namespace, on_namespace_gone, on_synced,
                                                      on_error};
    const struct informer_options services = {.path = "/api/v1/services", .lean = true},
                                  slices = {.path = "/apis/discovery.k8s.io/v1/endpointslices",
                                            .lean = true},
                                  namespaces = {.path = "/api/v1/namespaces"};
    int r = kube_client_new(l, config, "fairlead-lab-dns/" FAIRLEAD_VERSION, &d->client, reterr);
    if (r < 0)
        return r;
    d->services = informer_start(d->client, &services, &service_ops, d);
    d->slices = informer_start(d->client, &slices, &slice_ops, d);
    d->namespaces_informer = informer_start(d->client, &namespaces, &namespace_ops, d);
    return dns_server_new(l, o, &d->server, reterr);
}

static void dns_stop(struct dns *d)
{
    dns_server_free(d->server);
    informer_free(d->services);
    informer_free(d->slices);
    informer_free(d->namespaces_informer);
    map_done(&d->namespaces);
    kube_client_free(d->client);
    service_join_free(d->join);
}

int dns_command(int argc, char **argv)
{
    const char *kubeconfig = NULL, *domain = "cluster.local";
    int64_t port = 53, ready = 8181, health = 8080;
    struct arg args[] = {
        {"kubeconfig", 0, ARG_STRING, &kubeconfig, "FILE",
         "how to reach the API server (default: the pod's service account)", 0, 0, false},
        {"cluster-domain", 0, ARG_STRING, &domain, "DOMAIN", "default cluster.local", 0, 0, false},
        {"port", 0, ARG_INT, &port, "N", "UDP and TCP (default 53)", 1, 65535, false},
        {"ready-port", 0, ARG_INT, &ready, "N", "/ready (default 8181)", 1, 65535, false},
        {"health-port", 0, ARG_INT, &health, "N", "/health (default 8080)", 1, 65535, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead-labd dns",
                              "cluster DNS from Services and EndpointSlices",
                              "[flags]",
                              NULL,
                              args,
                              false};
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    signal(SIGPIPE, SIG_IGN);
    struct dns d = {.join = service_join_new()};
    d.zone = (struct dns_zone){.domain = domain,
                               .join = d.join,
                               .namespaces = &d.namespaces,
                               .own = d.own,
                               .n_own = own_addresses(d.own)};
    struct dns_server_options o = {&d.zone,        is_ready,        &d,
                                   (uint16_t)port, (uint16_t)ready, (uint16_t)health};
    if (kube_config_load(kubeconfig, NULL, &config, &err) < 0 || loop_new(&loop, &err) < 0 ||
        dns_start(&d, loop, config, &o, &err) < 0) {
        code = program_fail(EXIT_FAILED, NULL, "dns: %s", err_text(&err));
    } else {
        loop_signal_add(loop, SIGTERM, on_stop, loop);
        loop_signal_add(loop, SIGINT, on_stop, loop);
        code = loop_run(loop);
    }
    dns_stop(&d);
    if (loop)
        loop_turn(loop, 0);
    return code;
}
