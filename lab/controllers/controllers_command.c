/* fairlead-labd controllers: the controllers as one process, an ordinary client of the API. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/program.h"
#include "lab/command.h"
#include "lab/controllers/controller.h"

static const struct controller_kind *const controller_table[] = {
    &replicaset_controller,
    &replication_controller,
    &deployment_controller,
    &daemonset_controller,
    &job_controller,
    &endpointslice_controller,
    &endpoints_controller,
    &mirroring_controller,
    &garbage_controller,
    &namespace_controller,
    &serviceaccount_controller,
    &scheduler_controller,
    &node_controller,
    &loadbalancer_controller,
};

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

int controllers_command(int argc, char **argv)
{
    const char *kubeconfig = NULL, *pool_v4 = NULL, *pool_v6 = NULL;
    uint64_t grace_ms = 0;
    struct arg args[] = {
        {"kubeconfig", 0, ARG_STRING, &kubeconfig, "FILE", "how to reach the API server", 0, 0,
         false},
        {"load-balancer-pool", 0, ARG_STRING, &pool_v4, "A-B",
         "IPv4 addresses for Services of type LoadBalancer", 0, 0, false},
        {"load-balancer-pool-v6", 0, ARG_STRING, &pool_v6, "A-B", "IPv6 addresses for them", 0, 0,
         false},
        {"node-monitor-grace-period", 0, ARG_DURATION, &grace_ms, "D",
         "a node silent for longer is NotReady (default 40s)", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead-labd controllers",
                              "Deployment, EndpointSlice, namespace, node and other controllers",
                              "[flags]",
                              NULL,
                              args,
                              false};
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    struct kube_client *client = NULL;
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (kube_config_load(kubeconfig, NULL, &config, &err) < 0 || loop_new(&loop, &err) < 0 ||
        kube_client_new(loop, config, "fairlead-lab-controllers/" FAIRLEAD_VERSION, &client, &err) <
            0)
        return program_fail(EXIT_FAILED, NULL, "controllers: %s", err_text(&err));
    struct controllers_options o = {.root_ca_pem = str_from(config->ca_pem),
                                    .lb_pool_v4 = pool_v4,
                                    .lb_pool_v6 = pool_v6,
                                    .node_grace_ms = grace_ms};
    struct controllers *cs =
        controllers_start(client, &o, controller_table, ARRAY_LEN(controller_table));
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    code = loop_run(loop);
    controllers_free(cs);
    kube_client_free(client);
    loop_turn(loop, 0);
    return code;
}
