/* kubeconfig loading. Pure but for reading the named files; owns every string of the result. Data
 * members (base64) win over file members, as in kubectl; relative file names are relative to the
 * kubeconfig. */
#include "kube/config.h"

#include <errno.h>
#include <stdio.h>

#include "codec/base64.h"
#include "codec/json.h"
#include "codec/yaml.h"

enum { FILE_BYTES_MAX = 4 * 1024 * 1024 };

static const char *const service_account_dir = "/var/run/secrets/kubernetes.io/serviceaccount";

void kube_config_free(struct kube_config *c)
{
    if (!c)
        return;
    free(c->server);
    free(c->host);
    free(c->path);
    free(c->ca_pem);
    free(c->cert_pem);
    if (c->key_pem)
        explicit_bzero(c->key_pem, strlen(c->key_pem));
    free(c->key_pem);
    if (c->token)
        explicit_bzero(c->token, strlen(c->token));
    free(c->token);
    free(c->token_file);
    free(c->tls_server_name);
    free(c->context);
    free(c->namespace_);
    free(c);
}

static int read_file(const char *path, char **ret, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = FILE_BYTES_MAX};
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    char piece[8192];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&b, piece, n);
    int failed = ferror(f);
    fclose(f);
    if (failed || b.failed)
        return err_set(reterr, -EIO, NULL, "%s: cannot be read", path);
    *ret = buf_take_cstr(&b);
    return 0;
}

/* "https://host:port/…" into its parts. */
static int parse_server(struct kube_config *c, const char *server, struct err *reterr)
{
    struct str rest = str_from(server), path, port_text;
    c->server = xstrdup(server);
    c->tls = str_starts(rest, STR("https://"));
    if (!c->tls && !str_starts(rest, STR("http://")))
        return err_set(reterr, -EINVAL, "server", "\"%s\" is not an http:// or https:// URL",
                       server);
    rest = str_cut(str_sub(rest, c->tls ? 8 : 7, rest.n), '/', &path);
    uint64_t port = c->tls ? 443 : 80;
    struct str host = rest;
    if (rest.n && rest.p[0] == '[') {
        host = str_cut(str_sub(rest, 1, rest.n), ']', &port_text);
        if (port_text.n && port_text.p[0] == ':')
            port_text = str_sub(port_text, 1, port_text.n);
    } else {
        host = str_cut(rest, ':', &port_text);
    }
    if (port_text.n && (str_to_u64(port_text, &port) < 0 || port == 0 || port > 65535))
        return err_set(reterr, -EINVAL, "server", "\"%s\" has no valid port", server);
    if (!host.n)
        return err_set(reterr, -EINVAL, "server", "\"%s\" has no host", server);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    c->host = str_dup(host);
    c->port = (uint16_t)port;
    c->path = path.n ? xasprintf("/" STR_FMT, STR_ARG(path)) : xstrdup("");
    return 0;
}

static json_t *named(json_t *root, const char *list, const char *name, const char *member)
{
    json_t *item;
    size_t i;
    json_array_foreach(
        json_object_get(root, list), i,
        item) if (streq(json_key_str(item, "name"), name)) return json_object_get(item, member);
    return NULL;
}

/* PEM text from FIELD-data (base64) or from the file named by FIELD. */
static int load_pem(const json_t *o, const char *field, const char *dir, char **ret,
                    struct err *reterr)
{
    char data_field[64];
    snprintf(data_field, sizeof(data_field), "%s-data", field);
    const char *data = json_key_str(o, data_field);
    const char *file = json_key_str(o, field);
    if (data) {
        AUTO_DONE(buf) struct buf b = {0};
        if (base64_decode(str_from(data), &b) < 0)
            return err_set(reterr, -EINVAL, data_field, "not base64");
        *ret = buf_take_cstr(&b);
        return 0;
    }
    if (str_empty(file))
        return 0;
    AUTO_CHARS char *path = file[0] == '/' ? xstrdup(file) : xasprintf("%s/%s", dir, file);
    return read_file(path, ret, reterr);
}

static char *copy_of(const char *s)
{
    return str_empty(s) ? NULL : xstrdup(s);
}

static int fill(struct kube_config *c, json_t *root, const char *context, const char *dir,
                struct err *reterr)
{
    if (!context)
        context = json_key_str(root, "current-context");
    if (str_empty(context))
        return err_set(reterr, -EINVAL, "current-context", "is not set; use --context");
    json_t *ctx = named(root, "contexts", context, "context");
    if (!ctx)
        return err_set(reterr, -ENOENT, "contexts", "no context named \"%s\"", context);
    const char *cluster_name = json_key_str(ctx, "cluster"), *user_name = json_key_str(ctx, "user");
    json_t *cluster = cluster_name ? named(root, "clusters", cluster_name, "cluster") : NULL;
    json_t *user = user_name ? named(root, "users", user_name, "user") : NULL;
    if (!cluster || !json_key_str(cluster, "server"))
        return err_set(reterr, -ENOENT, "clusters", "context \"%s\" names no cluster with a server",
                       context);
    if (json_object_get(user, "exec") || json_object_get(user, "auth-provider"))
        return err_set(reterr, -EOPNOTSUPP, "users",
                       "\"%s\" gets its credentials from a program, which is not run here; use a "
                       "token, a token file or a client certificate",
                       user_name);
    const char *ns = json_key_str(ctx, "namespace");
    c->context = xstrdup(context);
    c->namespace_ = xstrdup(str_empty(ns) ? "default" : ns);
    c->insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
    c->tls_server_name = copy_of(json_key_str(cluster, "tls-server-name"));
    c->token = copy_of(json_key_str(user, "token"));
    const char *token_file = json_key_str(user, "tokenFile");
    if (!str_empty(token_file))
        c->token_file =
            token_file[0] == '/' ? xstrdup(token_file) : xasprintf("%s/%s", dir, token_file);
    int r = parse_server(c, json_key_str(cluster, "server"), reterr);
    if (r == 0)
        r = load_pem(cluster, "certificate-authority", dir, &c->ca_pem, reterr);
    if (r == 0)
        r = load_pem(user, "client-certificate", dir, &c->cert_pem, reterr);
    if (r == 0)
        r = load_pem(user, "client-key", dir, &c->key_pem, reterr);
    return r;
}

static int load_file(const char *path, const char *context, struct kube_config **ret,
                     struct err *reterr)
{
    AUTO_CHARS char *text = NULL;
    AUTO_JSON json_t *root = NULL;
    int r = read_file(path, &text, reterr);
    if (r < 0)
        return r;
    r = yaml_parse(str_from(text), &root, reterr);
    if (r == 0) {
        AUTO(kube_config) struct kube_config *c = NEW(struct kube_config);
        const char *slash = strrchr(path, '/');
        AUTO_CHARS char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
        r = fill(c, root, context, dir, reterr);
        if (r == 0)
            *ret = TAKE(c);
    }
    explicit_bzero(text, strlen(text));
    if (r < 0)
        err_prefix(reterr, NULL, path);
    return r;
}

/* What would read or run something here, or trust anybody. */
static int refuse_foreign(const json_t *root, struct err *reterr)
{
    static const struct {
        const char *list, *member, *field;
    } refused[] = {
        {"clusters", "cluster", "certificate-authority"},
        {"clusters", "cluster", "insecure-skip-tls-verify"},
        {"clusters", "cluster", "proxy-url"},
        {"users", "user", "client-certificate"},
        {"users", "user", "client-key"},
        {"users", "user", "tokenFile"},
        {"users", "user", "exec"},
        {"users", "user", "auth-provider"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        const json_t *list = json_object_get(root, refused[i].list);
        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *value = json_object_get(
                json_object_get(json_array_get(list, k), refused[i].member), refused[i].field);
            if (value && !json_is_false(value))
                return err_set(
                    reterr, -EOPNOTSUPP, refused[i].list,
                    "%s is not taken from who is elsewhere; use certificate-authority-data "
                    "and a token or client-certificate-data",
                    refused[i].field);
        }
    }
    return 0;
}

int kube_config_parse(struct str text, struct kube_config **ret, struct err *reterr)
{
    AUTO_JSON json_t *root = NULL;
    AUTO(kube_config) struct kube_config *c = NEW(struct kube_config);
    int r = text.n > FILE_BYTES_MAX ? err_set(reterr, -E2BIG, NULL, "is larger than 4 MiB")
                                    : yaml_parse(text, &root, reterr);
    r = r < 0 ? r : refuse_foreign(root, reterr);
    r = r < 0 ? r : fill(c, root, NULL, "", reterr);
    if (r == 0 && !c->tls)
        r = err_set(reterr, -EOPNOTSUPP, "server", "\"%s\" is not https://", c->server);
    if (r == 0)
        *ret = TAKE(c);
    return r;
}

int kube_config_in_cluster(struct kube_config **ret, struct err *reterr)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (str_empty(host) || str_empty(port))
        return err_set(reterr, -ENOENT, NULL, "not in a pod: KUBERNETES_SERVICE_HOST is not set");
    AUTO(kube_config) struct kube_config *c = NEW(struct kube_config);
    AUTO_CHARS char *ca = xasprintf("%s/ca.crt", service_account_dir);
    AUTO_CHARS char *ns = xasprintf("%s/namespace", service_account_dir);
    AUTO_CHARS char *server =
        xasprintf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
    c->token_file = xasprintf("%s/token", service_account_dir);
    int r = parse_server(c, server, reterr);
    if (r == 0)
        r = read_file(ca, &c->ca_pem, reterr);
    if (r < 0)
        return r;
    if (read_file(ns, &c->namespace_, NULL) < 0)
        c->namespace_ = xstrdup("default");
    c->context = xstrdup("in-cluster");
    *ret = TAKE(c);
    return 0;
}

/* $KUBECONFIG: the first file that has what is asked for. */
static int load_list(const char *list, const char *context, struct kube_config **ret,
                     struct err *reterr)
{
    struct str rest = str_from(list);
    int r = err_set(reterr, -ENOENT, NULL, "KUBECONFIG names no file");
    while (rest.p) {
        struct str part = str_cut(rest, ':', &rest);
        if (!part.n)
            continue;
        AUTO_CHARS char *path = str_dup(part);
        r = load_file(path, context, ret, reterr);
        if (r == 0)
            return 0;
    }
    return r;
}

int kube_config_load(const char *path, const char *context, struct kube_config **ret,
                     struct err *reterr)
{
    const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
    if (!str_empty(path))
        return load_file(path, context, ret, reterr);
    if (!str_empty(list))
        return load_list(list, context, ret, reterr);
    AUTO_CHARS char *file = xasprintf("%s/.kube/config", str_empty(home) ? "/root" : home);
    if (access(file, R_OK) == 0)
        return load_file(file, context, ret, reterr);
    if (kube_config_in_cluster(ret, reterr) == 0)
        return 0;
    return err_set(reterr, -ENOENT, NULL,
                   "no kubeconfig: give --kubeconfig or set KUBECONFIG (looked for %s)", file);
}
