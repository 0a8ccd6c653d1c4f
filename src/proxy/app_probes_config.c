/* The table of app_probes.h, read. Pure. */
#include <errno.h>

#include "codec/json.h"
#include "proxy/app_probes.h"

enum { TIMEOUT_S_MAX = 3600 };

static void probe_done(struct app_probe *p)
{
    for (size_t i = 0; i < p->n_headers; i++)
        free(p->headers[i]);
    free(p->headers);
    free(p->path);
    free(p->target);
    free(p->host);
    free(p->service);
}

void app_probe_table_done(struct app_probe_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        probe_done(&t->v[i]);
    vec_done(t);
}

/* What goes into a request as it is. */
static bool is_clean(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static bool is_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f || *c == ':')
            return false;
    return *text;
}

static int read_headers(const json_t *get, struct app_probe *p, struct err *reterr)
{
    json_t *h;
    size_t i;
    json_array_foreach(json_object_get(get, "httpHeaders"), i, h)
    {
        const char *name = json_key_str(h, "name"), *value = json_key_str(h, "value");
        value = value ? value : "";
        if (!name || !is_name(name) || !is_clean(value) || i >= APP_PROBE_HEADERS_MAX)
            return err_set(reterr, -EINVAL, "httpGet.httpHeaders",
                           "[%zu] is no header, or one too "
                           "many",
                           i);
        if (str_eq_nocase(str_from(name), STR("host"))) {
            free(p->host);
            p->host = xstrdup(value);
            continue;
        }
        if (str_eq_nocase(str_from(name), STR("content-length")) ||
            str_eq_nocase(str_from(name), STR("transfer-encoding")) ||
            str_eq_nocase(str_from(name), STR("connection")))
            continue; /* ours */
        p->headers = xrealloc(p->headers, (p->n_headers + 2) * sizeof(char *));
        p->headers[p->n_headers++] = xstrdup(name);
        p->headers[p->n_headers++] = xstrdup(value);
    }
    return 0;
}

static int read_http(const json_t *get, struct app_probe *p, struct err *reterr)
{
    const char *path = json_key_str(get, "path"), *scheme = json_key_str(get, "scheme");
    p->kind = APP_PROBE_HTTP;
    p->https = scheme && str_eq_nocase(str_from(scheme), STR("https"));
    p->target = xasprintf("%s%s", str_empty(path) || *path != '/' ? "/" : "", path ? path : "");
    for (const char *c = p->target; *c; c++)
        if (*c <= 0x20 || *c == 0x7f)
            return err_set(reterr, -EINVAL, "httpGet.path", "has characters that no path has");
    return read_headers(get, p, reterr);
}

static int read_probe(const json_t *one, struct app_probe *p, struct err *reterr)
{
    const json_t *get = json_object_get(one, "httpGet"), *tcp = json_object_get(one, "tcpSocket"),
                 *grpc = json_object_get(one, "grpc");
    const json_t *any = json_is_object(get)    ? get
                        : json_is_object(tcp)  ? tcp
                        : json_is_object(grpc) ? grpc
                                               : NULL;
    int64_t port = json_at_int(any, "port", 0), seconds = json_at_int(one, "timeoutSeconds", 1);
    const char *service = json_key_str(grpc, "service");
    if (!any)
        return err_set(reterr, -EINVAL, NULL, "has none of httpGet, tcpSocket and grpc");
    if (port < 1 || port > UINT16_MAX)
        return err_set(reterr, -EINVAL, NULL, "has no port between 1 and 65535");
    p->port = (uint16_t)port;
    p->timeout_ms = seconds < 1 || seconds > TIMEOUT_S_MAX ? 1000 : (uint64_t)seconds * 1000;
    p->kind = any == tcp ? APP_PROBE_TCP : APP_PROBE_GRPC;
    if (service && strlen(service) > 127)
        return err_set(reterr, -EINVAL, "grpc.service", "is longer than 127 bytes");
    p->service = xstrdup(service ? service : "");
    return any == get ? read_http(get, p, reterr) : 0;
}

int app_probe_table_parse(struct str json, struct app_probe_table *ret, struct err *reterr)
{
    AUTO_JSON json_t *j = NULL;
    struct app_probe_table t = {0};
    const char *path;
    json_t *one;
    int r = json_parse(json, APP_PROBES_BYTES_MAX, NULL, &j, reterr);
    if (r == 0 && !json_is_object(j))
        r = err_set(reterr, -EINVAL, NULL, "is no object");
    json_object_foreach(r == 0 ? j : NULL, path, one)
    {
        struct app_probe p = {0};
        if (t.n >= APP_PROBES_MAX)
            r = err_set(reterr, -EINVAL, NULL, "has more than %d entries", APP_PROBES_MAX);
        else
            r = read_probe(one, &p, reterr);
        p.path = xstrdup(path);
        vec_push(&t, p);
        if (r < 0) {
            err_prefix(reterr, NULL, path);
            break;
        }
    }
    if (r < 0)
        app_probe_table_done(&t);
    else
        *ret = t;
    return r < 0 ? -EINVAL : 0;
}
