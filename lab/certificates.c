/* Certificates and kubeconfigs of a lab. ECDSA P-256 throughout; the CA lives 10 years and stays
 * with the lab. Leaves live one year and are made anew at every start: a lab may come back on other
 * addresses, or after a year. Files are 0600 in a 0700 directory. Nothing here is ever logged. */
#include "lab/certificates.h"

#include <errno.h>

#include "base/rand.h"
#include "base/vec.h"
#include "codec/base64.h"
#include "codec/yaml.h"
#include "net/tls.h"

enum {
    CA_DAYS = 3650,
    LEAF_DAYS = 365,
};

struct pair {
    struct buf cert;
    struct buf key;
};

static void pair_done(struct pair *p)
{
    buf_done(&p->cert);
    if (p->key.p)
        explicit_bzero(p->key.p, p->key.n);
    buf_done(&p->key);
}

static int pair_read(const struct state_dir *d, const char *name, struct pair *ret)
{
    AUTO_CHARS char *cert = xasprintf("pki/%s.crt", name);
    AUTO_CHARS char *key = xasprintf("pki/%s.key", name);
    int r = state_dir_read(d, cert, &ret->cert, NULL);
    return r < 0 ? r : state_dir_read(d, key, &ret->key, NULL);
}

static int pair_write(const struct state_dir *d, const char *name, const struct pair *p,
                      struct err *reterr)
{
    AUTO_CHARS char *cert = xasprintf("pki/%s.crt", name);
    AUTO_CHARS char *key = xasprintf("pki/%s.key", name);
    int r = state_dir_write(d, key, buf_str(&p->key), reterr);
    return r < 0 ? r : state_dir_write(d, cert, buf_str(&p->cert), reterr);
}

/* ca NULL: self-signed, and kept once it is there. */
static int pair_get(const struct state_dir *d, const char *name,
                    const struct tls_cert_request *request, const struct pair *ca, struct pair *ret,
                    struct err *reterr)
{
    if (!ca && pair_read(d, name, ret) == 0)
        return 0;
    pair_done(ret);
    int r = tls_cert_issue(request, ca ? buf_str(&ca->cert) : (struct str){0},
                           ca ? buf_str(&ca->key) : (struct str){0}, &ret->cert, &ret->key, reterr);
    return r < 0 ? r : pair_write(d, name, ret, reterr);
}

static json_t *data_of(const struct buf *b)
{
    AUTO_DONE(buf) struct buf text = {0};
    base64_encode(buf_str(b), &text);
    return json_stringn(text.p, text.n);
}

static int write_kubeconfig(const struct state_dir *d, const char *file,
                            const struct certificates_options *o, const struct pair *ca,
                            const struct pair *client, struct err *reterr)
{
    AUTO_CHARS char *context = xasprintf("fairlead-%s", o->lab);
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *c =
        json_pack("{s:s,s:s,s:[{s:s,s:{s:s,s:o}}],s:[{s:s,s:{s:o,s:o}}],s:[{s:s,s:{s:s,s:s}}],s:s}",
                  "apiVersion", "v1", "kind", "Config", "clusters", "name", context, "cluster",
                  "server", o->server, "certificate-authority-data", data_of(&ca->cert), "users",
                  "name", context, "user", "client-certificate-data", data_of(&client->cert),
                  "client-key-data", data_of(&client->key), "contexts", "name", context, "context",
                  "cluster", context, "user", context, "current-context", context);
    yaml_write(&text, c);
    int r = state_dir_write(d, file, buf_str(&text), reterr);
    explicit_bzero(text.p, text.n);
    return r;
}

static int make_client(const struct state_dir *d, const struct certificates_options *o,
                       const struct pair *ca, const char *name, const char *user, const char *group,
                       const char *kubeconfig, struct err *reterr)
{
    AUTO_DONE(pair) struct pair client = {0};
    struct tls_cert_request request = {.common_name = user,
                                       .organizations = &group,
                                       .n_organizations = group ? 1 : 0,
                                       .client = true,
                                       .days = LEAF_DAYS};
    int r = pair_get(d, name, &request, ca, &client, reterr);
    return r < 0 || !kubeconfig ? r : write_kubeconfig(d, kubeconfig, o, ca, &client, reterr);
}

static int get_ca(const struct state_dir *d, const struct certificates_options *o, struct pair *ret,
                  struct err *reterr)
{
    AUTO_CHARS char *name = xasprintf("fairlead-lab-%s", o->lab);
    struct tls_cert_request request = {.common_name = name, .is_ca = true, .days = CA_DAYS};
    return pair_get(d, "ca", &request, NULL, ret, reterr);
}

static int make_tokens(const struct state_dir *d, struct err *reterr)
{
    AUTO_DONE(buf) struct buf have = {0};
    AUTO_DONE(buf) struct buf line = {0};
    unsigned char bytes[24];
    if (state_dir_read(d, "pki/tokens", &have, NULL) == 0)
        return 0;
    rand_bytes(bytes, sizeof(bytes));
    base64url_encode(str_of(bytes, sizeof(bytes)), &line);
    buf_add_cstr(&line, ",kubernetes-admin,1,\"system:masters\"\n");
    return state_dir_write(d, "pki/tokens", buf_str(&line), reterr);
}

int certificates_make(const struct state_dir *d, const struct certificates_options *o,
                      struct err *reterr)
{
    static const char *const names[] = {"kubernetes", "kubernetes.default",
                                        "kubernetes.default.svc",
                                        "kubernetes.default.svc.cluster.local", "localhost"};
    AUTO_DONE(pair) struct pair ca = {0};
    AUTO_DONE(pair) struct pair server = {0};
    AUTO_DONE(pair) struct pair accounts = {0};
    struct tls_cert_request request = {.common_name = "kube-apiserver",
                                       .dns_names = names,
                                       .n_dns_names = ARRAY_LEN(names),
                                       .ips = o->api_ips,
                                       .n_ips = o->n_api_ips,
                                       .server = true,
                                       .days = LEAF_DAYS};
    struct tls_cert_request signer = {
        .common_name = "service-accounts", .is_ca = true, .days = CA_DAYS};
    int r = get_ca(d, o, &ca, reterr);
    if (r == 0)
        r = pair_get(d, "apiserver", &request, &ca, &server, reterr);
    if (r == 0)
        r = pair_get(d, "sa", &signer, NULL, &accounts, reterr);
    if (r == 0)
        r = make_client(d, o, &ca, "kubelet-client", "kube-apiserver-kubelet-client",
                        "system:masters", NULL, reterr);
    if (r == 0)
        r = make_client(d, o, &ca, "admin", "kubernetes-admin", "system:masters", "kubeconfig",
                        reterr);
    if (r == 0)
        r = make_client(d, o, &ca, "controllers", "system:kube-controller-manager", NULL,
                        "controllers.kubeconfig", reterr);
    return r < 0 ? r : make_tokens(d, reterr);
}

int certificates_make_node(const struct state_dir *d, const struct certificates_options *o,
                           const char *node, const struct ip *ips, size_t n_ips, struct err *reterr)
{
    AUTO_DONE(pair) struct pair ca = {0};
    AUTO_DONE(pair) struct pair serving = {0};
    AUTO_CHARS char *user = xasprintf("system:node:%s", node);
    AUTO_CHARS char *client = xasprintf("%s-client", node);
    AUTO_CHARS char *config = xasprintf("%s.kubeconfig", node);
    struct tls_cert_request request = {.common_name = user,
                                       .dns_names = &node,
                                       .n_dns_names = 1,
                                       .ips = ips,
                                       .n_ips = n_ips,
                                       .server = true,
                                       .days = LEAF_DAYS};
    int r = get_ca(d, o, &ca, reterr);
    if (r == 0)
        r = pair_get(d, node, &request, &ca, &serving, reterr);
    if (r == 0)
        r = make_client(d, o, &ca, client, user, "system:nodes", config, reterr);
    return r;
}
