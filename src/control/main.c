/* fairlead-control: the control plane. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "base/program.h"
#include "base/sandbox.h"
#include "control/agent_key.h"
#include "control/authority.h"
#include "control/balancer_addresses.h"
#include "control/certificate_service.h"
#include "control/control.h"
#include "control/debug_server.h"
#include "control/ingress_status.h"
#include "control/injector.h"
#include "control/telemetry.h"
#include "kube/config.h"
#include "kube/leader.h"
#include "net/tls.h"

enum { NAMES_MAX = 16 }; /* of a flag */
#define LIFETIME_MIN_MS ((uint64_t)10 * 1000)
#define LIFETIME_MAX_MS ((uint64_t)90 * 24 * 3600 * 1000)

struct settings {
    const char *kubeconfig, *context, *xds, *debug, *publish, *namespace_;
    const char *mesh_config;
    const char *controllers_text, *class_name, *configmap, *tcp_services, *udp_services;
    const char *default_backend;
    const char *secure, *service, *accounts_text, *labels_text, *outbound;
    const char *injection, *trust_domain, *cluster_id;
    struct balancer_addresses_options balancer; /* namespace_ NULL: nobody is given addresses */
    uint64_t lifetime_ms;
    struct inject_options inject;
    char *controllers[NAMES_MAX + 1], *accounts[NAMES_MAX + 1];
    bool without_class, loopback_keys, plain_secrets, no_seccomp;
    int64_t http_port, https_port;
};

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

/* "IP:PORT", "[IP]:PORT"; false: told the user. */
static bool take_address(const char *flag, const char *text, struct ip *ret_ip, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    struct str ip = str_of(text, colon ? (size_t)(colon - text) : 0);
    uint64_t port;
    if (ip.n > 2 && *ip.p == '[')
        ip = str_sub(ip, 1, ip.n - 1);
    if (!colon || ip_parse(ip, ret_ip) < 0 || str_to_u64(str_from(colon + 1), &port) < 0 ||
        port > 65535) {
        program_fail(EXIT_USAGE_ERROR, "give IP:PORT, such as 127.0.0.1:15010",
                     "--%s: \"%s\" is no address", flag, text);
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

static bool take_names(const char *flag, const char *text, char *ret[NAMES_MAX + 1])
{
    struct str rest = str_from(text);
    size_t n = 0;
    while (rest.p && n < NAMES_MAX) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (one.n)
            ret[n++] = str_dup(one);
    }
    if (n && !rest.p)
        return true;
    program_fail(EXIT_USAGE_ERROR, "give names with commas between them",
                 "--%s: between 1 and %d names", flag, NAMES_MAX);
    return false;
}

/* "a=b,c=d"; NULL: told the user. */
static json_t *take_labels(const char *text)
{
    AUTO_JSON json_t *labels = json_object();
    struct str rest = str_from(text);
    while (rest.p && rest.n) {
        struct str value, key = str_cut(str_trim(str_cut(rest, ',', &rest)), '=', &value);
        AUTO_CHARS char *name = str_dup(key);
        if (!key.n || !value.p) {
            program_fail(EXIT_USAGE_ERROR, "give NAME=VALUE, with commas between them",
                         "--gateway-labels: \"%s\" is no label", name);
            return NULL;
        }
        json_object_set_new(labels, name, json_pack("s%", value.p, value.n));
    }
    return json_incref(labels);
}

struct parts {
    struct loop *loop;
    struct kube_client *client;
    struct control *control;
    struct xds_service *xds;
    struct debug_server *debug;
    struct ingress_status *status; /* NULL: nobody's is written */
    struct balancer_addresses *balancer;
    struct agent_key *agent_key;
    struct leader *leader; /* NULL: there is nothing to be written */
    struct authority *authority;
    struct injector *injector;
    struct certificate_service *certificates;
    struct telemetry *telemetry;
    struct ip secure_ip;
    uint16_t secure_port;
};

static void on_issue(const struct authority_issue *i, void *user)
{
    struct parts *p = user;
    struct err err = {0};
    bool first = !xds_service_tls_port(p->xds);
    if (xds_service_serve_tls(p->xds, &p->secure_ip, p->secure_port, i->streams, &err) < 0)
        log_error("streams over TLS cannot be served", kv_s("error", err_text(&err)));
    else if (first)
        log_info("streams over TLS are served", kv_i("port", xds_service_tls_port(p->xds)));
    if (p->injector)
        injector_set_trust(p->injector, i->web, i->ca.roots);
    if (certificate_service_set_ca(p->certificates, &i->ca, &err) < 0)
        log_error("the CA cannot sign for the mesh", kv_s("error", err_text(&err)));
}

static bool on_other_call(struct grpc_server_call *call, void *user)
{
    struct parts *p = user;
    return certificate_service_take(p->certificates, call) || telemetry_take(p->telemetry, call);
}

static void on_leads(bool leads, void *user)
{
    struct parts *p = user;
    log_info(leads ? "leading: status is written here" : "not leading any more");
    if (p->status)
        ingress_status_set_leads(p->status, leads);
    if (p->balancer) {
        balancer_addresses_set_leads(p->balancer, leads);
        agent_key_set_leads(p->agent_key, leads);
    }
    control_set_leads(p->control, leads);
}

static int start(struct settings *s, const struct kube_config *config,
                 const struct control_options *o, struct parts *p, struct err *reterr)
{
    static const struct xds_service_ops ops = {.on_node = control_on_node,
                                               .on_end = control_on_end,
                                               .on_health = control_on_health,
                                               .on_account = control_on_account,
                                               .may_have = control_may_have};
    struct xds_service_options xo;
    struct ip xds_ip, debug_ip, injection_ip;
    uint16_t xds_port, debug_port, injection_port;
    if (!take_address("xds-bind-address", s->xds, &xds_ip, &xds_port) ||
        !take_address("debug-bind-address", s->debug, &debug_ip, &debug_port) ||
        (s->secure &&
         !take_address("secure-xds-bind-address", s->secure, &p->secure_ip, &p->secure_port)) ||
        (s->injection &&
         !take_address("injection-bind-address", s->injection, &injection_ip, &injection_port)))
        return -EINVAL;
    int r =
        kube_client_new(p->loop, config, "fairlead-control/" FAIRLEAD_VERSION, &p->client, reterr);
    r = r < 0 ? r : control_new(p->client, o, &p->control, reterr);
    if (r < 0)
        return r;
    p->certificates = certificate_service_new(
        p->client,
        &(struct certificate_service_options){.trust_domain = s->trust_domain,
                                              .lifetime_s = (uint32_t)(s->lifetime_ms / 1000)});
    xo = (struct xds_service_options){p->client, s->plain_secrets, on_other_call, p};
    p->telemetry = telemetry_new(p->client, p->control);
    r = r < 0 ? r
              : xds_service_new(p->loop, &xds_ip, xds_port, &xo, &ops, p->control, &p->xds, reterr);
    r = r < 0 ? r
              : debug_server_new(p->client, &debug_ip, debug_port, p->control, p->xds,
                                 p->certificates, &p->debug, reterr);
    if (r < 0)
        return r;
    debug_server_set_telemetry(p->debug, p->telemetry);
    control_set_service(p->control, p->xds);
    const char *ns = s->namespace_ ? s->namespace_ : config->namespace_;
    if (s->injection)
        p->injector = injector_new(p->client, &injection_ip, injection_port, &s->inject);
    if (p->injector)
        injector_set_settings(p->injector, control_want_settings(p->control));
    debug_server_set_injector(p->debug, s->secure ? p->injector : NULL);
    if (s->secure)
        p->authority = authority_new(
            p->client, &(struct authority_options){.namespace_ = ns, .service = s->service},
            on_issue, p);
    if (s->publish)
        p->status = ingress_status_new(p->client, p->control, s->publish);
    s->balancer.host = o->host;
    if (s->balancer.namespace_) {
        p->balancer = balancer_addresses_new(p->client, &s->balancer);
        p->agent_key = agent_key_new(p->client, ns);
    }
    debug_server_set_balancer(p->debug, p->balancer);
    if (s->publish || o->allocates || p->balancer)
        p->leader = leader_new(p->client, ns, "fairlead-control-leader",
                               o->host ? o->host : "fairlead-control", on_leads, p);
    return 0;
}

static int run(struct settings *s, json_t *labels)
{
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    struct parts p = {0};
    char host[256] = "";
    const uint16_t ports[] = {(uint16_t)s->http_port, (uint16_t)s->https_port};
    struct control_options o = {.trust_domain = s->trust_domain,
                                .cluster_id = s->cluster_id,
                                .joins_clusters = s->injection != NULL,
                                .gateway_labels = labels,
                                .allocates = s->injection != NULL,
                                .mesh_config = s->mesh_config,
                                .loopback_keys = s->loopback_keys,
                                .registry_only = streq(s->outbound, "REGISTRY_ONLY"),
                                .gateway_accounts = (const char *const *)s->accounts,
                                .config = {.settings = s->configmap,
                                           .tcp_services = s->tcp_services,
                                           .udp_services = s->udp_services,
                                           .taken_ports = ports,
                                           .n_taken_ports = ARRAY_LEN(ports)},
                                .ingress = {.controllers = (const char *const *)s->controllers,
                                            .class_name = s->class_name,
                                            .without_class = s->without_class,
                                            .default_backend = s->default_backend},
                                .gateway = {.address = "0.0.0.0",
                                            .http_port = (uint16_t)s->http_port,
                                            .https_port = (uint16_t)s->https_port},
                                .host = gethostname(host, sizeof(host) - 1) == 0 ? host : NULL};
    if (kube_config_load(s->kubeconfig, s->context, &config, &err) < 0 || loop_new(&loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    p.loop = loop;
    o.root_namespace = s->namespace_ ? s->namespace_ : config->namespace_;
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    int code = EXIT_FAILED;
    if (start(s, config, &o, &p, &err) < 0) {
        if (err.code)
            program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    } else {
        log_info("watching", kv_s("server", config->server), kv_s("xds", s->xds));
        tls_load_config();
        sandbox_start(s->no_seccomp, 0);
        code = loop_run(loop);
    }
    debug_server_free(p.debug);
    leader_free(p.leader);
    ingress_status_free(p.status);
    balancer_addresses_free(p.balancer);
    agent_key_free(p.agent_key);
    authority_free(p.authority);
    injector_free(p.injector);
    xds_service_free(p.xds);
    certificate_service_free(p.certificates);
    telemetry_free(p.telemetry);
    control_free(p.control);
    kube_client_free(p.client);
    loop_turn(loop, 0);
    return code;
}

/* NAMESPACE/NAME; false: told. */
static bool names_are_whole(const struct settings *s)
{
    const struct {
        const char *flag, *value;
    } names[] = {{"publish-service", s->publish},
                 {"mesh-config", s->mesh_config},
                 {"configmap", s->configmap},
                 {"tcp-services-configmap", s->tcp_services},
                 {"udp-services-configmap", s->udp_services},
                 {"default-backend-service", s->default_backend}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *slash = names[i].value ? strchr(names[i].value, '/') : NULL;
        if (!names[i].value || (slash && slash != names[i].value && slash[1]))
            continue;
        program_fail(EXIT_USAGE_ERROR, "give NAMESPACE/NAME", "--%s: \"%s\" has no namespace",
                     names[i].flag, names[i].value);
        return false;
    }
    return true;
}

static int check_and_run(struct settings *s)
{
    if (!names_are_whole(s))
        return EXIT_USAGE_ERROR;
    if (s->lifetime_ms < LIFETIME_MIN_MS || s->lifetime_ms > LIFETIME_MAX_MS || !*s->trust_domain)
        return program_fail(EXIT_USAGE_ERROR, "give --certificate-lifetime=24h",
                            "--certificate-lifetime is between 10s and 90 days, and --trust-domain "
                            "has a name");
    if (!*s->cluster_id)
        return program_fail(EXIT_USAGE_ERROR, "give --cluster-id=NAME", "--cluster-id has a name");
    s->inject.cluster_id = s->cluster_id;
    if (!streq(s->outbound, "ALLOW_ANY") && !streq(s->outbound, "REGISTRY_ONLY"))
        return program_fail(EXIT_USAGE_ERROR, "give ALLOW_ANY or REGISTRY_ONLY",
                            "--outbound-traffic-policy: \"%s\" is no policy", s->outbound);
    AUTO_JSON json_t *labels = take_labels(s->labels_text);
    if (!labels || !take_names("ingress-controllers", s->controllers_text, s->controllers) ||
        !take_names("gateway-service-accounts", s->accounts_text, s->accounts))
        return EXIT_USAGE_ERROR;
    int code = run(s, labels);
    for (size_t i = 0; i < NAMES_MAX; i++) {
        free(s->controllers[i]);
        free(s->accounts[i]);
    }
    return code;
}

static struct settings given = {.xds = "127.0.0.1:15010",
                                .debug = "127.0.0.1:15014",
                                .controllers_text = "fairlead.dev/ingress",
                                .class_name = "fairlead",
                                .service = "fairlead-control",
                                .accounts_text = "fairlead-system/fairlead-gateway",
                                .labels_text = "app=fairlead-gateway,istio=ingressgateway",
                                .trust_domain = "cluster.local",
                                .cluster_id = "Kubernetes",
                                .outbound = "ALLOW_ANY",
                                .lifetime_ms = 24 * 3600 * 1000,
                                .http_port = 8080,
                                .https_port = 8443,
                                .mesh_config = "istio-system/istio",
                                .inject = {.image = "fairlead/proxy", .revision = "fairlead"}};

static struct arg flags[] = {
    {"kubeconfig", 0, ARG_STRING, &given.kubeconfig, "FILE", "how to reach the API server", 0, 0,
     false},
    {"context", 0, ARG_STRING, &given.context, "NAME", "which context of it", 0, 0, false},
    {"xds-bind-address", 0, ARG_STRING, &given.xds, "IP:PORT",
     "xDS for proxies, without TLS (default 127.0.0.1:15010)", 0, 0, false},
    {"secure-xds-bind-address", 0, ARG_STRING, &given.secure, "IP:PORT",
     "xDS over TLS, such as 0.0.0.0:15012, for who has a token meant for fairlead-control "
     "(default: not served)",
     0, 0, false},
    {"xds-service-name", 0, ARG_STRING, &given.service, "NAME",
     "the Service of our own namespace that proxies ask for: the certificate names it (default "
     "fairlead-control)",
     0, 0, false},
    {"gateway-service-accounts", 0, ARG_STRING, &given.accounts_text, "NAMESPACE/NAME,…",
     "who is served over TLS (default fairlead-system/fairlead-gateway)", 0, 0, false},
    {"gateway-labels", 0, ARG_STRING, &given.labels_text, "NAME=VALUE,…",
     "of gateways' pods, by which Gateways select them (default "
     "app=fairlead-gateway,istio=ingressgateway)",
     0, 0, false},
    {"mesh-config", 0, ARG_STRING, &given.mesh_config, "NAMESPACE/NAME",
     "the ConfigMap with Istio's mesh config (default istio-system/istio)", 0, 0, false},
    {"cluster-id", 0, ARG_STRING, &given.cluster_id, "NAME",
     "what our cluster is called in a mesh of several (default Kubernetes)", 0, 0, false},
    {"outbound-traffic-policy", 0, ARG_STRING, &given.outbound, "POLICY",
     "what pods of the mesh may call that is no Service: ALLOW_ANY or REGISTRY_ONLY, nothing: "
     "502 (default ALLOW_ANY)",
     0, 0, false},
    {"jwks-from-loopback", 0, ARG_BOOL, &given.loopback_keys, NULL,
     "jwksUri may lead to loopback (lab)", 0, 0, false},
    {"trust-domain", 0, ARG_STRING, &given.trust_domain, "NAME",
     "what identities begin with: spiffe://NAME/ns/NAMESPACE/sa/ACCOUNT (default "
     "cluster.local)",
     0, 0, false},
    {"certificate-lifetime", 0, ARG_DURATION, &given.lifetime_ms, "DURATION",
     "of certificates of the mesh, 10s to 90 days; they are renewed at half of it (default "
     "24h)",
     0, 0, false},
    {"injection-bind-address", 0, ARG_STRING, &given.injection, "IP:PORT",
     "the webhook that puts proxies beside pods, such as 0.0.0.0:15017; needs "
     "--secure-xds-bind-address (default: not served)",
     0, 0, false},
    {"proxy-image", 0, ARG_STRING, &given.inject.image, "IMAGE",
     "of the proxies it puts in (default fairlead/proxy)", 0, 0, false},
    {"cni", 0, ARG_BOOL, &given.inject.cni, NULL,
     "fairlead-cni on every node leads pods' traffic to their proxies: pods need no NET_ADMIN for "
     "it (default no)",
     0, 0, false},
    {"dns-capture", 0, ARG_BOOL, &given.inject.dns_capture, NULL,
     "what pods ask of DNS goes to their proxies (default no; the annotation "
     "proxy.istio.io/config of a pod says otherwise)",
     0, 0, false},
    {"revision", 0, ARG_STRING, &given.inject.revision, "NAME",
     "ours, as istio.io/rev says it (default fairlead)", 0, 0, false},
    {"plain-secrets", 0, ARG_BOOL, &given.plain_secrets, NULL,
     "send private keys to plain streams, too, whoever asks: for tries on one machine", 0, 0,
     false},
    {"debug-bind-address", 0, ARG_STRING, &given.debug, "IP:PORT",
     "/ready, /metrics, /debug (default 127.0.0.1:15014)", 0, 0, false},
    {"ingress-controllers", 0, ARG_STRING, &given.controllers_text, "NAME,…",
     "spec.controller of the IngressClasses that are ours (default fairlead.dev/ingress)", 0, 0,
     false},
    {"ingress-class", 0, ARG_STRING, &given.class_name, "NAME",
     "what kubernetes.io/ingress.class may say without an IngressClass (default fairlead)", 0, 0,
     false},
    {"configmap", 0, ARG_STRING, &given.configmap, "NAMESPACE/NAME",
     "the ConfigMap of ingress-nginx: defaults of annotations, and what holds for all", 0, 0,
     false},
    {"tcp-services-configmap", 0, ARG_STRING, &given.tcp_services, "NAMESPACE/NAME",
     "ports that go to Services: \"9000\": \"namespace/service:port\"", 0, 0, false},
    {"udp-services-configmap", 0, ARG_STRING, &given.udp_services, "NAMESPACE/NAME",
     "the same of UDP, of which Events tell that it is not served", 0, 0, false},
    {"default-backend-service", 0, ARG_STRING, &given.default_backend, "NAMESPACE/NAME",
     "the Service, by its first port, that gets what no Ingress is for (default: 404)", 0, 0,
     false},
    {"publish-service", 0, ARG_STRING, &given.publish, "NAMESPACE/NAME",
     "the Service before the gateways, whose addresses become those of Ingresses", 0, 0, false},
    {"address-pool-namespace", 0, ARG_STRING, &given.balancer.namespace_, "NAME",
     "where IPAddressPools are, of which Services of type LoadBalancer get their addresses "
     "(default: nobody is given any)",
     0, 0, false},
    {"load-balancer-class", 0, ARG_STRING, &given.balancer.class_, "NAME",
     "of the Services that are given addresses (default: those without loadBalancerClass)", 0, 0,
     false},
    {"leader-namespace", 0, ARG_STRING, &given.namespace_, "NAME",
     "where the Lease of the leader and our own Secret are (default: our own namespace)", 0, 0,
     false},
    {"watch-ingress-without-class", 0, ARG_BOOL, &given.without_class, NULL,
     "Ingresses of no class are ours too", 0, 0, false},
    {"gateway-http-port", 0, ARG_INT, &given.http_port, "PORT",
     "where gateways listen for HTTP (default 8080)", 1, 65535, false},
    {"gateway-https-port", 0, ARG_INT, &given.https_port, "PORT",
     "where gateways listen for HTTPS (default 8443)", 1, 65535, false},
    {"no-seccomp", 0, ARG_BOOL, &given.no_seccomp, NULL,
     "do not have the kernel refuse what this program never asks for", 0, 0, false},
    {.name = NULL},
};

int main(int argc, char **argv)
{
    const struct program p = {"fairlead-control",
                              "makes of Services and Ingresses what proxies are given",
                              "[flags]",
                              NULL,
                              flags,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    return code >= 0 ? code : check_and_run(&given);
}
