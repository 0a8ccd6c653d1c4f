/* fairlead-labd dns: the cluster's name server, an ordinary pod. */
#include <signal.h>

#include "base/program.h"
#include "lab/command.h"
#include "lab/dns/dns.h"

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

/* The informers only fill their caches: every answer is read from them. */
static void ignore_upsert(json_t *object, void *user)
{
    (void)object;
    (void)user;
}

static void ignore_delete(struct str key, json_t *object, void *user)
{
    (void)key;
    (void)object;
    (void)user;
}

static void on_synced(void *user)
{
    log_info("list is complete", kv_s("kind", user));
}

static void on_error(const char *text, void *user)
{
    log_warn("watch", kv_s("kind", user), kv_s("error", text));
}

static struct informer *watch(struct kube_client *c, const char *path, const char *what)
{
    static const struct informer_ops ops = {ignore_upsert, ignore_delete, on_synced, on_error};
    const struct informer_options o = {.path = path, .cache = true};
    return informer_start(c, &o, &ops, (void *)(uintptr_t)what);
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
    struct kube_client *client = NULL;
    struct dns_server *server = NULL;
    struct dns_zone zone = {.domain = domain};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    signal(SIGPIPE, SIG_IGN);
    if (kube_config_load(kubeconfig, NULL, &config, &err) < 0 || loop_new(&loop, &err) < 0 ||
        kube_client_new(loop, config, "fairlead-lab-dns/" FAIRLEAD_VERSION, &client, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "dns: %s", err_text(&err));
    zone.services = watch(client, "/api/v1/services", "services");
    zone.slices = watch(client, "/apis/discovery.k8s.io/v1/endpointslices", "endpointslices");
    struct dns_server_options o = {&zone, (uint16_t)port, (uint16_t)ready, (uint16_t)health};
    if (dns_server_new(loop, &o, &server, &err) < 0) {
        code = program_fail(EXIT_FAILED, NULL, "dns: %s", err_text(&err));
    } else {
        loop_signal_add(loop, SIGTERM, on_stop, loop);
        loop_signal_add(loop, SIGINT, on_stop, loop);
        code = loop_run(loop);
    }
    dns_server_free(server);
    informer_free(zone.services);
    informer_free(zone.slices);
    kube_client_free(client);
    loop_turn(loop, 0);
    return code;
}
