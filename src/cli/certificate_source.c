#include "cli/certificate_source.h"

#include "base/vec.h"
#include "codec/base64.h"
#include "net/tls.h"

/* data is base64, stringData is not and wins. */
static void add_value(const json_t *secret, const char *name, struct buf *to)
{
    const char *plain = json_key_str(json_at(secret, "stringData"), name),
               *encoded = json_key_str(json_at(secret, "data"), name);
    if (plain)
        buf_add_cstr(to, plain);
    else if (encoded && base64_decode(str_from(encoded), to) < 0)
        buf_clear(to);
}

static void take_facts(bool trusted, const struct tls_peer *facts, void *user)
{
    struct certificate_facts *c = user;
    if (trusted || c->not_after_s)
        return;
    c->not_before_s = facts->not_before_s;
    c->not_after_s = facts->not_after_s;
    c->names = xcalloc(facts->dns.n + 1, sizeof(*c->names));
    for (; c->n_names < facts->dns.n; c->n_names++)
        c->names[c->n_names] = str_dup(facts->dns.v[c->n_names]);
}

static void read_one(struct certificate_source *s, const json_t *secret)
{
    const char *type = json_key_str(secret, "type");
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf key = {0};
    struct tls_context *context = NULL;
    struct err err = {0};
    struct certificate_facts c = {.secret =
                                      xasprintf("%s/%s", json_at_str(secret, "metadata.namespace"),
                                                json_at_str(secret, "metadata.name"))};
    add_value(secret, "tls.crt", &chain);
    add_value(secret, "tls.key", &key);
    const struct tls_config config = {.cert_pem = buf_str(&chain), .key_pem = buf_str(&key)};
    if (type && strcmp(type, "kubernetes.io/tls") != 0)
        c.error = xasprintf("its type is %s, not kubernetes.io/tls", type);
    else if (!chain.n || !key.n)
        c.error = xstrdup("tls.crt or tls.key is missing");
    else if (tls_context_new_server(&config, &context, &err) < 0)
        c.error = xstrdup(err_text(&err));
    else
        tls_context_each(context, take_facts, &c);
    tls_context_unref(context);
    if (key.n)
        explicit_bzero(key.p, key.n);
    vec_push(s, c);
}

void certificate_source_read(struct certificate_source *s, json_t *objects)
{
    json_t *j;
    size_t i;
    json_array_foreach(objects, i, j)
    {
        if (!streq(json_key_str(j, "kind"), "Secret") || !json_at_str(j, "metadata.namespace") ||
            !json_at_str(j, "metadata.name"))
            continue;
        if (streq(json_key_str(j, "type"), "kubernetes.io/tls") ||
            json_key_str(json_at(j, "data"), "tls.crt") ||
            json_key_str(json_at(j, "stringData"), "tls.crt"))
            read_one(s, j);
        json_del(j, "data");
        json_del(j, "stringData");
    }
}

void certificate_source_done(struct certificate_source *s)
{
    VEC_FOREACH (c, s) {
        for (size_t i = 0; i < c->n_names; i++)
            free(c->names[i]);
        free(c->names);
        free(c->secret);
        free(c->error);
    }
    vec_done(s);
}
